from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from src.common.errors import UserError
from src.extract_utils_np import unit_length
from src.feature_io import (
    DamagedFeaturesError,
    Features,
    Manifest,
    Origin,
    check_settings,
    comparable,
    feature_path,
    features_checksum,
    look_at_features,
    read_features,
    read_manifest,
    settings_digest,
    write_features,
    write_manifest,
)


def some_features(count: int = 7, dimension: int = 5, seed: int = 0) -> Features:
    rng = np.random.default_rng(seed)
    return Features(
        locations=rng.uniform(0, 900, (count, 2)),
        scales=rng.choice([0.25, 1.0, 2.0], count),
        descriptors=unit_length(rng.normal(size=(count, dimension))),
        attention=rng.uniform(size=count),
    )


@pytest.mark.parametrize("count", [0, 1, 7])
def test_features_come_back_as_they_went(tmp_path, count):
    features = some_features(count)
    path = feature_path(tmp_path / "new" / "folder", "all_souls_000000")
    write_features(path, features)
    back = read_features(path)
    for name in ("locations", "scales", "descriptors", "attention"):
        array = getattr(back, name)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, getattr(features, name))
    assert (len(back), back.dimension) == (count, 5)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_equal_features_give_equal_bytes(tmp_path):
    write_features(tmp_path / "a.npz", some_features())
    write_features(tmp_path / "b.npz", some_features())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_size_and_global_descriptor_come_back_and_need_not_be_there(tmp_path):
    whole = np.random.default_rng(1).normal(size=64)
    features = dataclasses.replace(
        some_features(), size=(768, 1024), global_descriptor=whole / np.linalg.norm(whole)
    )
    write_features(tmp_path / "a.npz", features)
    back = read_features(tmp_path / "a.npz")
    assert back.size == (768, 1024)
    half = features.global_descriptor.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(back.global_descriptor, half)
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["global_descriptor"].dtype == np.float16
        np.testing.assert_array_equal(arrays["size"], [768, 1024])
    write_features(tmp_path / "b.npz", some_features())
    back = read_features(tmp_path / "b.npz")
    assert back.size is None and back.global_descriptor is None


@pytest.mark.parametrize(
    "more",
    [
        {"size": np.int32([768])},
        {"size": np.int32([0, 1024])},
        {"size": np.float32([768, 1024])},
        {"global_descriptor": np.float16([[1, 0]])},
        {"global_descriptor": np.float16([np.nan, 0])},
    ],
)
def test_sizes_and_global_descriptors_that_cannot_be_are_refused(tmp_path, more):
    np.savez(tmp_path / "a.npz", **some_features().arrays(), **more)
    with pytest.raises(DamagedFeaturesError, match=r"a\.npz is not a readable"):
        read_features(tmp_path / "a.npz")


def test_plain_numpy_reads_a_feature_file(tmp_path):
    write_features(tmp_path / "a.npz", some_features())
    with np.load(tmp_path / "a.npz") as arrays:
        assert sorted(arrays) == ["attention", "descriptors", "locations", "scales"]


def test_a_feature_file_says_what_it_was_made_of(tmp_path):
    origin = Origin("p" * 64, settings_digest({"a": [1, 2]}))
    for name in "ab":
        write_features(tmp_path / f"{name}.npz", some_features(), origin)
    write_features(tmp_path / "older.npz", some_features())
    for thoroughly in (False, True):
        assert look_at_features(tmp_path / "a.npz", thoroughly).origin == origin
        assert look_at_features(tmp_path / "older.npz", thoroughly).origin is None
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    # The content is the same, by whatever it is read.
    assert features_checksum(tmp_path / "a.npz") == features_checksum(tmp_path / "older.npz")
    with np.load(tmp_path / "a.npz") as arrays, np.load(tmp_path / "older.npz") as others:
        assert sorted(arrays) == sorted(others)
        assert all((arrays[name] == others[name]).all() for name in others)
    assert settings_digest({"b": 1, "a": (1, 2)}) == settings_digest({"a": [1, 2], "b": 1})
    assert settings_digest({"a": [2, 1]}) != origin.settings


def test_any_change_of_a_feature_files_arrays_is_seen(tmp_path):
    """Of every byte that is not only bookkeeping of the archive; nothing but our error comes."""
    path = tmp_path / "a.npz"
    write_features(path, some_features(2), Origin("p" * 64, "s" * 16))
    whole, known = path.read_bytes(), look_at_features(path, thoroughly=True)
    features = read_features(path)
    for position in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[position] ^= 0x81
        path.write_bytes(changed)
        try:
            found = look_at_features(path, thoroughly=True)
        except DamagedFeaturesError:
            continue
        if found == known:
            back = read_features(path)
            for name in ("locations", "scales", "descriptors", "attention"):
                np.testing.assert_array_equal(getattr(back, name), getattr(features, name))
    for length in range(0, len(whole) - 150, 50):  # cut short, or a power cut's zeros
        for end in (b"", bytes(len(whole) - length)):
            path.write_bytes(whole[:length] + end)
            with pytest.raises(DamagedFeaturesError):
                look_at_features(path)


@pytest.mark.parametrize(
    "change",
    [
        {"locations": np.zeros((7, 3))},
        {"locations": np.zeros((6, 2))},
        {"scales": np.zeros((7, 1))},
        {"attention": np.zeros(8)},
        {"descriptors": np.zeros(7)},
        {"descriptors": np.full((7, 5), np.nan)},
        {"attention": np.full(7, np.inf)},
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(tmp_path, change):
    good = some_features()
    arrays = {n: getattr(good, n) for n in ("locations", "scales", "descriptors", "attention")}
    arrays.update(change)
    with pytest.raises(ValueError):
        Features(**arrays)
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(UserError, match=r"bad\.npz"):
        read_features(tmp_path / "bad.npz")


def test_damaged_feature_files_are_named(tmp_path):
    write_features(tmp_path / "good.npz", some_features(200))
    whole = (tmp_path / "good.npz").read_bytes()
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 0xFF
    np.savez(tmp_path / "without.npz", locations=np.zeros((1, 2)))
    np.savez(tmp_path / "pickle.npz", locations=np.array([{}], dtype=object))
    for name, content in {
        "empty": b"",
        "text": b"not a zip file",
        "short": whole[: len(whole) // 2],
        "flipped": bytes(middle),
    }.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
    names = ("empty", "text", "short", "flipped", "without", "pickle", "missing")
    for name in names:
        with pytest.raises(UserError, match=rf"{name}\.npz"):
            read_features(tmp_path / f"{name}.npz")
    for name in ("empty", "text", "short", "missing"):
        with pytest.raises(UserError, match=rf"{name}\.npz"):
            features_checksum(tmp_path / f"{name}.npz")


def test_checksum_sees_content_and_nothing_else(tmp_path):
    write_features(tmp_path / "a.npz", some_features(seed=1))
    write_features(tmp_path / "b.npz", some_features(seed=1))
    write_features(tmp_path / "c.npz", some_features(seed=2))
    sums = [features_checksum(tmp_path / f"{name}.npz") for name in "abc"]
    assert sums[0] == sums[1] != sums[2]


def test_manifest_comes_back(tmp_path):
    manifest = Manifest(
        images=(("a", "sub/a.jpg"), ("b", "b.png")),
        settings={"max_feature_num": 1000, "image_scales": [0.25, 1.0]},
        failed={"b": "truncated"},
    )
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert manifest.names == ("a", "b")


@pytest.mark.parametrize("names", [("b", "a"), ("a", "a")])
def test_unsorted_or_double_names_are_refused(tmp_path, names):
    images = tuple((name, f"{name}.jpg") for name in names)
    with pytest.raises(ValueError):
        write_manifest(tmp_path, Manifest(images, {}))
    content = {"format": 1, "images": images, "settings": {}, "failed": {}}
    (tmp_path / "features.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"features\.json"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "images": [1]}'])
def test_something_else_is_not_a_manifest(tmp_path, text):
    (tmp_path / "features.json").write_text(text)
    with pytest.raises(UserError, match=r"features\.json"):
        read_manifest(tmp_path)


def test_missing_manifest_names_the_folder(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        read_manifest(tmp_path)


def test_settings_differences_are_named_with_both_values():
    found = {"scales": [0.5, 1.0], "pca_dim": 40, "old": True}
    check_settings(found, {"scales": (0.5, 1.0), "pca_dim": 40, "old": True}, "x")
    with pytest.raises(UserError) as caught:
        check_settings(
            found, {"scales": (0.5, 2.0), "pca_dim": 40, "new": None}, "the index runs/i"
        )
    message = str(caught.value)
    assert "the index runs/i" in message
    assert "scales: [0.5, 1.0] there, [0.5, 2.0] wanted" in message
    assert "old: true there, nothing wanted" in message
    assert "new: nothing there, null wanted" in message
    assert "pca_dim" not in message


def test_engines_of_one_precision_are_comparable():
    plain = {"pca_dim": 40, "crop_boxes": None}
    lite = {"name": "MindSpore Lite", "device": "CPU", "input": [1, 3, -1, -1], "precision": ""}
    single = {"name": "OpenVINO", "precision": "float32"}
    half = {"name": "OpenVINO", "precision": "bfloat16"}
    for engine in (lite, single):
        boxed = {**plain, "crop_boxes": "abc", "engine": engine}
        assert comparable(boxed) == comparable(plain)
    assert comparable({**plain, "engine": half}) != comparable(plain)
    assert comparable({**plain, "engine": {**lite, "device": "Ascend"}}) != comparable(plain)
    assert comparable({**plain, "pca_dim": 20}) != comparable(plain)


def test_descriptors_that_are_not_of_unit_length_are_refused(tmp_path):
    """Distances between them would mean nothing; others' roundings and blank ones are let in."""
    descriptors = np.float32([[0.6, 0.8], [0, 0], [0.599, 0.803]])
    right = Features(np.zeros((3, 2)), np.ones(3), descriptors, np.ones(3))
    write_features(tmp_path / "right.npz", right)
    assert len(read_features(tmp_path / "right.npz")) == 3
    for factor in (1.02, 0.5, 100):
        wrong = Features(np.zeros((3, 2)), np.ones(3), descriptors * factor, np.ones(3))
        write_features(tmp_path / "wrong.npz", wrong)
        with pytest.raises(UserError, match=r"wrong\.npz .*not of unit length"):
            read_features(tmp_path / "wrong.npz")
