"""Postprocessing: what an engine says of a photo's pyramid in, features out.

The same for every engine: the features are chosen and reduced by `select_features`. Of the C++
program whole feature maps come through the pipe: reading them takes tens of milliseconds a photo,
and choosing in the program would be a second DELF.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.extract_utils_np import LevelOutput, NotFiniteError, Projection, select_features
from src.feature_io import Features


class Whole(NamedTuple):
    """What a feature file keeps of a photo beside its local features; see `Features`.

    Attributes:
        size: (height, width) in pixels of the whole photo; None where it is not known.
        global_descriptor: float32 [G] of what was described; None for a photo without texture.
    """

    size: tuple[int, int] | None
    global_descriptor: np.ndarray | None


class PhotoOutputs(NamedTuple):
    """What an engine says of a photo.

    Attributes:
        name: of the photo's features.
        levels: the output of each level, none for a photo without texture; None for a photo that
            could not be read.
        size: (height, width) in pixels of what was described, as it was turned for that.
        origin: (y, x) of its first pixel in the whole photo, as that lies.
        reason: why there are no levels.
        photo_size: (height, width) in pixels of the whole photo; None where it is not known.
        whole: what is to be kept of all of it beside the local features; None for nothing.
    """

    name: str
    levels: list[LevelOutput] | None
    size: tuple[int, int] = (0, 0)
    origin: tuple[int, int] = (0, 0)
    reason: str = ""
    photo_size: tuple[int, int] | None = None
    whole: Whole | None = None

    @classmethod
    def unreadable(cls, name: str, reason: str) -> PhotoOutputs:
        """Return what is to be said of a photo that could not be read."""
        return cls(name, None, reason=reason)


class Described(NamedTuple):
    """What is known of a photo at the end.

    Attributes:
        name: of the photo's features.
        features: None where there are none.
        reason: why there are none.
        finite: False where that is because the network gave values that are not finite.
    """

    name: str
    features: Features | None
    reason: str
    finite: bool = True


def choose_features(
    outputs: PhotoOutputs, config: DelfConfig, pca: Projection | None = None, turn: int = 0
) -> Described:
    """Return the features of a photo, located in the whole photo.

    A photo of which the network gives values that are not finite is one bad photo among others;
    whether the weights are to blame is told by whether it happens to all, see `blamed_weights`.

    Args:
        outputs: what the engine says.
        config: the settings.
        pca: the projection, where `config.use_pca` is set.
        turn: quarter turns, counter-clockwise, by which the photo was turned before.
    """
    if outputs.levels is None:
        return Described(outputs.name, None, outputs.reason)
    try:
        features = select_features(outputs.levels, *outputs.size, config, pca)
        if outputs.whole is not None:
            features = _completed(features, outputs.whole)
    except NotFiniteError as error:
        return Described(outputs.name, None, f"photo {outputs.name}: {error}", finite=False)
    features = features.turned_back(turn, outputs.size).shifted(outputs.origin)
    return Described(outputs.name, features, "")


def _completed(features: Features, whole: Whole) -> Features:
    """Return features with what is kept of the whole photo."""
    descriptor = whole.global_descriptor
    if descriptor is not None and not np.isfinite(descriptor).all():
        raise NotFiniteError("the network gives values that are not finite")
    return dataclasses.replace(features, size=whole.size, global_descriptor=descriptor)


def blamed_weights(photos: int, source: str) -> UserError:
    """Return what to tell a person when the network's output is not finite for any photo.

    Args:
        photos: how many the network was run on.
        source: where the weights come from.
    """
    return UserError(
        f"the network gives values that are not finite for each of {photos} photos: the weights "
        f"{source} are damaged, their training went astray, or half precision is too small for them"
    )
