"""Building the index of one or several feature folders, and keeping it up to date."""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Union

import numpy as np
from tqdm import tqdm

from src.common.atomic_files import PathLike
from src.common.errors import UserError, naming_file
from src.feature_io import (
    check_settings,
    feature_path,
    features_checksum,
    read_features,
    read_manifest,
)
from src.index.choice import FLAT, KINDS, IndexPlan, IndexSettings, choose_plan, outgrown
from src.index.files import (
    DESCRIPTION,
    DamagedError,
    ImageTable,
    check_files,
    read_description,
    write_description,
    writing,
)
from src.index.folder import Index, load_index
from src.index.lists import (
    measure_probes,
    merge_lists,
    open_lists,
    read_trained,
    train,
    write_lists,
)
from src.ranking.geometry import extent

__all__ = [
    "Index",
    "IndexChanges",
    "IndexSettings",
    "build_index",
    "index_settings",
    "load_index",
    "read_description",
    "remove_images",
    "update_index",
]

LOG = logging.getLogger(__name__)

FeatureFolders = Union[PathLike, Sequence[PathLike]]

#: Share of rows without an image above which an index is written anew.
MAX_WASTE = 0.25
#: Files of lists that a search looks into; more are joined.
MAX_LISTS_FILES = 6


@dataclass(frozen=True)
class IndexChanges:
    """What an update did: image names, and why the index was built anew (None where it was not)."""

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    rebuilt: str | None = None

    def __bool__(self) -> bool:
        return bool(self.added or self.replaced or self.removed)

    def __str__(self) -> str:
        return (
            f"{len(self.added)} images added, {len(self.replaced)} replaced, "
            f"{len(self.removed)} removed"
        )


def index_settings(
    features_folders: FeatureFolders,
    settings: IndexSettings = IndexSettings(),  # noqa: B008 (frozen)
    names: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Return all that decides what an index holds, as JSON values.

    Raises:
        UserError: when the features are not complete: the missing or damaged file is named.
    """
    return _Sources.read(features_folders, names).settings(settings)


def build_index(
    features_folders: FeatureFolders,
    index_folder: PathLike,
    settings: IndexSettings = IndexSettings(),  # noqa: B008 (frozen)
    names: Iterable[str] | None = None,
) -> None:
    """Build the index of the features in one or several folders; one that is complete is kept.

    The same features and settings give the same bytes. Descriptors pass through memory in blocks,
    the training looks at a sample of them. The folder is an index when everything is in it: a
    program killed on the way leaves none.

    Args:
        features_folders: a feature folder, or several with the same settings (a data set and its
            distractors).
        index_folder: folder to be made.
        settings: kind of index.
        names: images to take; None = all.

    Raises:
        UserError: when features are missing, damaged, of mixed dimensions or settings, when two
            folders have an image of one name, when no image has any features, when the folder is
            an index of other features or settings, or is being written by another process.
    """
    folder = Path(index_folder)
    sources = _Sources.read(features_folders, names)
    wanted = sources.settings(settings)
    if (folder / DESCRIPTION).exists():
        _keep(folder, wanted)
        return
    with writing(folder):
        if (folder / DESCRIPTION).exists():  # another process was faster
            _keep(folder, wanted)
            return
        draft = _Draft.first(folder, settings, sources.features)
        draft.append(sources, sources.checksums)
        draft.make_search()
        draft.commit()
    _warn_of_duplicates(draft.images, draft.images.names)
    LOG.info("index %s: %s", folder, draft)


def update_index(
    features_folders: FeatureFolders,
    index_folder: PathLike,
    settings: IndexSettings = IndexSettings(),  # noqa: B008 (frozen)
    names: Iterable[str] | None = None,
) -> IndexChanges:
    """Make an index hold what the feature folders hold now; without one, build it.

    New images are added, those with another feature file replaced, those that are gone removed.
    This costs as much as there is new. The index is written anew only when it has outgrown its kind
    or more than a quarter of its rows are unused.

    Args:
        features_folders: as for `build_index`.
        index_folder: the index.
        settings: kind of index, the one it was built with.
        names: images it is to hold; None = all.

    Returns:
        What was done.

    Raises:
        UserError: as `build_index`; when the features or the index have other settings.
    """
    folder = Path(index_folder)
    if not (folder / DESCRIPTION).exists():
        build_index(features_folders, folder, settings, names)
        return IndexChanges(added=load_index(folder).names)
    sources = _Sources.read(features_folders, names)
    with writing(folder):
        draft = _Draft.of(folder)
        wanted = {"index": asdict(settings), "features": sources.features}
        there = {key: draft.description["settings"].get(key) for key in wanted}
        check_settings(there, wanted, f"index {folder}")
        before = dict(zip(draft.images.names, draft.images.checksums))
        now = sources.checksums
        new = [name for name in now if now[name] != before.get(name)]
        changes = IndexChanges(
            added=tuple(name for name in new if name not in before),
            replaced=tuple(name for name in new if name in before),
            removed=tuple(name for name in before if name not in now),
        )
        if not changes:
            LOG.info("the index %s is up to date", folder)
            return changes
        draft.images = draft.images.select(now.keys() - set(new))
        draft.append(sources, new)
        rebuilt = draft.extend_search()
        draft.commit()
    _warn_of_duplicates(draft.images, new)
    LOG.info("index %s: %s; %s", folder, changes, draft)
    return IndexChanges(changes.added, changes.replaced, changes.removed, rebuilt)


def remove_images(index_folder: PathLike, names: Iterable[str]) -> IndexChanges:
    """Take images out of an index.

    Raises:
        UserError: when an image is not in the index, or none with features would be left.
    """
    folder = Path(index_folder)
    read_description(folder)
    gone = sorted(set(names))
    with writing(folder):
        draft = _Draft.of(folder)
        unknown = sorted(set(gone) - set(draft.images.names))
        if unknown:
            raise UserError(f"the index {folder} holds no image {', '.join(unknown)}")
        if not gone:
            return IndexChanges()
        draft.images = draft.images.select(set(draft.images.names) - set(gone))
        rebuilt = draft.extend_search()
        draft.commit()
    changes = IndexChanges(removed=tuple(gone), rebuilt=rebuilt)
    LOG.info("index %s: %s; %s", folder, changes, draft)
    return changes


# ---------------------------------------------------------------- where features come from


@dataclass(frozen=True)
class _Sources:
    """Feature folders read as one.

    Attributes:
        features: the settings of the features, those of all folders.
        folders: image name → its folder, sorted by name.
        checksums: image name → checksum of its feature file, "" where the photo could not be read.
    """

    features: dict[str, Any]
    folders: dict[str, Path]
    checksums: dict[str, str]

    @classmethod
    def read(cls, features_folders: FeatureFolders, names: Iterable[str] | None) -> _Sources:
        if isinstance(features_folders, (str, Path)) or hasattr(features_folders, "__fspath__"):
            features_folders = [features_folders]
        manifests = {Path(folder): read_manifest(folder) for folder in features_folders}
        if not manifests:
            raise UserError("there is no feature folder to build an index of")
        first = next(iter(manifests))
        folders: dict[str, Path] = {}
        for folder, manifest in manifests.items():
            check_settings(
                manifest.settings,
                manifests[first].settings,
                f"the features in {folder}, unlike those in {first},",
            )
            for name in manifest.names:
                if name in folders:
                    raise UserError(
                        f"an image {name} is in {folders[name]} and in {folder}; rename one of them"
                    )
                folders[name] = folder
        wanted = sorted(folders if names is None else set(names))
        unknown = [name for name in wanted if name not in folders]
        if unknown:
            raise UserError(
                f"there are no features of {_some(unknown)} in {', '.join(map(str, manifests))}"
            )
        checksums = {
            name: ""
            if name in manifests[folders[name]].failed
            else features_checksum(feature_path(folders[name], name))
            for name in wanted
        }
        return cls(
            manifests[first].settings, {name: folders[name] for name in wanted}, checksums
        )  # fmt: skip

    def settings(self, settings: IndexSettings) -> dict[str, Any]:
        return {
            "index": asdict(settings),
            "features": self.features,
            "features_checksum": _combined(self.checksums.items()),
        }


def _combined(checksums: Iterable[tuple[str, str]]) -> str:
    checksum = hashlib.sha256()
    for name, content in checksums:
        checksum.update(f"{name}\0{content}\n".encode())
    return checksum.hexdigest()


def _keep(folder: Path, wanted: dict[str, Any]) -> None:
    """Accept an index that is there already, or refuse it."""
    description = read_description(folder)
    check_settings(description["settings"], wanted, f"index {folder}")
    try:
        check_files(folder, description)
    except (DamagedError, OSError) as error:
        raise UserError(
            f"the index {folder} is damaged ({error}); delete it and build it again"
        ) from None
    LOG.info("the index %s is complete", folder)


def _warn_of_duplicates(images: ImageTable, new: Iterable[str]) -> None:
    """Say which of the new images have exactly the features of another one."""
    checksums = {
        name: checksum
        for name, checksum, count in zip(images.names, images.checksums, images.counts)
        if count
    }
    first: dict[str, str] = {}
    for name, checksum in checksums.items():
        first.setdefault(checksum, name)
    new = set(new)
    twins = [
        f"{name} = {first[checksum]}"
        for name, checksum in checksums.items()
        if first[checksum] != name and (name in new or first[checksum] in new)
    ]
    if twins:
        LOG.warning(
            "%d images have exactly the features of another one, and are found beside it: %s",
            len(twins),
            _some(twins),
        )


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# ---------------------------------------------------------------- the next generation


class _Draft:
    """The next generation of an index, made beside the one there is; `commit` replaces it."""

    def __init__(
        self,
        folder: Path,
        settings: IndexSettings,
        description: dict[str, Any],
        images: ImageTable,
    ):
        self.folder = folder
        self.settings = settings
        self.description = description
        self.images = images
        self.generation: int = description["generation"] + 1
        self.rows: int = description["rows"]
        self.dimension: int = description["dimension"]
        self.search: dict[str, Any] = dict(description["search"])

    @classmethod
    def first(cls, folder: Path, settings: IndexSettings, features: dict[str, Any]) -> _Draft:
        """Return the draft of an index where none is."""
        description = {
            "generation": 0,
            "settings": {"index": asdict(settings), "features": features},
            "rows": 0,
            "dimension": 0,
            "search": {
                "descriptors_file": "descriptors-1.bin",
                "locations_file": "locations-1.bin",
            },
        }
        nothing = np.zeros(0, dtype=np.int64)
        return cls(folder, settings, description, ImageTable((), nothing, nothing, nothing, ()))

    @classmethod
    def of(cls, folder: Path) -> _Draft:
        """Return a draft that begins with the index there is."""
        load_index(folder)  # a damaged one is not to be built upon
        description = read_description(folder)
        settings = IndexSettings(**description["settings"]["index"])
        images = ImageTable.read(folder / description["search"]["images_file"])
        return cls(folder, settings, description, images)

    def __str__(self) -> str:
        plan, search = self.search["plan"], self.search
        kind = plan["kind"]
        if kind != FLAT:
            kind += f", {search['probes']} of {plan['lists']} lists probed"
            if search["recall"] is not None:
                kind += f" (recall {search['recall']:.3f})"
        return f"{len(self.images.names)} images, {self.images.features} features, {kind}"

    def append(self, sources: _Sources, names: Iterable[str]) -> None:
        """Add images: their rows behind those there are."""
        names = sorted(names)
        added = ImageTable(
            tuple(names),
            np.zeros(len(names), dtype=np.int64),
            np.zeros(len(names), dtype=np.int64),
            np.ones(len(names)),
            tuple(sources.checksums[name] for name in names),
        )
        lengths = {self.dimension: f"index {self.folder}"} if self.dimension else {}
        paths = [self._path("descriptors_file"), self._path("locations_file")]
        with paths[0].open("ab") as descriptors, paths[1].open("ab") as locations:
            for position, name in enumerate(tqdm(names, desc="index", disable=None)):
                added.starts[position] = self.rows
                if not sources.checksums[name]:
                    continue
                features = read_features(feature_path(sources.folders[name], name))
                if not len(features):
                    continue
                lengths.setdefault(features.dimension, name)
                if len(lengths) > 1:
                    examples = ", ".join(
                        f"{size} in {where}" for size, where in sorted(lengths.items())
                    )
                    raise UserError(
                        f"the descriptors in {sources.folders[name]} differ in length "
                        f"({examples}); extract again"
                    )
                for file, path, array in (
                    (descriptors, paths[0], features.descriptors),
                    (locations, paths[1], features.locations),
                ):
                    with naming_file(path):
                        file.write(array.tobytes())
                added.counts[position] = len(features)
                added.extents[position] = extent(features.locations)
                self.rows += len(features)
        self.dimension = next(iter(lengths), 0)
        without = int((added.counts == 0).sum())
        if without:
            LOG.warning("%d of %d images have no features and rank last", without, len(names))
        self.images = self.images.joined(added)

    def make_search(self) -> None:
        """Choose the kind of index, train it and sort all rows into it. All of them are used."""
        self._refuse_nothing()
        rows = self._stored()
        plan = choose_plan(self.settings, len(rows), self.dimension)
        LOG.info(
            "%d features of %d dimensions: kind %s, %d lists, about %d MB in memory",
            len(rows),
            self.dimension,
            plan.kind,
            plan.lists,
            plan.memory(len(rows), self.dimension) // 2**20,
        )
        self.search.update(plan=plan.as_json(), chosen_at=len(rows), probes=0, recall=None)
        self.search.update(trained_file=None, lists_files=[])
        if plan.kind == FLAT:
            return
        self.search["trained_file"] = f"trained-{self.generation}.faiss"
        trained = train(rows, plan, self.settings, self._path("trained_file"))
        self.search["lists_files"] = [self._write_lists(trained, 0)]
        probes, recall = min(self.settings.probes, plan.lists), None
        if not probes:
            probes, recall = self._measure(rows)
        self.search.update(probes=probes, recall=recall)

    def extend_search(self) -> str | None:
        """Bring the search up to the rows there are; return why it was built anew, if it was."""
        self._refuse_nothing()
        live = self.images.features
        plan = IndexPlan(**self.search["plan"])
        reason = outgrown(self.settings, plan, self.search["chosen_at"], live, self.dimension)
        if reason is None and self.rows - live > MAX_WASTE * self.rows:
            reason = f"{self.rows - live} of {self.rows} rows are no longer used"
        if reason is not None:
            LOG.info("the index %s is written anew: %s", self.folder, reason)
            if live < self.rows:
                self._compact()
            self.make_search()
            return reason
        before = self.description["rows"]
        if plan.kind != FLAT and self.rows > before:
            names = [*self.search["lists_files"]]
            names.append(self._write_lists(read_trained(self._path("trained_file")), before))
            if len(names) > MAX_LISTS_FILES:  # the first one, of the build, is large: it stays
                joined = f"lists-{self.generation}-{len(names)}.bin"
                merge_lists(self.folder / joined, [self.folder / name for name in names[1:]])
                names = [names[0], joined]
            self.search["lists_files"] = names
        return None

    def commit(self) -> None:
        """Make this generation the index."""
        table = f"images-{self.generation}.npz"
        self.search["images_file"] = table
        self.images.write(self.folder / table)
        sizes = {
            self.search["descriptors_file"]: self.rows * self.dimension * 4,
            self.search["locations_file"]: self.rows * 2 * 4,
        }
        others = [table, self.search["trained_file"], *self.search["lists_files"]]
        sizes.update((name, (self.folder / name).stat().st_size) for name in others if name)
        settings = {
            "index": asdict(self.settings),
            "features": self.description["settings"]["features"],
            "features_checksum": _combined(zip(self.images.names, self.images.checksums)),
        }
        content = {
            "generation": self.generation,
            "settings": settings,
            "images": len(self.images.names),
            "features": self.images.features,
            "rows": self.rows,
            "dimension": self.dimension,
            "search": self.search,
        }
        write_description(self.folder, content, sizes)

    def _path(self, key: str) -> Path:
        return self.folder / self.search[key]

    def _stored(self) -> np.ndarray:
        shape = (self.rows, self.dimension)
        return np.memmap(self._path("descriptors_file"), dtype=np.float32, mode="r", shape=shape)

    def _refuse_nothing(self) -> None:
        if not self.images.features:
            raise UserError(
                f"no image of the index {self.folder} has any features; there is nothing to search"
            )

    def _write_lists(self, trained: Any, first_row: int) -> str:
        name = f"lists-{self.generation}-0.bin"
        write_lists(self.folder / name, trained, self._stored()[first_row:], first_row)
        return name

    def _measure(self, rows: np.ndarray) -> tuple[int, float]:
        lists = self.folder / self.search["lists_files"][0]
        opened = open_lists(lists, self._path("trained_file"))
        probes, recall = measure_probes(opened, rows, self.images, self.settings.recall)
        if recall < self.settings.recall:
            LOG.warning(
                "the index finds %.3f of the nearest features, not %.3f: looking into more lists "
                "does not help, its codes are too coarse",
                recall,
                self.settings.recall,
            )
        return probes, round(recall, 4)

    def _compact(self) -> None:
        """Write the rows that belong to images into new files, in the order of the names."""
        for what in ("descriptors", "locations"):
            key, width = f"{what}_file", self.dimension if what == "descriptors" else 2
            stored = np.memmap(
                self._path(key), dtype=np.float32, mode="r", shape=(self.rows, width)
            )  # fmt: skip
            self.search[key] = f"{what}-{self.generation}.bin"
            with self._path(key).open("wb") as file, naming_file(self._path(key)):
                for start, count in zip(self.images.starts, self.images.counts):
                    file.write(stored[start : start + count].tobytes())
        counts = self.images.counts
        starts = np.cumsum(counts) - counts
        self.images = ImageTable(
            self.images.names, starts, counts, self.images.extents, self.images.checksums
        )
        self.rows = self.images.features


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option `--index_...` for each of the `IndexSettings`."""
    group = parser.add_argument_group("the kind of index; see IndexSettings and delf_config.yaml")
    for field in fields(IndexSettings):
        choices = KINDS if field.name == "kind" else None
        group.add_argument(
            f"--index_{field.name}",
            type=type(field.default),
            default=field.default,
            choices=choices,
            help="(%(default)s)",
        )


def settings_from_arguments(arguments: argparse.Namespace) -> IndexSettings:
    """Return the settings that `add_index_arguments` has read."""
    names = [field.name for field in fields(IndexSettings)]
    return IndexSettings(**{name: getattr(arguments, f"index_{name}") for name in names})
