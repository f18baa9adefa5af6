"""Building the index of one or several feature folders, and keeping it up to date."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.feature_io import check_settings
from src.index.choice import IndexSettings
from src.index.draft import Draft
from src.index.files import INDEX, VECTORS, check_files, is_two_stage, read_description
from src.index.folder import load_index
from src.index.image_table import ImageTable
from src.index.sources import FeatureFolders, Sources, some_of
from src.index.stores.photo_table import kept_checksum
from src.index.two_stage_files import has_moved, write_two_stage

LOG = logging.getLogger(__name__)


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
    return Sources.read(features_folders, names).settings(settings)


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
    sources = Sources.read(features_folders, names)
    wanted = sources.settings(settings)
    if INDEX.exists(folder):
        _keep(folder, wanted)
        _follow(folder, sources, settings)
        return
    with INDEX.writing(folder):
        if INDEX.exists(folder):  # another process was faster
            _keep(folder, wanted)
            return
        _write_new(folder, sources, settings, 1)


def _write_new(folder: Path, sources: Sources, settings: IndexSettings, generation: int) -> None:
    """Write an index of the kind that suits the sources, whatever was there."""
    if settings.wants_two_stages(len(sources.checksums), sources.has_globals):
        write_two_stage(folder, sources, settings, generation)
        _warn_of_duplicates(sources.checksums, sources.checksums)
        return
    draft = Draft.first(folder, settings, sources.features, generation)
    draft.append(sources, sources.checksums)
    draft.make_search()
    draft.commit()
    _warn_of_duplicates(_with_features(draft.images), draft.images.names)
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
    if not INDEX.exists(folder):
        build_index(features_folders, folder, settings, names)
        return IndexChanges(added=tuple(load_index(folder).names))
    sources = Sources.read(features_folders, names)
    with INDEX.writing(folder):
        description = read_description(folder)
        there = description["settings"]
        wanted = {"index": settings.as_json(), "features": sources.features}
        check_settings({key: there.get(key) for key in wanted}, wanted, f"index {folder}")
        is_so = is_two_stage(description)
        if is_so or settings.wants_two_stages(len(sources.checksums), sources.has_globals):
            changes = _update_two_stages(folder, description, sources, settings)
        else:
            changes = _update_local(folder, sources)
    if changes:
        LOG.info("index %s: %s", folder, changes)
    else:
        LOG.info("the index %s is up to date", folder)
    return changes


def _update_local(folder: Path, sources: Sources) -> IndexChanges:
    """Bring an index of local features up to date; one without sums gets them."""
    draft = Draft.of(folder)
    before = dict(zip(draft.images.names, draft.images.checksums))
    changes = _changes(before, sources.checksums)
    if not changes and draft.files.summed:
        return changes
    new = [*changes.added, *changes.replaced]
    draft.images = draft.images.select(sources.checksums.keys() - set(new))
    draft.append(sources, new)
    rebuilt = draft.extend_search()
    draft.commit()
    _warn_of_duplicates(_with_features(draft.images), new)
    LOG.info("index %s: %s", folder, draft)
    return replace(changes, rebuilt=rebuilt)


def _update_two_stages(
    folder: Path, description: Mapping[str, Any], sources: Sources, settings: IndexSettings
) -> IndexChanges:
    """Bring an index up to date that is searched in two stages, or is to be from now on."""
    generation, count = description["generation"] + 1, len(sources.checksums)
    if not is_two_stage(description):
        before = dict.fromkeys(load_index(folder).names, "")
        write_two_stage(folder, sources, settings, generation)
        changes = _changes(before, dict.fromkeys(sources.checksums, ""))
        return replace(changes, rebuilt=f"{count} images are searched in two stages")
    index = load_index(folder)
    kept = {name: digest.hex() for name, digest in index.names.digests().items()}
    now = {
        name: kept_checksum(checksum).hex() if checksum else ""
        for name, checksum in sources.checksums.items()
    }
    changes = _changes(kept, now)
    if settings.wants_two_stages(count, sources.has_globals, is_so=True):
        if changes or has_moved(index, sources):
            write_two_stage(folder, sources, settings, generation)
        _warn_of_duplicates(sources.checksums, {*changes.added, *changes.replaced})
        return changes
    del index  # its files are mapped; some systems do not remove such
    _write_new(folder, sources, settings, generation)
    shutil.rmtree(folder / VECTORS, ignore_errors=True)
    return replace(changes, rebuilt=f"all features of {count} images can vote")


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> IndexChanges:
    """Return what has changed of images, name → something that changes with its features."""
    new = [name for name in now if now[name] != before.get(name)]
    return IndexChanges(
        added=tuple(name for name in new if name not in before),
        replaced=tuple(name for name in new if name in before),
        removed=tuple(name for name in before if name not in now),
    )


def remove_images(index_folder: PathLike, names: Iterable[str]) -> IndexChanges:
    """Take images out of an index.

    Raises:
        UserError: when an image is not in the index, or none with features would be left.
    """
    folder = Path(index_folder)
    is_so = is_two_stage(read_description(folder))
    gone = sorted(set(names))
    if is_so:
        return _remove_of_two_stages(folder, gone)
    with INDEX.writing(folder):
        draft = Draft.of(folder)
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


def _remove_of_two_stages(folder: Path, gone: list[str]) -> IndexChanges:
    index = load_index(folder)
    there = list(index.names)
    unknown = sorted(set(gone) - set(there))
    if unknown:
        raise UserError(f"the index {folder} holds no image {', '.join(unknown)}")
    if not gone:
        return IndexChanges()
    left = set(there) - set(gone)
    if not left:
        raise UserError(f"no image of the index {folder} would be left; delete it instead")
    made_of = IndexSettings(**index.settings["index"], store=index.store_settings)
    features = index.features
    del index
    with INDEX.writing(folder):
        generation = read_description(folder)["generation"] + 1
        write_two_stage(folder, Sources.read(features, left), made_of, generation)
    changes = IndexChanges(removed=tuple(gone))
    LOG.info("index %s: %s", folder, changes)
    return changes


def _follow(folder: Path, sources: Sources, settings: IndexSettings) -> None:
    """Let an index in two stages read local features where they are now."""
    if not is_two_stage(read_description(folder)) or not has_moved(load_index(folder), sources):
        return
    with INDEX.writing(folder):
        generation = read_description(folder)["generation"] + 1
        write_two_stage(folder, sources, settings, generation)


def _keep(folder: Path, wanted: dict[str, Any]) -> None:
    """Accept an index that is there already, or refuse it."""
    description = read_description(folder)
    check_settings(description["settings"], wanted, f"index {folder}")
    check_files(folder, description)
    LOG.info("the index %s is complete", folder)


def _with_features(images: ImageTable) -> dict[str, str]:
    """Return name → checksum of the images of which there are features to compare."""
    known = zip(images.names, images.checksums, images.counts)
    return {name: checksum for name, checksum, count in known if count}


def _warn_of_duplicates(checksums: Mapping[str, str], new: Iterable[str]) -> None:
    """Say which of the new images have exactly the features of another one.

    Args:
        checksums: name → checksum of its feature file, "" where it has none.
        new: names.
    """
    checksums = {name: checksum for name, checksum in checksums.items() if checksum}
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
            some_of(twins),
        )
