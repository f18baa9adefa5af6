"""Which kind of index suits a number of descriptors and a budget of memory."""

from __future__ import annotations

import argparse
import logging
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from model_utils.bounds import check_fields, number
from src.common.errors import UserError
from src.index.stores.settings import StoreSettings

LOG = logging.getLogger(__name__)

FLAT = "flat"
#: Kinds that look at the lists nearest to a query, from the most to the least memory.
LISTED_KINDS = ("ivf", "ivf_fp16", "ivf_sq8", "ivf_pq")
#: Global descriptors only; local features are read of the images that these find.
TWO_STAGE = "two_stage"
KINDS = ("auto", FLAT, *LISTED_KINDS, TWO_STAGE)
#: With more images two stages are faster and lose little (docs/ranking.md).
TWO_STAGE_IMAGES = 10_000

_MB = 2**20
#: FAISS learns 8 bits for each part of a product-quantised descriptor.
_PQ_CENTROIDS = 256
#: Fewer descriptors than this for a list are no basis for its centre.
_FEWEST_PER_LIST = 39


@dataclass(frozen=True)
class IndexSettings:
    """What kind of index is built.

    Attributes:
        kind: "flat" compares a query with every descriptor: exact. The others sort the descriptors
            into lists (inverted file, IVF) and look into those nearest to the query: "ivf" keeps
            them in float32, "ivf_fp16" in half of the memory and without loss, "ivf_sq8" as one
            byte a dimension, "ivf_pq" as one byte for two dimensions (product quantisation).
            "two_stage" keeps global descriptors only, in a store; local features are read of the
            images that these find. "auto": two_stage for more than `TWO_STAGE_IMAGES` images with
            global descriptors; else flat for few descriptors, else the first of the others that
            fits into `memory`.
        memory: budget in MB (2**20) of what has to be in memory to search quickly; 0 = no limit.
            Only "auto" heeds it.
        exact_features: "auto" compares with every descriptor up to this number of them.
        lists: number of lists; 0 = the power of two nearest to four times the square root of the
            number of descriptors.
        probes: lists looked into for a query descriptor; 0 = as many as `recall` needs, measured
            when the index is built.
        recall: share of the 60 nearest descriptors that are to be found.
        training: descriptors a list that the centres of the lists are learnt from, taken evenly.
        iterations: of k-means.
        seed: of the choice of descriptors and of k-means.
        growth: an index that has grown by this factor is built anew where another kind or another
            number of lists suits it better.
        local: local features of all images are to be searched, whatever "auto" would choose.
        store: where global descriptors are kept by two_stage.
    """

    kind: str = "auto"
    memory: int = 1200
    exact_features: int = 50_000
    lists: int = 0
    probes: int = 0
    recall: float = 0.95
    training: int = 50
    iterations: int = 10
    seed: int = 0
    growth: float = 2.0
    local: bool = False
    store: StoreSettings = field(default_factory=StoreSettings)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"there is no kind of index {self.kind!r}; take {', '.join(KINDS)}")
        check_fields(self, {name: f"index_{name}" for name in _OWN if name != "seed"})

    @classmethod
    def from_config(cls, config: Any) -> IndexSettings:
        """Return the settings of a configuration: its `index_kind`, …, and its `seed`."""
        values = {name: getattr(config, f"index_{name}") for name in _OWN if name != "seed"}
        wants_local = config.search_kind == "local" or config.plain_ranking
        return cls(
            **values,
            seed=config.seed,
            local=bool(wants_local or not config.global_weight),
            store=StoreSettings.from_config(config),
        )

    def as_json(self) -> dict[str, Any]:
        """Return what decides what an index holds, as JSON values."""
        return {name: getattr(self, name) for name in _OWN}

    def wants_two_stages(self, images: int, has_globals: bool, is_so: bool = False) -> bool:
        """Tell whether so many images are to be searched in two stages.

        Args:
            images: how many.
            has_globals: whether they have global descriptors.
            is_so: whether they are so far; only half as many are then too few for it.
        """
        if self.kind != "auto":
            return self.kind == TWO_STAGE
        enough = TWO_STAGE_IMAGES / (self.growth if is_so else 1)
        return has_globals and not self.local and images > enough


#: Settings of an index itself, as they are called in the configuration behind `index_`.
_OWN = tuple(field.name for field in fields(IndexSettings) if field.name not in ("local", "store"))


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option `--index_...` for each of the `IndexSettings`."""
    group = parser.add_argument_group("the kind of index; see IndexSettings and delf_config.yaml")
    for name in _OWN:
        choices = KINDS if name == "kind" else None
        default = getattr(IndexSettings, name)
        group.add_argument(
            f"--index_{name}",
            type=str if choices else number(type(default), f"index_{name}"),
            default=default,
            choices=choices,
            help="(%(default)s)",
        )


def settings_from_arguments(arguments: argparse.Namespace) -> IndexSettings:
    """Return the settings that `add_index_arguments` has read."""
    return IndexSettings(**{name: getattr(arguments, f"index_{name}") for name in _OWN})


@dataclass(frozen=True)
class IndexPlan:
    """The kind of index for a number of descriptors.

    Attributes:
        kind: "flat" or one of `LISTED_KINDS`.
        lists: number of lists; 0 for flat.
        code: FAISS's name of how a descriptor is kept in a list; "" for flat.
        code_bytes: length of a kept descriptor.
    """

    kind: str
    lists: int = 0
    code: str = ""
    code_bytes: int = 0

    def memory(self, rows: int, dimension: int) -> int:
        """Return the bytes that a search of `rows` descriptors needs in memory.

        The descriptors as they are kept, their numbers (8 bytes, in lists), the image of each (4
        bytes) and the centres of the lists. Locations and the descriptors for re-matching are read
        from the disk, of few images each.
        """
        numbers = 8 if self.lists else 0
        return rows * (self.code_bytes + numbers + 4) + self.lists * dimension * 4

    def as_json(self) -> dict[str, object]:
        """Return the plan as it is written down."""
        return asdict(self)


def choose_plan(settings: IndexSettings, rows: int, dimension: int) -> IndexPlan:
    """Choose the kind of index for `rows` descriptors.

    Raises:
        UserError: when there are too few descriptors for the kind or the lists asked for.
    """
    if settings.kind != "auto":
        return _plan(settings.kind, settings, rows, dimension)
    kinds = [FLAT] if rows <= settings.exact_features else []
    kinds += [kind for kind in LISTED_KINDS if kind != "ivf_pq" or rows >= _PQ_CENTROIDS]
    plans = [_plan(kind, settings, rows, dimension) for kind in kinds]
    budget = settings.memory * _MB if settings.memory else math.inf
    for plan in plans:
        if plan.memory(rows, dimension) <= budget:
            return plan
    smallest = min(plans, key=lambda plan: plan.memory(rows, dimension))
    LOG.warning(
        "the smallest index of %d descriptors, %s, takes %d MB, more than the budget of %d MB; "
        "what does not fit is read from the disk",
        rows,
        smallest.kind,
        smallest.memory(rows, dimension) // _MB,
        settings.memory,
    )
    return smallest


def outgrown(
    settings: IndexSettings, plan: IndexPlan, chosen_at: int, rows: int, dimension: int
) -> str | None:
    """Return why an index chosen at `chosen_at` descriptors does not suit `rows`, None if it does.

    Args:
        settings: what was asked for.
        plan: what was chosen.
        chosen_at: number of descriptors at that time.
        rows: number of descriptors now.
        dimension: of a descriptor.
    """
    if rows <= chosen_at or settings.kind == FLAT:
        return None
    better = choose_plan(settings, rows, dimension)
    if better == plan:
        return None
    if rows > settings.growth * chosen_at:
        return f"{rows} features instead of {chosen_at}"
    budget = settings.memory * _MB
    if settings.kind == "auto" and budget and better.kind != plan.kind:
        over = plan.memory(rows, dimension) > budget
        return f"{rows} features no longer fit into {settings.memory} MB" if over else None
    return None


def _plan(kind: str, settings: IndexSettings, rows: int, dimension: int) -> IndexPlan:
    if kind == FLAT:
        return IndexPlan(FLAT, code_bytes=4 * dimension)
    if settings.lists > rows:
        raise UserError(f"{settings.lists} lists are more than the {rows} features of the index")
    if kind == "ivf_pq" and rows < _PQ_CENTROIDS:
        raise UserError(
            f"an index ivf_pq needs {_PQ_CENTROIDS} features to learn from, and there are {rows}; "
            "take another kind"
        )
    parts = next(p for p in range(max(1, dimension // 2), 0, -1) if dimension % p == 0)
    code, code_bytes = {
        "ivf": ("Flat", 4 * dimension),
        "ivf_fp16": ("SQfp16", 2 * dimension),
        "ivf_sq8": ("SQ8", dimension),
        "ivf_pq": (f"PQ{parts}np", parts),  # np: codes are not sorted for a use that is not made
    }[kind]
    return IndexPlan(kind, settings.lists or list_count(rows), code, code_bytes)


def list_count(rows: int) -> int:
    """Return the power of two of lists that suits a number of rows."""
    wanted = round(math.log2(4 * math.sqrt(rows)))
    most = math.floor(math.log2(max(1, rows // _FEWEST_PER_LIST)))
    return 2 ** min(wanted, most)
