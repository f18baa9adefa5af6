"""The features of one photo, and the match of two."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import Any

from delf.settings import check_names, settings_of
from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.describe.attention_map import attention_map
from src.describe.one_photo import described
from src.describe.pca import Pca
from src.describe.pca_choice import find_pca
from src.describe.recipe import Describer, DescribeSettings, choose_describer
from src.describe.tasks import PhotoTask
from src.feature_io import Features as Features
from src.pages.attention_picture import PICTURE_SUFFIXES, draw_attention, drawn_shape
from src.photos.reading import read_image
from src.postprocess import Described, choose_features
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
    path = _there(photo, settings)
    describer, pca = _describer(_key(weights, settings))
    tasks = [PhotoTask(path.name, path.name)]
    (found,) = described(
        describer.engine,
        path.parent,
        tasks,
        describer.features,
        pca,
        describer.devices[0],
    )
    return _read(found, path)


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
    for photo in (first, second):
        _there(photo, settings)
    features = [describe(photo, weights, **settings) for photo in (first, second)]
    return match_pair(*features, MatchSettings())


def attention(
    photo: PathLike, output: PathLike, weights: PathLike | None = None, **settings: Any
) -> Features:
    """Draw where the network looks in a photo: the map of its scores, and the features.

    Args:
        photo: its file.
        output: picture to write (.jpg, .png, …).
        weights, settings: see `describe`.

    Returns:
        The features that are drawn, with descriptors float32 [N, 1024].

    Raises:
        UserError: see `describe`; the picture cannot be written.
    """
    if Path(output).suffix.lower() not in PICTURE_SUFFIXES:
        known = ", ".join(PICTURE_SUFFIXES)
        raise UserError(f"{output} is no name of a picture; it must end in one of {known}")
    path = _there(photo, settings)
    describer, _ = _describer(_key(weights, {**settings, "use_pca": False}))
    config = describer.features
    task = PhotoTask(path.name, path.name)
    device = describer.devices[0]
    with contextlib.closing(
        describer.engine.outputs(path.parent, [task], config, device)
    ) as photos:
        outputs = next(iter(photos))
    features = _read(choose_features(outputs, config), path)
    image = read_image(path)
    heat = attention_map(outputs.levels, outputs.size, drawn_shape(image.shape[:2]), config)
    score = "attention" if config.score == "attention" else "norm of the descriptors"
    draw_attention(image, heat, features, output, f"{path.name}: {score}", config.stride)
    return features


def _there(photo: PathLike, settings: dict[str, Any]) -> Path:
    """Return the path of a photo; what is wrong is said before weights are fetched."""
    check_names(settings)
    path = Path(os.path.abspath(photo))
    if not path.exists():
        raise UserError(f"there is no photo {path}")
    return path


def _read(found: Described, path: Path) -> Features:
    """Return the features of a photo, or say why there are none."""
    if found.features is None:
        raise UserError(
            f"{path}: {found.reason}" if path.name not in found.reason else found.reason
        )
    return found.features


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
