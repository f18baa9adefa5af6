"""Aggregated selective match kernels: a case worked by hand, and the formula taken literally."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.asmk import Codebook, InvertedFile, learn_words, packed_signs
from benchmarks.bench_asmk import recall_table, repeated

CENTRES = np.array([[0, 0], [10, 0]], np.float32)
#: Word 0: (1, 1) + (1, −1) → (2, 0); word 1: (1, 1).
FIRST = np.array([[1, 1], [11, 1], [1, -1]], np.float32)
#: Word 0: (0, 1).
SECOND = np.array([[0, 1]], np.float32)
QUERY = np.array([[3, 0], [9, -1]], np.float32)


def test_residuals_are_summed_for_each_word():
    words, sums = Codebook(CENTRES).residuals(FIRST)
    assert words.tolist() == [0, 1]
    assert sums.tolist() == [[2, 0], [1, 1]]


def test_a_case_worked_by_hand():
    """The query has (1, 0) in word 0 and (−1, −1) / √2 in word 1.

    With FIRST it agrees by 1 in word 0 and by −1 in word 1, which does not count: 1 / √(2 · 2).
    With SECOND the residuals of word 0 are at a right angle.
    """
    found = InvertedFile(Codebook(CENTRES), [FIRST, SECOND], binary=False).scores(QUERY)
    np.testing.assert_allclose(found, [0.5, 0.0], atol=1e-7)


def test_signs_worked_by_hand():
    """Signs of the query: ++ and −−; of FIRST ++ and ++; of SECOND ++: 1 / 2 and 1 / √2."""
    found = InvertedFile(Codebook(CENTRES), [FIRST, SECOND]).scores(QUERY)
    np.testing.assert_allclose(found, [0.5, 0.5**0.5])


def test_a_feature_of_a_query_goes_to_several_words():
    """Word 0: (3, 0) + (9, −1) → (12, −1); word 1: (−7, 0) + (−1, −1) → (−8, −1)."""
    words, sums = Codebook(CENTRES).residuals(QUERY, 2)
    assert words.tolist() == [0, 1]
    assert sums.tolist() == [[12, -1], [-8, -1]]


def literal(centres, ours, theirs, many, binary, alpha, threshold):
    """The kernel as the paper writes it, a word and a feature at a time."""

    def residual(features, word, many):
        total = np.zeros(centres.shape[1])
        for feature in features:
            nearest = np.argsort(((centres - feature) ** 2).sum(axis=1))[:many]
            if word in nearest:
                total += feature - centres[word]
        return total

    def has(features, many):
        nearest = ((features[:, None] - centres) ** 2).sum(axis=2).argsort(axis=1)[:, :many]
        return set(nearest.ravel().tolist())

    total = 0.0
    for word in has(ours, many) & has(theirs, 1):
        a, b = residual(ours, word, many), residual(theirs, word, 1)
        if binary:
            a, b = np.where(a >= 0, 1, -1), np.where(b >= 0, 1, -1)
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        total += cosine**alpha if cosine > threshold else 0.0
    return total / np.sqrt(len(has(ours, many)) * len(has(theirs, 1)))


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("many", [1, 3])
def test_the_inverted_file_agrees_with_the_formula(binary, many):
    rng = np.random.default_rng(0)
    centres = learn_words(rng.standard_normal((400, 20)).astype(np.float32), 16, 5)
    photos = [rng.standard_normal((n, 20)).astype(np.float32) for n in (30, 1, 12)]
    query = rng.standard_normal((25, 20)).astype(np.float32)
    found = InvertedFile(Codebook(centres), photos, binary, 3.0, 0.1).scores(query, many)
    wanted = [literal(centres, query, each, many, binary, 3.0, 0.1) for each in photos]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize("binary", [True, False])
def test_a_photo_is_as_alike_as_one_to_itself(binary):
    photo = np.random.default_rng(1).standard_normal((9, 2)).astype(np.float32)
    inverted = InvertedFile(Codebook(CENTRES), [SECOND, photo], binary)
    assert inverted.scores(photo)[1] == pytest.approx(1)


def test_signs_take_an_eighth_of_a_byte_each():
    sums = np.random.default_rng(2).standard_normal((3, 21))
    bits = np.unpackbits(packed_signs(sums).view(np.uint8), axis=1)
    assert (bits[:, :21] == (sums >= 0)).all()
    assert not bits[:, 21:].any()


def test_copies_score_like_their_originals():
    inverted = InvertedFile(Codebook(CENTRES), [FIRST, SECOND])
    many = repeated(inverted, 3)
    np.testing.assert_array_equal(many.scores(QUERY), np.tile(inverted.scores(QUERY), 3))
    assert many.compared(QUERY) == 3 * inverted.compared(QUERY) == 9


def test_recall_leaves_junk_out():
    class Judged:
        positives, junk = np.array([25, 3]), np.arange(5, 25)

    row = recall_table({"some": np.arange(30)[None]}, [Judged]).splitlines()[-1]
    assert row == "| some | 100.0 | 100.0 | 100.0 | 100.0 |"
