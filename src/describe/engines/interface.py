"""What an engine is: whatever runs the network over the pyramids of photos.

Code that describes photos holds an `Engine` and never asks which one. A new runtime is a class with
these members and a line in `choice.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from src.common.atomic_files import PathLike
from src.delf_config import DelfConfig
from src.describe.stopwatch import Stopwatch
from src.describe.tasks import PhotoTask
from src.postprocess import PhotoOutputs


class Engine(Protocol):
    """Runs the network of some weights.

    Picklable, and opened when photos come, in the process that describes them.

    Attributes:
        name: as in the setting `engine`.
        fingerprint: identifies the weights, see `network.weights.fingerprint`.
        has_attention: whether the scores are those of a trained attention.
    """

    name: str
    fingerprint: str
    has_attention: bool

    def settings(self) -> dict[str, Any]:
        """Return what the features depend on besides the weights, as JSON values.

        Nothing for the engine that features without a word about their engine were made by.
        """

    def processes(self, devices: Sequence[int]) -> tuple[int, ...]:
        """Return the devices that are to have a process each, of those that may be used."""

    def outputs(
        self,
        images_path: PathLike,
        tasks: Sequence[PhotoTask],
        config: DelfConfig,
        device_id: int = 0,
        stopwatch: Stopwatch | None = None,
    ) -> Iterator[PhotoOutputs]:
        """Yield what the network says of each photo's pyramid, in order.

        It may read ahead, batch or stream as it likes, in bounded memory.

        Args:
            images_path: folder of the photos.
            tasks: the photos.
            config: the pyramid.
            device_id: which device.
            stopwatch: counts the parts "decode", "pyramid" and "network".

        Raises:
            UserError: the weights or the device cannot be used, or the runtime failed.
        """
