"""Whether a hit shows the same thing as the query: a calibrated probability, and a word for it.

Logistic regression (Platt, 1999) on what verification and the global descriptors say of a hit:
p = 1 / (1 + exp(−(bias + a · log(1 + inliers) + b · similarity))). It is fitted for the weights and
the whitening that describe the photos; for others nothing is said. `benchmarks/calibrate.py` fits
it, docs/ranking.md has how far it can be relied on.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from model_utils.environment import PROJECT_ROOT
from src.common.atomic_files import PathLike, write_json
from src.common.errors import UserError, raise_if_of_system
from src.common.json_files import read_shape

#: What ships: for the weights and the whitening that ship.
SHIPPED_CALIBRATION = PROJECT_ROOT / "weights" / "calibration.json"

SAME, PERHAPS, NOT_HERE = "the same", "perhaps", "not here"


@dataclass(frozen=True)
class Calibration:
    """From inliers and similarity to the probability that a hit shows the same thing.

    Attributes:
        network: fingerprint of the weights that it was fitted for.
        whitening: fingerprint of the whitening of the global descriptors.
        bias, inliers, similarity: of the logistic regression.
        same: probability from which on a hit is called the same.
        perhaps: probability from which on it may be.
    """

    network: str
    whitening: str
    bias: float
    inliers: float
    similarity: float
    same: float
    perhaps: float

    def probabilities(self, inliers: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """Return the probabilities, float64 [N], of hits.

        Args:
            inliers: int [N].
            similarities: float [N], cosines of the global descriptors.
        """
        logits = self.bias + self.inliers * np.log1p(inliers) + self.similarity * similarities
        return 1.0 / (1.0 + np.exp(-logits))

    def verdict(self, probability: float) -> str:
        """Return `SAME`, `PERHAPS` or `NOT_HERE`."""
        if probability >= self.same:
            return SAME
        return PERHAPS if probability >= self.perhaps else NOT_HERE

    def fits(self, features: Mapping[str, Any]) -> bool:
        """Tell whether features with these settings are what it was fitted for."""
        made = features.get("global") or {}
        return (features.get("checkpoint"), made.get("whitening")) == (self.network, self.whitening)


def write_calibration(path: PathLike, calibration: Calibration, made: Mapping[str, Any]) -> None:
    """Write a calibration and how it was made, as JSON."""
    write_json(path, {**asdict(calibration), "made": dict(made)})


def read_calibration(path: PathLike) -> Calibration:
    """Read a calibration.

    Raises:
        UserError: it cannot be read, or is none.
    """
    try:
        return read_shape(path, Calibration)
    except (OSError, ValueError) as error:
        raise_if_of_system(error, path)
        raise UserError(f"{path} is no calibration of verdicts ({error})") from None


def calibration_for(features: Mapping[str, Any]) -> Calibration | None:
    """Return the shipped calibration where it is for features with these settings."""
    calibration = _shipped()
    return calibration if calibration is not None and calibration.fits(features) else None


@functools.cache
def _shipped() -> Calibration | None:
    return read_calibration(SHIPPED_CALIBRATION) if SHIPPED_CALIBRATION.is_file() else None
