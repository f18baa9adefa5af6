"""Parts of a list of photos, described apart, become one feature folder.

    python3 src/describe/merge.py --parts FEATURES [FEATURES …] --feature_path MERGED [--unpacked]

Parts are packed stores or folders of feature files, and so is what is made: a single one packs a
folder, or with --unpacked unpacks a store. What is there already is kept, so that a merge that was
ended goes on, and one that is complete does nothing. The order of the parts does not matter.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from src.common.atomic_files import PathLike
from src.common.errors import UserError, run_command
from src.common.locks import wait_for
from src.common.packed_arrays import pack_arrays
from src.common.packed_store import PackedStore, is_packed, open_store, record_sum
from src.common.progress import progress
from src.describe.claim import UNFINISHED_NAME, check_claim, claim_folder
from src.describe.keepers import chosen_store, packing
from src.describe.parts import check_complete, read_part
from src.describe.record import Noted, Record, write_record
from src.feature_io import (
    MANIFEST_NAME,
    DamagedFeaturesError,
    Manifest,
    Origin,
    check_settings,
    feature_path,
    features_checksum,
    look_at_features,
    read_features,
    read_manifest,
    settings_digest,
    write_features,
    write_manifest,
)

LOG = logging.getLogger(__name__)

_LOCK = ".merge.lock"
_UNKNOWN = Noted(-1, -1)


@dataclass(frozen=True)
class Union:
    """What parts hold together.

    Attributes:
        manifest: of all of them.
        folders: name → the part that it is in, sorted by name; not those that failed.
        noted: what the parts note of photos.
    """

    manifest: Manifest
    folders: Mapping[str, Path]
    noted: Mapping[str, Noted]

    @classmethod
    def of(cls, parts: Sequence[PathLike]) -> Union:
        """Look at parts.

        Raises:
            UserError: one has not been described to its end, is missing, was made with other
                settings, or two hold different features of one name.
        """
        manifests = {Path(folder): _whole_manifest(Path(folder)) for folder in parts}
        first = next(iter(manifests))
        images: dict[str, str] = {}
        folders: dict[str, Path] = {}
        failed: dict[str, str] = {}
        noted: dict[str, Noted] = {}
        for folder, manifest in manifests.items():
            what = f"the part {folder}, unlike {first},"
            check_settings(manifest.settings, manifests[first].settings, what)
            failed |= manifest.failed
            images.update(manifest.images)
            for name in (name for name in manifest.names if name not in manifest.failed):
                there = folders.setdefault(name, folder)
                if there != folder and _sum(there, name) != _sum(folder, name):
                    raise UserError(
                        f"the features of {name} in {folder} are not those in {there}; are they "
                        "of two photos of one name? rename one of them"
                    )
            noted.update(Record.read(folder).photos)
        check_complete({folder: read_part(folder) for folder in manifests})
        failed = {name: why for name, why in failed.items() if name not in folders}
        settings = manifests[first].settings
        whole = Manifest(tuple(sorted(images.items())), settings, dict(sorted(failed.items())))
        return cls(whole, {name: folders[name] for name in sorted(folders)}, noted)


def _whole_manifest(folder: Path) -> Manifest:
    if not folder.is_dir():
        raise UserError(f"there is no part {folder}; name the feature folders of the parts")
    if (folder / MANIFEST_NAME).exists():
        return read_manifest(folder)
    part = read_part(folder)
    which = f"{folder} ({part})" if part else f"{folder}"
    raise UserError(
        f"the part {which} ends half-way: it has no {MANIFEST_NAME}; run its extraction again, "
        "what is there is kept"
    )


def _sum(folder: Path, name: str) -> str:
    """Return the sum of a photo's record, packed or not yet."""
    if is_packed(folder):
        return features_checksum(feature_path(folder, name))
    return record_sum(pack_arrays(read_features(feature_path(folder, name)).arrays()))


def merge(parts: Sequence[PathLike], feature_folder: PathLike, store: str = "packed") -> Manifest:
    """Put the features of parts into one folder; see the top of this file.

    Args:
        parts: feature folders of any kind.
        feature_folder: what is made; a folder of ours is gone on with.
        store: how features are kept there, one of `keepers.STORES`.

    Returns:
        What it holds.

    Raises:
        UserError: as `Union.of`; the folder is a part itself, of the other kind, or holds other
            features; features are damaged.
    """
    folder = Path(feature_folder)
    if folder.resolve() in {Path(part).resolve() for part in parts}:
        raise UserError(f"{folder} is one of the parts; give another folder for all of them")
    union = Union.of(parts)
    settings = union.manifest.settings
    check_claim(folder, settings)
    if chosen_store(folder, store) != store:
        there = "packed" if store == "files" else "in files"
        raise UserError(f"the features in {folder} are {there}; give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with wait_for(folder / _LOCK, f"another process is merging into {folder}"):
        claim_folder(folder, settings)
        noted = _pack(union, folder) if store == "packed" else _unpack(union, folder)
        _complete(union, folder, noted)
    LOG.info("%s: %d photos of %d parts", folder, len(union.manifest.images), len(parts))
    return union.manifest


def _pack(union: Union, folder: Path) -> dict[str, Noted]:
    """Append what a packed store lacks, in the order of the names; return what is to be noted."""
    there, times = {}, {}
    if is_packed(folder):
        store = PackedStore(folder)
        there, times = store.whole(store.damages()), store.times()
    _refuse_others(folder, there, union)
    noted = {}
    with packing(folder, settings_digest(union.manifest.settings), 0, times) as keeper:
        for name, part in progress(union.folders.items(), "merging", "photo"):
            about = there.get(name, {})
            photo, checksum, record = _record(part, name, about.get("sum"))
            if record is not None:
                keeper.append(name, photo, checksum, record)
            noted[name] = union.noted.get(name, _UNKNOWN)._replace(digest=photo, checksum=checksum)
    PackedStore(folder).keep_table()
    return noted


def _record(part: Path, name: str, known: str | None) -> tuple[str, str, bytes | None]:
    """Return digest of the photo, sum and bytes of its record; None where it is the known one.

    Raises:
        DamagedFeaturesError: the features cannot be read.
    """
    place = feature_path(part, name)
    if not is_packed(part):
        origin = look_at_features(place, thoroughly=True).origin
        record = pack_arrays(read_features(place).arrays())
        checksum, photo = record_sum(record), origin.photo if origin else ""
    else:
        try:
            about, record = open_store(part).record(name)
        except (KeyError, UserError):
            read_features(place)  # says it
            raise
        checksum, photo = about["sum"], about["photo"]
    return photo, checksum, None if checksum == known else record


def _unpack(union: Union, folder: Path) -> dict[str, Noted]:
    """Write the feature files that a folder lacks; return what is to be noted."""
    settings = settings_digest(union.manifest.settings)
    noted = {}
    for name, part in progress(union.folders.items(), "unpacking", "photo"):
        features = read_features(feature_path(part, name))
        photo = _photo(part, name)
        path = feature_path(folder, name)
        try:
            is_there = look_at_features(path, thoroughly=True).origin == Origin(photo, settings)
        except DamagedFeaturesError:
            is_there = False
        if not is_there:
            write_features(path, features, Origin(photo, settings), False)
        known = union.noted.get(name, _UNKNOWN)
        noted[name] = known._replace(digest=photo, checksum=features_checksum(path))
    return noted


def _photo(part: Path, name: str) -> str:
    """Return the digest of the photo that features were made of, "" where it is not known."""
    if is_packed(part):
        return open_store(part).record(name)[0]["photo"]
    origin = look_at_features(feature_path(part, name)).origin
    return origin.photo if origin else ""


def _refuse_others(folder: Path, there: Mapping[str, object], union: Union) -> None:
    others = sorted(there.keys() - union.folders.keys())
    if others:
        raise UserError(
            f"{folder} holds {len(others)} photos that are in none of the parts (the first: "
            f"{others[0]}); name their folder as a part too, or merge into another folder"
        )


def _complete(union: Union, folder: Path, noted: Mapping[str, Noted]) -> None:
    """Write record and manifest of a merged folder where they say something else."""
    before = Record.read(folder).photos
    failures = union.manifest.failed.keys() & union.noted.keys()
    noted = {**{name: union.noted[name] for name in failures}, **noted}
    if noted != before:
        write_record(folder, noted, before)
    try:
        is_written = read_manifest(folder) == union.manifest
    except UserError:
        is_written = False
    if not is_written:
        write_manifest(folder, union.manifest)
    with contextlib.suppress(FileNotFoundError):
        (folder / UNFINISHED_NAME).unlink()


def main() -> None:
    """Merge parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", required=True, nargs="+", help="feature folders")
    parser.add_argument("--feature_path", required=True, help="the folder to make")
    parser.add_argument("--unpacked", action="store_true", help="a file a photo (npz)")
    arguments = parser.parse_args()
    merge(arguments.parts, arguments.feature_path, "files" if arguments.unpacked else "packed")


if __name__ == "__main__":
    run_command(main)
