"""How large a world to render."""

from __future__ import annotations

from dataclasses import dataclass

from src.common.errors import UserError

_LEAST = {
    "seed": 0,
    "train_landmarks": 2,
    "train_photos": 1,
    "retrieval_landmarks": 1,
    "retrieval_photos": 1,
    "queries": 1,
    "distractors": 0,
    "width": 32,
    "height": 32,
}
_LARGEST_SIDE = 4096


@dataclass(frozen=True)
class WorldOptions:
    """How large a world to render; see the command line's help."""

    seed: int = 0
    train_landmarks: int = 12
    train_photos: int = 30
    retrieval_landmarks: int = 6
    retrieval_photos: int = 10
    queries: int = 3
    distractors: int = 40
    width: int = 480
    height: int = 360

    def check(self) -> None:
        """Raise a UserError that names the first option that cannot be."""
        for name, low in _LEAST.items():
            if getattr(self, name) < low:
                raise UserError(f"--{name} is {getattr(self, name)}; give at least {low}")
        if max(self.width, self.height) > _LARGEST_SIDE:
            raise UserError(f"--width and --height go up to {_LARGEST_SIDE}")
        if self.queries > self.retrieval_photos:
            raise UserError(
                f"--queries ({self.queries}) are photos of a landmark: give at least as many "
                f"--retrieval_photos (now {self.retrieval_photos})"
            )
