from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from src.downloads.resnet50_h5 import check_weights, resnet50_shapes, write_keras_h5
from tests.helpers.faults import files_up_to


def test_the_network_has_the_published_number_of_parameters():
    def count(shapes):
        return sum(int(np.prod(shape)) for layer in shapes.values() for shape in layer)

    whole = resnet50_shapes(with_top=True)
    assert count(whole) == 25_636_712  # as keras.applications counts ResNet50
    assert count(resnet50_shapes(with_top=False)) == 23_587_712
    assert sum(len(layer) for layer in whole.values()) == 320
    assert whole["res3a_branch1"] == [(1, 1, 256, 512), (512,)]
    assert whole["bn5c_branch2c"] == [(2048,)] * 4


def write_shapes(path: Path, name_tensor) -> None:
    with h5py.File(path, "w") as file:
        for layer, shapes in resnet50_shapes(with_top=False).items():
            for number, shape in enumerate(shapes):
                # Nothing is written into it, so it takes no room.
                file.create_dataset(name_tensor(layer, number), shape=shape, dtype="float32")


def test_both_ways_of_naming_are_known(tmp_path):
    first = ("W", "b"), ("gamma", "beta", "running_mean", "running_std")
    second = ("kernel", "bias"), ("gamma", "beta", "moving_mean", "moving_variance")
    write_shapes(
        tmp_path / "1.h5",
        lambda layer, n: f"{layer}/{layer}_{first[layer.startswith('bn')][n]}_1:0",
    )
    write_shapes(
        tmp_path / "2.h5",
        lambda layer, n: f"{layer}/{layer}/{second[layer.startswith('bn')][n]}:0",
    )
    check_weights(tmp_path / "1.h5")
    check_weights(tmp_path / "2.h5")
    with pytest.raises(ValueError, match="fc1000"):
        check_weights(tmp_path / "2.h5", with_top=True)


@pytest.mark.parametrize("change", ["cut", "missing", "transposed", "text"])
def test_files_that_are_not_resnet50_are_noticed(change, tmp_path):
    path = tmp_path / "w.h5"
    write_shapes(path, lambda layer, n: f"{layer}/{layer}/{n}")
    if change == "cut":
        with h5py.File(path, "a") as file:
            file["conv1/conv1/0"][...] = 1
        os.truncate(path, path.stat().st_size - 1000)
    elif change == "text":
        path.write_text("<html>", encoding="utf-8")
    else:
        with h5py.File(path, "a") as file:
            del file["res4f_branch2b/res4f_branch2b/0"]
            if change == "transposed":
                file.create_dataset("res4f_branch2b/res4f_branch2b/0", (256, 256, 3, 3), "float32")
    with pytest.raises(ValueError, match="HDF5" if change in ("cut", "text") else "res4f_branch2b"):
        check_weights(path)


def test_damage_in_a_file_of_ours_is_noticed(tmp_path):
    path = tmp_path / "w.h5"
    kernel = np.arange(4096, dtype=np.float32)
    write_keras_h5(path, {"conv1": {"conv1_W_1": kernel}})
    content = path.read_bytes()
    assert content.count(kernel[99:199].tobytes()) == 1
    path.write_bytes(content.replace(kernel[99:199].tobytes(), bytes(400)))
    with h5py.File(path) as file, pytest.raises(OSError, match="filter"):
        file["conv1/conv1/conv1_W_1:0"][...]


def test_a_disk_that_does_not_hold_it_is_told_with_the_file(tmp_path):
    """HDF5 itself says no more than that it went wrong."""
    with files_up_to(4096), pytest.raises(OSError, match="too large") as caught:
        write_keras_h5(tmp_path / "w.h5", {"a": {"b": np.zeros(9999, "f4")}})
    assert caught.value.filename == str(tmp_path / "w.h5")
    assert not list(tmp_path.iterdir())
