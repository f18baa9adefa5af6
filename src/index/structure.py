"""The search structure of an index: lists of all rows, made once and extended by each update."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from src.index.choice import FLAT, IndexPlan, IndexSettings, choose_plan
from src.index.image_table import ImageTable
from src.index.lists import SearchedLists, merge_lists, read_trained, train, write_lists
from src.index.probes import measure_probes
from src.index.rows import Rows
from src.index.summed_files import SummedFiles

LOG = logging.getLogger(__name__)

#: Files of lists that a search looks into; more are joined.
MAX_LISTS_FILES = 6


@dataclass(frozen=True)
class SearchStructure:
    """How an index is searched, and the files for it, as `index.json` names them.

    Attributes:
        plan: the kind of index.
        chosen_at: number of rows it was chosen at.
        probes: lists looked into for a query descriptor; 0 for flat.
        recall: the share of the nearest descriptors that this was measured to find, or None.
        trained_file: centres and quantisers of the lists; None for flat.
        lists_files: the lists of the build, then those of updates; none for flat.
    """

    plan: IndexPlan
    chosen_at: int
    probes: int = 0
    recall: float | None = None
    trained_file: str | None = None
    lists_files: tuple[str, ...] = ()

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> SearchStructure:
        """Return the structure that `index.json` describes."""
        search = description["search"]
        return cls(
            IndexPlan(**search["plan"]),
            search["chosen_at"],
            search["probes"],
            search["recall"],
            search["trained_file"],
            tuple(search["lists_files"]),
        )

    def as_json(self) -> dict[str, object]:
        """Return the structure as it is written down."""
        return asdict(self)

    def __str__(self) -> str:
        if self.plan.kind == FLAT:
            return FLAT
        recall = "" if self.recall is None else f" (recall {self.recall:.3f})"
        return f"{self.plan.kind}, {self.probes} of {self.plan.lists} lists probed{recall}"

    @property
    def files(self) -> list[str]:
        """Names of its files."""
        return [self.trained_file, *self.lists_files] if self.trained_file else []

    def opened(self, files: SummedFiles, row_count: int) -> list[SearchedLists]:
        """Open the files of lists, of an index with so many rows; none for flat.

        Raises:
            DamagedError: a file is not what it should be.
        """
        if self.trained_file is None:
            return []
        return [
            SearchedLists(files, name, self.trained_file, row_count) for name in self.lists_files
        ]

    @classmethod
    def make(
        cls,
        files: SummedFiles,
        generation: int,
        settings: IndexSettings,
        rows: Rows,
        images: ImageTable,
    ) -> SearchStructure:
        """Choose the kind of index, train it and sort all rows into it.

        Args:
            files: of the index folder.
            generation: that the files belong to.
            settings: what is asked for.
            rows: float32 [rows, D]; every one belongs to an image.
            images: where each image's rows are.

        Raises:
            UserError: when there are too few rows for what is asked for.
        """
        plan = choose_plan(settings, *rows.shape)
        LOG.info(
            "%d features of %d dimensions: kind %s, %d lists, about %d MB in memory",
            *rows.shape,
            plan.kind,
            plan.lists,
            plan.memory(*rows.shape) // 2**20,
        )
        if plan.kind == FLAT:
            return cls(plan, len(rows))
        trained_file, lists_file = f"trained-{generation}.faiss", f"lists-{generation}-0.bin"
        trained = train(files, trained_file, rows, plan, settings)
        write_lists(files, lists_file, trained, rows, 0)
        probes = min(settings.probes, plan.lists)
        made = cls(plan, len(rows), probes, None, trained_file, (lists_file,))
        return made if probes else made._measured(files, settings.recall, rows, images)

    def _measured(
        self, files: SummedFiles, wanted: float, rows: Rows, images: ImageTable
    ) -> SearchStructure:
        """Return the structure with as many probes as the recall needs."""
        (opened,) = self.opened(files, len(rows))
        probes, recall = measure_probes(opened, rows, images, wanted)
        if recall < wanted:
            LOG.warning(
                "the index finds %.3f of the nearest features, not %.3f: looking into more lists "
                "does not help, its codes are too coarse",
                recall,
                wanted,
            )
        return replace(self, probes=probes, recall=round(recall, 4))

    def extended(
        self, files: SummedFiles, generation: int, rows: Rows, first_row: int
    ) -> SearchStructure:
        """Sort the rows from `first_row` on into lists of their own; those there are stay."""
        if self.trained_file is None or first_row == len(rows):
            return self
        added = f"lists-{generation}-0.bin"
        trained = read_trained(files, self.trained_file)
        write_lists(files, added, trained, rows, first_row)
        names = [*self.lists_files, added]
        if len(names) > MAX_LISTS_FILES:  # the first one, of the build, is large: it stays
            joined = f"lists-{generation}-{len(names)}.bin"
            merge_lists(files, joined, names[1:])
            names = [names[0], joined]
        return replace(self, lists_files=tuple(names))
