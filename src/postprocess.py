"""Postprocessing for the inference program: a stream of feature maps in, features out.

The last of the three parts of the chain (see `src/describe/engines/lite_program.py`). The features
are chosen and reduced by the same `select_features` as everywhere. Whole maps come through the
pipe: reading them takes tens of milliseconds a photo, and choosing in the program would be a second
DELF.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from src.delf_config import DelfConfig
from src.describe.level_stream import ResultFrame
from src.describe.pca import Pca
from src.extract_utils_np import select_features
from src.feature_io import Features


class Described(NamedTuple):
    """What is known of a photo at the end: its features, or the reason why there are none."""

    name: str
    features: Features | None
    reason: str


def receive_features(
    frames: Iterable[ResultFrame], config: DelfConfig, pca: Pca | None
) -> Iterator[Described]:
    """Yield the features of the photos of a stream, in its order, located in the whole photos."""
    for frame in frames:
        if frame.outputs is None:
            yield Described(frame.name, None, frame.context["reason"])
            continue
        size = frame.context["height"], frame.context["width"]
        features = select_features(frame.outputs, *size, config, pca)
        yield Described(frame.name, features.shifted(frame.context["origin"]), "")
