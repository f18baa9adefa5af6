"""Records of features: what comes back of arrays of any kind."""

from __future__ import annotations

import numpy as np
import pytest

from src.common.packed_arrays import DESCRIPTOR_FACTOR, pack_arrays, unpack_arrays


def features(rng, count, dimension, size=(1, 1), outside=0.0, whole=0):
    height, width = size
    descriptors = rng.normal(size=(count, dimension)) ** 3
    lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
    places = rng.uniform(-outside, 1 + outside, (count, 2)) * (height, width)
    arrays = {
        "locations": places.astype(np.float32),
        "scales": rng.choice(np.float32([0.25, 0.3536, 1 / 3, 2.0]), count),
        "descriptors": (descriptors / lengths).astype(np.float32),
        "attention": rng.uniform(0, 10.0 ** rng.integers(0, 6), count).astype(np.float32),
    }
    if size != (1, 1):
        arrays["size"] = np.int32(size)
    if whole:
        arrays["global_descriptor"] = rng.normal(size=whole).astype(np.float16)
    return arrays


@pytest.mark.parametrize("seed", range(20))
def test_what_comes_back(seed):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 100_000, 2).tolist())
    outside = float(rng.choice([0.0, 0.0, 1.5]))
    wanted = features(rng, rng.integers(0, 60), rng.integers(1, 80), size, outside, seed % 3)
    record = pack_arrays(wanted)
    assert record == pack_arrays(wanted)
    found = unpack_arrays(record, DESCRIPTOR_FACTOR)
    assert found.keys() == wanted.keys()
    assert tuple(found["size"]) == size
    if "global_descriptor" in wanted:
        assert (found["global_descriptor"] == wanted["global_descriptor"]).all()
    ways = np.array(size) * (1 + 2 * outside)
    off = np.abs(found["locations"] - wanted["locations"].astype(float))
    assert (off <= ways / 65535 / 2 * 1.01 + np.spacing(np.float32(ways))).all()
    assert (found["scales"] == wanted["scales"]).all()
    highest = wanted["attention"].clip(max=65504)
    np.testing.assert_allclose(found["attention"], highest, rtol=2.0**-11, atol=1e-7)
    away = np.linalg.norm(found["descriptors"] - wanted["descriptors"], axis=1)
    dimension = wanted["descriptors"].shape[1]
    assert (away <= np.sqrt(dimension) / 127).all()  # twice half a step in each number
    np.testing.assert_allclose(np.linalg.norm(found["descriptors"], axis=1), 1, rtol=1e-5)


def test_bytes_of_a_feature():
    rng = np.random.default_rng(0)
    few, many = (len(pack_arrays(features(rng, count, 40, (600, 800)))) for count in (300, 1000))
    assert many - few == 700 * 47
    assert few <= 13.5 * 1024 * 1.03
    assert many <= 45 * 1024 * 1.03


def test_a_single_descriptor_of_all_numbers():
    one = features(np.random.default_rng(1), 1, 1)
    found = unpack_arrays(pack_arrays(one), DESCRIPTOR_FACTOR)
    assert (found["descriptors"] == one["descriptors"]).all()
    np.testing.assert_allclose(found["locations"], one["locations"], atol=1e-5)


def test_what_does_not_fit_is_refused():
    long = features(np.random.default_rng(2), 3, 8)
    with pytest.raises(ValueError, match="longer than unit"):
        pack_arrays({**long, "descriptors": long["descriptors"] * 3})
    many = features(np.random.default_rng(3), 300, 4)
    with pytest.raises(ValueError, match="300 scales"):
        pack_arrays({**many, "scales": np.arange(1, 301) / 7})


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_what_is_no_record_is_refused(cut):
    record = pack_arrays(features(np.random.default_rng(4), 5, 4))
    with pytest.raises(ValueError):
        unpack_arrays(record[:cut], DESCRIPTOR_FACTOR)
    with pytest.raises(ValueError):
        unpack_arrays(record + b"\0", DESCRIPTOR_FACTOR)
