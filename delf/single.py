"""The features of one photo, and the match of two."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from delf.settings import settings_of
from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.describe.one_photo import described
from src.describe.pca import Pca
from src.describe.pca_choice import find_pca
from src.describe.recipe import Describer, DescribeSettings, choose_describer
from src.describe.tasks import PhotoTask
from src.feature_io import Features as Features
from src.ranking.pair import MatchSettings, match_pair
from src.ranking.pair import PairMatch as PairMatch


def describe(photo: PathLike, weights: PathLike | None = None, **settings: Any) -> Features:
    """Return the features of a photo.

    Args:
        photo: its file.
        weights: checkpoint; by default the ImageNet weights, which are got the first time.
        settings: any of delf_config.yaml, by name (`max_feature_num=300`, `max_level_side=2048`).

    Returns:
        Locations, float32 [N, 2], (y, x) in pixels of the photo; descriptors, float32 [N, 40], of
        unit length, or [N, 1024] where no PCA is there for the weights; scales and scores, float32
        [N]; where a whitening is there, a global descriptor, float32 [1024], of unit length.

    Raises:
        UserError: the photo or the weights cannot be read, or a setting is none.
    """
    describer, pca = _describer(_key(weights, settings))
    path = Path(os.path.abspath(photo))
    if not path.exists():
        raise UserError(f"there is no photo {path}")
    tasks = [PhotoTask(path.name, path.name)]
    (found,) = described(
        describer.engine,
        path.parent,
        tasks,
        describer.features,
        pca,
        describer.devices[0],
    )
    if found.features is None:
        raise UserError(
            f"{path}: {found.reason}" if path.name not in found.reason else found.reason
        )
    return found.features


def match(
    first: PathLike, second: PathLike, weights: PathLike | None = None, **settings: Any
) -> PairMatch:
    """Match two photos: mutual nearest descriptors that agree on one affine map.

    Args:
        first, second: the photos.
        weights, settings: see `describe`.

    Returns:
        Locations of the matches in each photo, float32 [M, 2], (y, x); which are inliers, bool
        [M]; the map, float64 [2, 3], from (x, y, 1) of the first to (x, y) of the second, or None.

    Raises:
        UserError: see `describe`.
    """
    features = [describe(photo, weights, **settings) for photo in (first, second)]
    return match_pair(*features, MatchSettings())


def _key(weights: PathLike | None, settings: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    given = {**settings, **({} if weights is None else {"checkpoint_path": str(weights)})}
    hashable = {n: tuple(v) if isinstance(v, list) else v for n, v in given.items()}
    return tuple(sorted(hashable.items()))


@functools.lru_cache(maxsize=2)
def _describer(given: tuple[tuple[str, Any], ...]) -> tuple[Describer, Pca | None]:
    """Return what describes by some settings; the network stays open for the next photo."""
    settings = DescribeSettings.from_config(settings_of(dict(given)))
    describer = choose_describer(settings)
    pca = find_pca(settings, describer) if describer.features.use_pca else None
    return (describer if pca is not None else describer.without_pca()), pca
