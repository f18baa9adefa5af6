"""Which photo goes into which shard, and whether there is room for them."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.common.errors import UserError
from src.shards.inventory import SPLITS
from src.shards.selection import Selection
from src.shards.tables import choose_validation, shuffled

MAX_SHARDS = 1000  # of one set: names have three digits
IMAGES_A_SHARD = 8192
DEFAULT_MAX_SHARDS = 128

_INDEX_BYTES = 1 << 16  # of a shard beside its photos, at least
_SPARE_BYTES = 1 << 24  # MindRecord refuses to write to a disk with less


@dataclass(frozen=True)
class Plan:
    """What is to be written.

    Attributes:
        shards: by a shard's name the rows of the table that go into it, in their order.
        old_labels: int64 [K], sorted: the landmark id of each new label.
    """

    shards: dict[str, np.ndarray]
    old_labels: np.ndarray

    def sizes(self) -> dict[str, int]:
        """Return the number of photos in each shard."""
        return {name: len(rows) for name, rows in self.shards.items()}

    def photos(self, split: str) -> int:
        """Return the number of photos of a split."""
        return sum(size for name, size in self.sizes().items() if name.startswith(split))

    def new_labels(self, landmarks: np.ndarray) -> np.ndarray:
        """Return the labels of landmark ids that have one."""
        return np.searchsorted(self.old_labels, landmarks)

    def fingerprint(self, selection: Selection) -> str:
        """Identify what is to be written: photos, their order, labels and sizes."""
        digest = hashlib.sha256(self.old_labels.tobytes())
        table, sizes = selection.table, selection.sizes
        for name, rows in self.shards.items():
            digest.update(name.encode() + table.ids[rows].tobytes())
            digest.update(table.landmarks[rows].tobytes() + sizes[rows].tobytes())
        return digest.hexdigest()


def plan_shards(selection: Selection, num_shards: int | None, fraction: float, seed: int) -> Plan:
    """Split and shuffle the usable photos.

    Args:
        selection: the photos, checked.
        num_shards: of each split; None: by the number of photos.
        fraction: share of each landmark's photos kept for validation.
        seed: of split and order.

    Raises:
        UserError: there are fewer photos than shards.
    """
    ids, landmarks = selection.table.ids, selection.table.landmarks
    usable = np.flatnonzero(selection.usable())
    in_validation = choose_validation(ids[usable], landmarks[usable], fraction, seed)
    shards = {}
    for split, rows in zip(SPLITS, (usable[~in_validation], usable[in_validation])):
        number = num_shards or min(DEFAULT_MAX_SHARDS, -(-len(rows) // IMAGES_A_SHARD))
        if split == "train" and number > len(rows):
            raise UserError(
                f"num_shards is {number}, but there are only {len(rows)} photos to train with"
            )
        number = min(number, len(rows))
        for index, part in enumerate(np.array_split(shuffled(ids, rows, seed), max(number, 1))):
            if len(part):
                shards[f"{split}.mindrecord{index:03d}"] = part
    return Plan(shards, np.unique(landmarks[usable]))


def check_space(plan: Plan, selection: Selection, work: Path) -> None:
    """Make sure that the shards fit on the disk of the work folder, less what is there already.

    Raises:
        UserError: they do not.
    """
    data_bytes = sum(int(selection.sizes[rows].sum()) for rows in plan.shards.values())
    done = sum(path.stat().st_blocks * 512 for path in work.glob("*.mindrecord*"))
    # The padding of a shard is a hole in the file, which takes no space.
    needed = data_bytes + len(plan.shards) * _INDEX_BYTES + _SPARE_BYTES - done
    free = shutil.disk_usage(work).free
    if needed > free:
        raise UserError(
            f"the shards need about {needed / 1e9:.2f} GB and {work.parent} has "
            f"{free / 1e9:.2f} GB left; free some space or choose another --output_directory"
        )
