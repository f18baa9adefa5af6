"""An attention head that learns, on features made before, which of them find their landmark.

A feature is worth as much as its nearest neighbours in other photos are of its own landmark: votes
for it are what the ranking counts. The head is that of `delf_model.Attention` without batch
normalisation, trained by itself, so that thousands of steps take minutes.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from src.common.progress import progress
from src.delf_config import BN_EPSILON
from src.network.weights import Weights

HIDDEN = 512
NEIGHBOURS = 60
BATCH = 1024
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-4
_LENGTH = 8.0  # to which features are brought on average, for the first layer's sake
_ROWS_A_LIST = 600  # of the search; a hundredth of the lists or more is looked into
_PROBES = 10


@dataclass(frozen=True)
class Head:
    """Two layers: a score is relu(x · first + first_bias) · second + second_bias.

    Attributes:
        first: float32 [C, 512].
        first_bias: float32 [512].
        second: float32 [512].
        second_bias: float32 [1].
    """

    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return the scores, float32 [N], of features [N, C] that are not normalised."""
        hidden = np.maximum(features @ self.first + self.first_bias, 0)
        return hidden @ self.second + self.second_bias

    def weights(self) -> Weights:
        """Return the tensors of `delf_model.Attention` that compute the same.

        Its batch normalisation does nothing: mean 0, variance 1, and the root of 1 + ε as factor.
        """
        ones = np.ones(HIDDEN, np.float32)
        return {
            "attention.conv1.conv.weight": np.ascontiguousarray(self.first.T)[:, :, None, None],
            "attention.conv1.bn.gamma": ones * np.float32(np.sqrt(1 + BN_EPSILON)),
            "attention.conv1.bn.beta": self.first_bias,
            "attention.conv1.bn.moving_mean": 0 * ones,
            "attention.conv1.bn.moving_variance": ones,
            "attention.conv2.weight": self.second[None, :, None, None],
            "attention.conv2.bias": self.second_bias,
        }


def own_share(
    queries: np.ndarray,
    query_photos: np.ndarray,
    base: np.ndarray,
    base_photos: np.ndarray,
    landmarks: np.ndarray,
    seed: int = 0,
) -> np.ndarray:
    """Return which share of the votes of each feature is for its own landmark, float32 [N].

    Votes are weighted as in the ranking: by how much nearer a neighbour is than the farthest one.
    Those for the photo itself do not count. A feature without other votes has 0.

    Args:
        queries: float32 [N, D], the features.
        query_photos: [N], the number of the photo of each.
        base: float32 [M, D], features of all photos.
        base_photos: [M], of which photos.
        landmarks: [photos], which landmark each shows.
        seed: of the search structure.
    """
    index = _search_structure(base, seed)
    shares = np.empty(len(queries), np.float32)
    for start in range(0, len(queries), 20000):
        part = slice(start, start + 20000)
        squares, rows = index.search(queries[part], min(NEIGHBOURS + 1, len(base)))
        found = rows >= 0
        farthest = np.where(found, squares, 0).max(axis=1, keepdims=True)
        photos, own = base_photos[rows], query_photos[part][:, None]
        counts = found & (photos != own)
        votes = np.where(counts, farthest - squares, 0)
        right = (votes * (landmarks[photos] == landmarks[own])).sum(axis=1)
        shares[part] = right / np.maximum(votes.sum(axis=1), np.finfo(np.float32).tiny)
    return shares


def _search_structure(base: np.ndarray, seed: int) -> faiss.Index:
    lists = len(base) // _ROWS_A_LIST
    if lists <= _PROBES:
        index = faiss.IndexFlatL2(base.shape[1])
    else:
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(base.shape[1]), base.shape[1], lists)
        index.cp.seed, index.cp.niter = seed + 1, 5
        index.nprobe = max(_PROBES, lists // 100)
        index.train(base)
    index.add(base)
    return index


def train_head(
    features: np.ndarray,
    worth: np.ndarray,
    landmarks: np.ndarray,
    steps: int,
    seed: int = 0,
) -> Head:
    """Train a head to tell the worth of features, by the logistic loss and Adam.

    Landmarks count by the root of their number of features, so that the largest do not decide.

    Args:
        features: [N, C], not normalised.
        worth: float32 [N], 0 to 1.
        landmarks: [N], of which landmark each feature is.
        steps: of 1,024 features.
        seed: of the first weights and of the order.
    """
    rng = np.random.default_rng(seed)
    channels = features.shape[1]
    _, label, counts = np.unique(landmarks, return_inverse=True, return_counts=True)
    chance = (1 / np.sqrt(counts))[label]
    chance /= chance.sum()
    looked_at = rng.choice(len(features), min(len(features), 4096), p=chance)
    scale = _LENGTH / np.linalg.norm(features[looked_at].astype(np.float32), axis=1).mean()
    mean = float(np.clip((worth * chance).sum(), 1e-3, 1 - 1e-3))
    values = [
        rng.standard_normal((channels, HIDDEN), np.float32) * np.float32(np.sqrt(2 / channels)),
        np.zeros(HIDDEN, np.float32),
        rng.standard_normal(HIDDEN, np.float32) * np.float32(0.05),
        np.array([np.log(mean / (1 - mean))], np.float32),
    ]
    moments = [(np.zeros_like(value), np.zeros_like(value)) for value in values]
    cumulative = np.cumsum(chance)
    for step in progress(range(steps), "training an attention", "step", steps):
        drawn = np.searchsorted(cumulative, rng.random(BATCH) * cumulative[-1], side="right")
        rows = np.sort(np.minimum(drawn, len(features) - 1))
        x = features[rows].astype(np.float32) * np.float32(scale)
        rate = LEARNING_RATE * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        _adam(values, moments, _gradients(values, x, worth[rows]), rate, step + 1)
    return Head(values[0] * np.float32(scale), *values[1:])


def _gradients(values: list[np.ndarray], x: np.ndarray, worth: np.ndarray) -> list[np.ndarray]:
    """Return the gradients of the mean logistic loss in a head's numbers."""
    first, first_bias, second, second_bias = values
    before = x @ first + first_bias
    hidden = np.maximum(before, 0)
    score = hidden @ second + second_bias
    wrong = ((0.5 + 0.5 * np.tanh(score / 2)) - worth).astype(np.float32) / len(x)
    inner = np.outer(wrong, second) * (before > 0)
    return [
        x.T @ inner + WEIGHT_DECAY * first,
        inner.sum(axis=0),
        hidden.T @ wrong + WEIGHT_DECAY * second,
        wrong.sum(keepdims=True),
    ]


def _adam(
    values: list[np.ndarray],
    moments: list[tuple[np.ndarray, np.ndarray]],
    gradients: list[np.ndarray],
    rate: float,
    step: int,
) -> None:
    """Move numbers in place by a step of Adam (Kingma and Ba, ICLR 2015)."""
    for value, (first, second), gradient in zip(values, moments, gradients):
        first += np.float32(0.1) * (gradient - first)
        second += np.float32(0.001) * (gradient * gradient - second)
        root = np.sqrt(second / np.float32(1 - 0.999**step)) + np.float32(1e-8)
        value -= np.float32(rate / (1 - 0.9**step)) * first / root
