"""Weights in files: MindSpore's checkpoints, and Keras' h5 where one may stand in its place.

Checkpoints of this project hold beside their tensors a sum of them, which every reader compares.
It stands at the head of the file, so that a file that lost its end is never one that had no sum.
Checkpoints written before there was a sum, or by other programs, are read without.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from src.common.atomic_files import atomic_path
from src.common.durable import to_disk
from src.common.errors import UserError, one_line, raise_if_of_system
from src.network.checkpoint_format import names_in, tensors_in, write_tensors
from src.network.keras_h5 import convert_h5, is_h5
from src.network.weights import Weights, check_numbers, digest_of

_SUM = "delf.sha256"  # as a tensor of 32 bytes


def read_weights(path: str | Path) -> Weights:
    """Return the tensors of a checkpoint (.ckpt) or of Keras weights (.h5), in our names."""
    return convert_h5(path) if is_h5(path) else read_checkpoint(path)


def read_checkpoint(path: str | Path) -> Weights:
    """Return every tensor of a MindSpore checkpoint by name.

    Raises `UserError` for a file that is missing, damaged or no checkpoint, and for one that holds
    numbers nobody can compute with.
    """
    with _readable(path):
        weights = dict(tensors_in(Path(path)))
    written = weights.pop(_SUM, None)
    check_numbers(weights, f"checkpoint {path}")  # first, since it can say where
    if written is not None and written.tobytes() != _combined(_sums(weights.items())):
        raise UserError(
            f"checkpoint {path} is damaged: its tensors are not those that were written; copy it "
            "again, or take another one"
        )
    return weights


def read_names(path: str | Path) -> set[str]:
    """Return the names of the tensors of a checkpoint, whose values may be damaged.

    Raises `UserError` for a file that is missing or no checkpoint.
    """
    with _readable(path):
        return names_in(Path(path)) - {_SUM}


@contextlib.contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Say what is wrong with a checkpoint that is read in the block, in our words."""
    if not Path(path).is_file():
        raise UserError(f"checkpoint {path} does not exist; give the path of a .ckpt or .h5 file")
    try:
        yield
    except (ValueError, OSError) as error:
        raise_if_of_system(error, path)
        raise UserError(
            f"checkpoint {path} cannot be read: it is damaged or no MindSpore checkpoint "
            f"({one_line(error)}); weights of PyTorch or TensorFlow are converted by "
            "src/convert_h5_to_weight.py --weights"
        ) from error


def _sums(tensors: Iterable[tuple[str, np.ndarray]]) -> dict[str, bytes]:
    """Return the sum of each tensor by name; one is in memory at a time."""
    return {name: digest_of({name: value}) for name, value in tensors}


def _combined(sums: dict[str, bytes]) -> bytes:
    return hashlib.sha256(b"".join(sums[name] for name in sorted(sums))).digest()


def write_checkpoint(path: str | Path, weights: Weights) -> None:
    """Write named tensors as a MindSpore checkpoint, in one step.

    When this returns, the file is on the disk, and what was read back of it is what was written.

    Raises:
        UserError: it is not.
    """
    path = Path(path)
    sums = _sums(weights.items())
    summed = {_SUM: np.frombuffer(_combined(sums), np.uint8).copy(), **weights}
    with atomic_path(path) as temporary:
        with open(temporary, "wb") as file:
            write_tensors(file, summed.items())
        to_disk(temporary)
        _forget_cached(temporary)
        if not _holds(temporary, {**sums, **_sums([(_SUM, summed[_SUM])])}):
            raise UserError(
                f"checkpoint {path} was not kept: read back from the disk, it is another one; "
                "check the disk"
            )
    to_disk(path.parent)


def _holds(path: Path, sums: dict[str, bytes]) -> bool:
    try:
        return _sums(tensors_in(path)) == sums
    except ValueError:
        return False


def _forget_cached(path: Path) -> None:
    """Let the next reader see what the disk has, not what the memory still holds of it."""
    if not hasattr(os, "posix_fadvise"):  # macOS, Windows
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
