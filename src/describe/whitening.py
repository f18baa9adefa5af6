"""From the pooled vectors of a photo's levels to its global descriptor: adding up and whitening."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import PathLike, write_npz
from src.common.errors import UserError, one_line, raise_if_of_system
from src.common.json_files import parse_json, shaped
from src.common.npy_format import read_npz
from src.delf_config import CONV5_CHANNELS, DelfConfig
from src.extract_utils_np import pyramid_level_sizes, unit_length

FORMAT = 1
#: The scales of the pyramid whose vectors are added up: smaller levels were of no use.
GLOBAL_SCALES = (0.5, 0.7071, 1.0, 1.4142, 2.0)


@dataclass(frozen=True)
class Whitening:
    """A whitening of global descriptors, and the network it was fitted for.

    Attributes:
        mean: float32 [2048].
        projection: float16 [2048, G], as it is kept; one number of the result a column.
        network: fingerprint of the weights up to conv4, see `network.weights.fingerprint`.
        conv5: fingerprint of those of conv5.
        scales: of the pyramid levels that are added up.
        about: where it comes from (JSON values).
    """

    mean: np.ndarray
    projection: np.ndarray
    network: str
    conv5: str
    scales: tuple[float, ...] = GLOBAL_SCALES
    about: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def dimension(self) -> int:
        """Length G of a global descriptor."""
        return self.projection.shape[1]

    @property
    def fingerprint(self) -> str:
        """A short text that differs where the descriptors would."""
        digest = hashlib.sha256(json.dumps([list(self.scales), self.conv5]).encode())
        for array, kind in ((self.mean, "<f4"), (self.projection, "<f2")):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array, kind).tobytes())
        return digest.hexdigest()[:16]

    def levels(self, height: int, width: int, config: DelfConfig) -> list[int]:
        """Return which levels of a photo's pyramid are added up: their places in it, at least one.

        A photo too small for some of them, or a pyramid without, makes do with what is there.
        """
        sizes = pyramid_level_sizes(height, width, config)
        largest = max(range(len(sizes)), key=lambda place: sizes[place].scale)
        # The scales of the levels count from the photo, those of the settings from the base image.
        ratio = max(config.image_scales) / sizes[largest].scale
        places = [
            place for place, size in enumerate(sizes) if _is_one(size.scale * ratio, self.scales)
        ]
        return places or [largest]

    def apply(self, pooled: np.ndarray) -> np.ndarray:
        """Return the global descriptor of a photo.

        Args:
            pooled: float32 [levels, 2048], a vector of each level that counts.

        Returns:
            float32 [G], unit length.
        """
        whole = aggregate(pooled)
        # Not a BLAS product: its last bits depend on the number of threads.
        white = np.einsum("c,cd->d", whole - self.mean, self._single)
        return unit_length(white[None])[0]

    @cached_property
    def _single(self) -> np.ndarray:
        """The projection in float32, in which it is computed with."""
        return self.projection.astype(np.float32)


def aggregate(pooled: np.ndarray) -> np.ndarray:
    """Return the sum of level vectors [levels, 2048], each of length 1, brought to length 1."""
    return unit_length(unit_length(pooled).sum(axis=0, keepdims=True))[0]


def fits_pyramid(scales: Sequence[float], config: DelfConfig) -> bool:
    """Tell whether a pyramid has any of these scales."""
    return any(_is_one(scale, scales) for scale in config.image_scales)


def _is_one(scale: float, scales: Sequence[float]) -> bool:
    return any(math.isclose(scale, other, rel_tol=1e-3) for other in scales)


def write_whitening(path: PathLike, whitening: Whitening) -> None:
    """Write a whitening; equal ones give equal bytes (npz)."""
    write_npz(
        path,
        {
            "format": np.int32(FORMAT),
            "mean": np.asarray(whitening.mean, np.float32),
            "projection": np.asarray(whitening.projection, np.float16),
            "network": np.array(whitening.network),
            "conv5": np.array(whitening.conv5),
            "scales": np.array(whitening.scales, np.float64),
            "about": np.array(json.dumps(whitening.about, sort_keys=True)),
        },
    )


def read_whitening(path: PathLike) -> Whitening:
    """Read a whitening.

    Raises:
        UserError: the file is missing, damaged, or something else.
    """
    path = Path(path)
    try:
        arrays = read_npz(path)
        if arrays["format"] != FORMAT:
            raise ValueError(f"it is of format {arrays['format']}, not {FORMAT}")
        whitening = Whitening(
            arrays["mean"],
            arrays["projection"],
            str(arrays["network"]),
            str(arrays["conv5"]),
            tuple(arrays["scales"].tolist()),
            shaped(parse_json(str(arrays["about"])), dict[str, Any]),
        )
        _check(whitening)
    except FileNotFoundError:
        raise UserError(
            f"there is no whitening {path}; fit one with src/describe/fit_whitening.py, or give "
            "--whitening_path=auto"
        ) from None
    except KeyError as error:
        raise _unreadable(path, f"it lacks {error}") from None
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise_if_of_system(error, path)
        raise _unreadable(path, one_line(error)) from None
    return whitening


def _unreadable(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} is no readable whitening of global descriptors ({reason}); copy it or fit it again"
    )


def _check(whitening: Whitening) -> None:
    """Raise `ValueError` unless the parts of a whitening can be computed with."""
    mean, projection = whitening.mean, whitening.projection
    if mean.shape != (CONV5_CHANNELS,) or projection.ndim != 2:
        raise ValueError(f"its mean is {mean.shape} and its projection {projection.shape}")
    length, dimension = projection.shape
    if length != CONV5_CHANNELS or not 0 < dimension <= CONV5_CHANNELS:
        raise ValueError(f"its projection is {projection.shape}, not [{CONV5_CHANNELS}, G]")
    if (mean.dtype, projection.dtype) != (np.float32, np.float16):
        raise ValueError(f"its numbers are {mean.dtype} and {projection.dtype}")
    if not (np.isfinite(mean).all() and np.isfinite(projection).all()):
        raise ValueError("it holds numbers that are not finite")
    if not whitening.scales or min(whitening.scales) <= 0:
        raise ValueError(f"its scales are {whitening.scales}")
