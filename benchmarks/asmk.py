"""Aggregated selective match kernels: the method that `bench_asmk.py` measures.

After Tolias, Avrithis and Jégou ("To aggregate or not to aggregate", ICCV 2013; "Image search with
selective match kernels", IJCV 2016), written from the formulae of the papers. Of a photo X and a
word w with centre c, the features that w is nearest to are summed to one residual, Σ (x − c), which
is brought to unit length, or reduced to its signs. Two photos are as alike as

    K(X, Y) = γ(X) γ(Y) Σ_w σ(u_w),   σ(u) = u^α where u > τ, else 0,   γ(X) = |words of X|^−½,

over the words that both have; u is the cosine of the residuals, of signs 1 − 2 h / D, h the number
of signs that differ. A photo is as alike as 1 to itself. Descriptors of a query may go to several
words each (multiple assignment).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import faiss
import numpy as np

from src.extract_utils_np import unit_length

#: Codebooks of more words are searched through a graph (HNSW) of this many links and candidates.
EXACT_WORDS = 10_000
_LINKS, _CANDIDATES = 16, 40
#: Entries of the inverted file that are compared at a time.
_BLOCK = 1_000_000
#: Number of ones in each 16 bits.
_ONES = np.unpackbits(np.arange(2**16, dtype=np.uint16).view(np.uint8)).reshape(-1, 16).sum(1)
_ONES = _ONES.astype(np.uint8)


def _searched(words: int, dimension: int) -> faiss.Index:
    if words <= EXACT_WORDS:
        return faiss.IndexFlatL2(dimension)
    index = faiss.IndexHNSWFlat(dimension, _LINKS)
    index.hnsw.efConstruction = index.hnsw.efSearch = _CANDIDATES
    return index


def learn_words(descriptors: np.ndarray, words: int, passes: int, seed: int = 0) -> np.ndarray:
    """Return the centres of words by k-means, float32 [words, D], of float32 [N, D]."""
    means = faiss.Clustering(descriptors.shape[1], words)
    means.niter, means.seed = passes, seed
    means.min_points_per_centroid, means.max_points_per_centroid = 1, len(descriptors)
    means.train(np.ascontiguousarray(descriptors), _searched(words, descriptors.shape[1]))
    return faiss.vector_to_array(means.centroids).reshape(words, -1)


class Residuals(NamedTuple):
    """The words of a photo, int64 [M], ascending, and the sum of residuals of each, [M, D]."""

    words: np.ndarray
    sums: np.ndarray


class Codebook:
    """Words and how the nearest are found: exactly, or through a graph where there are many."""

    def __init__(self, centres: np.ndarray):
        self.centres = np.ascontiguousarray(centres, np.float32)
        self._index = _searched(*self.centres.shape)
        self._index.add(self.centres)

    def residuals(self, descriptors: np.ndarray, assignments: int = 1) -> Residuals:
        """Aggregate descriptors, float32 [N, D], over the nearest words of each."""
        nearest = self._index.search(np.ascontiguousarray(descriptors), assignments)[1].ravel()
        order = np.argsort(nearest, kind="stable")
        order = order[nearest[order] >= 0]
        words, starts = np.unique(nearest[order], return_index=True)
        parts = descriptors[order // assignments] - self.centres[nearest[order]]
        sums = np.add.reduceat(parts, starts, axis=0) if len(starts) else parts
        return Residuals(words, sums)


def packed_signs(sums: np.ndarray) -> np.ndarray:
    """Return the signs of [M, D] as bits, uint16 [M, ceil(D / 16)]; 0 counts as positive."""
    missing = -sums.shape[1] % 16
    bits = np.pad(sums >= 0, ((0, 0), (0, missing)))
    return np.packbits(bits, axis=1).view(np.uint16)


class InvertedFile:
    """Photos by their words: for each word the photos that have it, and a residual of each.

    Args:
        codebook: the words.
        photos: float32 [N, D] of each photo, in their order.
        binary: keep signs instead of residuals of unit length.
        alpha, threshold: α and τ of the kernel.
    """

    def __init__(
        self,
        codebook: Codebook,
        photos: Iterable[np.ndarray],
        binary: bool = True,
        alpha: float = 3.0,
        threshold: float = 0.0,
    ):
        self.codebook, self.binary, self.alpha, self.threshold = codebook, binary, alpha, threshold
        found = [codebook.residuals(each) for each in photos]
        counts = np.array([len(each.words) for each in found])
        words = np.concatenate([each.words for each in found])
        order = np.argsort(words, kind="stable")
        self.offsets = np.searchsorted(words[order], np.arange(len(codebook.centres) + 1))
        self.images = np.repeat(np.arange(len(found), dtype=np.int32), counts)[order]
        self.codes = np.concatenate([self._coded(each.sums) for each in found])[order]
        self.norms = np.sqrt(np.maximum(counts, 1))

    def _coded(self, sums: np.ndarray) -> np.ndarray:
        return packed_signs(sums) if self.binary else unit_length(sums).astype(np.float32)

    @property
    def bytes_a_photo(self) -> float:
        """Bytes of the entries of a photo: its number (4), and signs or float16 residual."""
        dimension = self.codebook.centres.shape[1]
        code = -(-dimension // 8) if self.binary else 2 * dimension
        return len(self.images) * (4 + code) / len(self.norms)

    def scores(self, descriptors: np.ndarray, assignments: int = 1) -> np.ndarray:
        """Return how alike each photo is to a query, float64 [photos].

        Args:
            descriptors: float32 [N, D], the query's.
            assignments: words that each of them goes to.
        """
        query = self.codebook.residuals(descriptors, assignments)
        codes = self._coded(query.sums)
        starts, ends = self.offsets[query.words], self.offsets[query.words + 1]
        total = np.zeros(len(self.norms))
        ends_of_blocks = np.cumsum(ends - starts) // _BLOCK
        for block in np.unique(ends_of_blocks):
            these = np.flatnonzero(ends_of_blocks == block)
            self._add(total, codes[these], starts[these], ends[these] - starts[these])
        return total / self.norms / max(len(query.words), 1) ** 0.5

    def compared(self, descriptors: np.ndarray, assignments: int = 1) -> int:
        """Return how many entries are compared for a query."""
        words = self.codebook.residuals(descriptors, assignments).words
        return int((self.offsets[words + 1] - self.offsets[words]).sum())

    def _add(
        self, total: np.ndarray, codes: np.ndarray, starts: np.ndarray, counts: np.ndarray
    ) -> None:
        """Add what some words of the query say to the photos that have them."""
        before = np.cumsum(counts) - counts
        rows = np.arange(counts.sum()) + np.repeat(starts - before, counts)
        codes = np.repeat(codes, counts, axis=0)
        if self.binary:
            dimension = self.codebook.centres.shape[1]
            differing = _ONES[codes ^ self.codes[rows]].sum(axis=1, dtype=np.int64)
            kernel = self.kernel(1 - 2 * np.arange(dimension + 1) / dimension)[differing]
        else:
            kernel = self.kernel(np.einsum("nd,nd->n", codes, self.codes[rows]))
        total += np.bincount(self.images[rows], kernel, len(total))

    def kernel(self, cosines: np.ndarray) -> np.ndarray:
        """Return σ of cosines."""
        return np.where(cosines > self.threshold, np.abs(cosines) ** self.alpha, 0.0)
