"""A list of boxes with fields of one value a box."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class BoxList:
    """Boxes and what is known of each of them.

    Attributes:
        boxes: float32 [N, 4], (ymin, xmin, ymax, xmax) in pixels.
        fields: arrays whose first axis has the length N, by name.

    Raises:
        ValueError: a shape does not fit, or a box ends before it begins.
    """

    boxes: np.ndarray
    fields: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the shapes and the order of the corners."""
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise ValueError(f"boxes have shape {self.boxes.shape}, not [N, 4]")
        if (self.boxes[:, 2:] < self.boxes[:, :2]).any():
            raise ValueError("a box ends before it begins; the order is ymin, xmin, ymax, xmax")
        for name, values in self.fields.items():
            if len(values) != len(self.boxes):
                raise ValueError(f"{name} holds {len(values)} values for {len(self.boxes)} boxes")

    def __len__(self) -> int:
        return len(self.boxes)

    def centres(self) -> np.ndarray:
        """Return the middles of the boxes, float32 [N, 2], (y, x)."""
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2

    def areas(self) -> np.ndarray:
        """Return the areas of the boxes in square pixels, float32 [N]."""
        return (self.boxes[:, 2] - self.boxes[:, 0]) * (self.boxes[:, 3] - self.boxes[:, 1])

    def gather(self, indices: np.ndarray) -> BoxList:
        """Return the boxes of some indices, in their order, with their fields."""
        return BoxList(
            self.boxes[indices], {name: values[indices] for name, values in self.fields.items()}
        )
