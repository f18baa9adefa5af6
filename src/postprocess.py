"""Postprocessing: what an engine says of a photo's pyramid in, features out.

The same for every engine: the features are chosen and reduced by `select_features`. Of the C++
program whole feature maps come through the pipe: reading them takes tens of milliseconds a photo,
and choosing in the program would be a second DELF.
"""

from __future__ import annotations

from typing import NamedTuple

from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.extract_utils_np import LevelOutput, NotFiniteError, Projection, select_features
from src.feature_io import Features


class PhotoOutputs(NamedTuple):
    """What an engine says of a photo.

    Attributes:
        name: of the photo's features.
        levels: the output of each level, none for a photo without texture; None for a photo that
            could not be read.
        size: (height, width) in pixels of what was described.
        origin: (y, x) of its first pixel in the whole photo.
        reason: why there are no levels.
    """

    name: str
    levels: list[LevelOutput] | None
    size: tuple[int, int] = (0, 0)
    origin: tuple[int, int] = (0, 0)
    reason: str = ""

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
    outputs: PhotoOutputs, config: DelfConfig, pca: Projection | None = None
) -> Described:
    """Return the features of a photo, located in the whole photo.

    A photo of which the network gives values that are not finite is one bad photo among others;
    whether the weights are to blame is told by whether it happens to all, see `blamed_weights`.

    Args:
        outputs: what the engine says.
        config: the settings.
        pca: the projection, where `config.use_pca` is set.
    """
    if outputs.levels is None:
        return Described(outputs.name, None, outputs.reason)
    try:
        features = select_features(outputs.levels, *outputs.size, config, pca)
    except NotFiniteError as error:
        return Described(outputs.name, None, f"photo {outputs.name}: {error}", finite=False)
    return Described(outputs.name, features.shifted(outputs.origin), "")


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
