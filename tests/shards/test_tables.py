from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from src.shards.tables import choose_validation, hash_keys, shuffled


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    fraction=st.floats(0, 0.99),
    seed=st.integers(0, 5),
)
@settings(deadline=None, max_examples=60)
def test_split_takes_each_landmarks_share(sizes, fraction, seed):
    landmarks = np.repeat(np.arange(len(sizes)) * 3 - 5, sizes)
    ids = np.array([f"{number:04x}" for number in range(len(landmarks))], "S")
    mixed = np.random.default_rng(0).permutation(len(ids))
    ids, landmarks = ids[mixed], landmarks[mixed]
    chosen = choose_validation(ids, landmarks, fraction, seed)
    for landmark, size in zip(np.unique(landmarks), sizes):
        count = chosen[landmarks == landmark].sum()
        assert count <= size - 1
        assert min(size - 1, np.floor(size * fraction)) <= count <= np.ceil(size * fraction + 1e-6)
    # The choice belongs to the photos, not to the order of the rows.
    back = np.argsort(mixed)
    again = choose_validation(ids[back], landmarks[back], fraction, seed)
    assert (chosen[back] == again).all()


def test_shuffle_is_a_permutation_and_follows_the_seed():
    ids = np.array([f"{number:05x}" for number in range(2000)], "S")
    rows = np.arange(2000)
    first = shuffled(ids, rows, 0)
    assert sorted(first) == list(rows)
    assert (first == shuffled(ids, rows, 0)).all()
    assert (first != shuffled(ids, rows, 1)).mean() > 0.99
    assert abs(np.corrcoef(rows, first)[0, 1]) < 0.1
    keys = hash_keys(ids, 0, "shuffle") / 2.0**64
    assert abs(keys.mean() - 0.5) < 0.03
