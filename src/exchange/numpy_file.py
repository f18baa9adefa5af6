"""All features and matches of a feature folder as one npz file, for NumPy alone.

Of photo i are the rows `offsets[i]` to `offsets[i + 1]` of `locations` (float32, (y, x) of pixel
centres), `scales`, `descriptors` and `attention`; `names` and `sizes` (height, width) have a row a
photo, `global_descriptors` too where every photo has one. Of pair k are the rows `match_offsets[k]`
to `match_offsets[k + 1]` of `matches` (rows of the first and of the second photo, counted from
their beginning) and `inliers`; `pairs` has the two numbers of photos.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from src.common.atomic_files import PathLike, write_npz
from src.common.errors import one_line
from src.common.npy_format import read_npz
from src.exchange.pairs import MatchedPair
from src.exchange.photo_set import PhotoSet
from src.feature_io import DamagedFeaturesError, Features

FEATURES = "features.npz"
_BY_ROW = ("locations", "scales", "descriptors", "attention")


def write_numpy(path: PathLike, photos: PhotoSet, matched: Sequence[MatchedPair]) -> None:
    """Write the file; all of it passes through memory."""
    found = [photos.features(name) for name in photos.names]
    described = [each for each in found if len(each)] or found[:1]
    arrays = {name: np.concatenate([getattr(f, name) for f in described]) for name in _BY_ROW}
    arrays["names"] = np.array(photos.names)
    arrays["sizes"] = np.array([each.size for each in found], np.int32)
    arrays["offsets"] = _offsets(map(len, found))
    if all(each.global_descriptor is not None for each in found):
        arrays["global_descriptors"] = np.stack([each.global_descriptor for each in found])
    numbers = {name: number for number, name in enumerate(photos.names)}
    pairs = [(numbers[pair.first], numbers[pair.second]) for pair in matched]
    arrays["pairs"] = np.array(pairs, np.int32).reshape(-1, 2)
    arrays["match_offsets"] = _offsets(len(pair.matches) for pair in matched)
    none = np.zeros((0, 2), np.int32), np.zeros(0, bool)
    arrays["matches"] = np.concatenate([none[0], *(pair.matches for pair in matched)])
    arrays["inliers"] = np.concatenate([none[1], *(pair.inliers for pair in matched)])
    write_npz(path, arrays)


def read_numpy(path: PathLike) -> dict[str, Features]:
    """Read the features of such a file, by the photos' names.

    Raises:
        DamagedFeaturesError: it is missing, damaged, or something else.
    """
    try:
        arrays = read_npz(path)
        whole = arrays.get("global_descriptors")
        offsets = arrays["offsets"]
        return {
            str(name): Features(
                *(arrays[each][offsets[i] : offsets[i + 1]] for each in _BY_ROW),
                size=arrays["sizes"][i],
                global_descriptor=None if whole is None else whole[i],
            )
            for i, name in enumerate(arrays["names"])
        }
    except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
        raise DamagedFeaturesError(
            f"{path} is not a readable file of all features ({one_line(error)}); make it again"
        ) from None


def _offsets(counts: Iterable[int]) -> np.ndarray:
    """Return int64 [n + 1], where each part begins and the last one ends."""
    return np.cumsum([0, *counts], dtype=np.int64)
