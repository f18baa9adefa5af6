"""hloc's HDF5 files: features, global descriptors, lists of pairs and matches.

`features.h5` has a group for each photo, named as its file: `keypoints` [N, 2] (x, y), `scores`
[N], `descriptors` [D, N], `image_size` (width, height), and in the attribute `uncertainty` of the
keypoints how exact they are, in pixels. hloc minds no more arrays beside them: `scales` [N] is kept
there. `matches.h5` has a group for each pair: `matches0` [N of the first], which keypoint of the
second is matched or −1, and `matching_scores0`. (hloc: extract_features.py, match_features.py,
utils/io.py, utils/parsers.py.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np

from src.common.atomic_files import PathLike, atomic_path, write_text
from src.common.errors import UserError, one_line
from src.common.progress import progress
from src.exchange.coordinates import from_centres, to_centres
from src.exchange.pairs import MatchedPair
from src.exchange.photo_set import PhotoSet
from src.feature_io import DamagedFeaturesError, Features

FEATURES, GLOBALS = "features.h5", "global-features.h5"
PAIRS, MATCHES = "pairs.txt", "matches.h5"
#: Cells of conv4 lie 16 pixels apart at scale 1: a location is known to a standard deviation of
#: 16 / √12 pixels in each direction, that of an even distribution.
CELL_DEVIATION = 16 / 12**0.5
_NO_HDF5 = (
    *(OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError),
    *(ArithmeticError, MemoryError),
)


def write_hloc(folder: PathLike, photos: PhotoSet, matched: Sequence[MatchedPair]) -> None:
    """Write all files of hloc into a folder, those of pairs where there are any.

    Raises:
        UserError: the name of a photo cannot stand in hloc's lists.
    """
    folder = Path(folder)
    check_hloc_names(photos.names)
    write_hloc_features(folder / FEATURES, photos)
    if all(photos.features(name).global_descriptor is not None for name in photos.names):
        write_hloc_globals(folder / GLOBALS, photos)
    if matched:
        lines = "".join(f"{pair.first} {pair.second}\n" for pair in matched)
        write_text(folder / PAIRS, lines)
        write_hloc_matches(folder / MATCHES, photos, matched)


def check_hloc_names(names: Sequence[str]) -> None:
    """Refuse names that hloc would take for others.

    Raises:
        UserError: a name has a space in it, or two are one when / becomes -, as in hloc's pairs.
    """
    spaced = [name for name in names if len(name.split()) != 1]
    if spaced:
        raise UserError(
            f"hloc's lists part names by spaces, and {len(spaced)} photos have one in their name, "
            f"the first is {spaced[0]!r}; rename them and describe them again"
        )
    flat: dict[str, str] = {}
    for name in names:
        other = flat.setdefault(_flat(name), name)
        if other != name:
            raise UserError(f"hloc's pairs cannot tell {other} from {name}; rename one of them")


def write_hloc_features(path: PathLike, photos: PhotoSet) -> None:
    """Write `features.h5`, in full precision."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for name in progress(photos.names, "writing features", "photo", len(photos)):
            features = photos.features(name)
            group = file.create_group(name)
            keypoints = group.create_dataset("keypoints", data=to_centres(features.locations))
            coarseness = float((1 / features.scales).mean()) if len(features) else 1.0
            keypoints.attrs["uncertainty"] = CELL_DEVIATION * coarseness
            group["descriptors"] = features.descriptors.T
            group["scores"] = features.attention
            group["scales"] = 1 / features.scales
            group["image_size"] = np.array(features.size[::-1])


def write_hloc_globals(path: PathLike, photos: PhotoSet) -> None:
    """Write the descriptors of whole photos, as hloc's retrieval (`pairs_from_retrieval`) reads."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for name in photos.names:
            group = file.create_group(name)
            group["global_descriptor"] = photos.features(name).global_descriptor


def write_hloc_matches(path: PathLike, photos: PhotoSet, matched: Iterable[MatchedPair]) -> None:
    """Write `matches.h5`: the verified matches; a pair without any is there with none."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for pair in matched:
            count = len(photos.features(pair.first))
            matches = np.full(count, -1, np.int32)
            scores = np.zeros(count, np.float32)
            matches[pair.verified[:, 0]] = pair.verified[:, 1]
            scores[pair.verified[:, 0]] = pair.scores[pair.inliers]
            group = file.create_group(f"{_flat(pair.first)}/{_flat(pair.second)}")
            group["matches0"] = matches
            group["matching_scores0"] = scores


def read_hloc_features(path: PathLike) -> dict[str, Features]:
    """Read a feature file of hloc, whoever's features they are, as features by the photos' names.

    Descriptors are brought to unit length (hloc keeps them in half precision); scores and scales
    are 1 where there are none.

    Raises:
        DamagedFeaturesError: it is missing, damaged, or something else.
    """
    if not Path(path).is_file():
        raise DamagedFeaturesError(f"there is no file {path}")
    try:
        with h5py.File(path, "r") as file:
            names: list[str] = []
            file.visititems(lambda name, item: _note(names, name, item))
            found = {name: _features(file[name]) for name in sorted(names)}
    except _NO_HDF5 as error:
        raise DamagedFeaturesError(
            f"{path} is not a readable feature file of hloc ({one_line(error)}); make it again"
        ) from None
    if not found:
        raise DamagedFeaturesError(f"{path} holds no keypoints; give a feature file of hloc")
    return found


def _note(names: list[str], name: str, item: h5py.Group | h5py.Dataset) -> None:
    if isinstance(item, h5py.Group) and "keypoints" in item:
        names.append(name)


def _features(group: h5py.Group) -> Features:
    points = np.asarray(group["keypoints"], np.float32).reshape(-1, 2)
    ones = np.ones(len(points), np.float32)
    descriptors = np.asarray(group["descriptors"], np.float32).T
    if not np.isfinite(descriptors).all():
        raise ValueError("descriptors hold values that are not finite")
    lengths = np.linalg.norm(descriptors.astype(np.float64), axis=1, keepdims=True)
    return Features(
        from_centres(points),
        1 / np.asarray(group["scales"], np.float32) if "scales" in group else ones,
        descriptors / np.where(lengths > 0, lengths, 1),
        np.asarray(group["scores"], np.float32) if "scores" in group else ones,
        np.asarray(group["image_size"])[::-1].astype(int) if "image_size" in group else None,
    )


def _flat(name: str) -> str:
    """Return the name of a photo as hloc writes it in the name of a pair."""
    return name.replace("/", "-")
