"""Files that are no weights known here, or are damaged: each is refused in a line."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from src.common import crc32c as ours
from src.common.errors import UserError
from src.network.foreign import convert_weights
from src.network.tf_bundle import Bundle
from tests.helpers.foreign import crc32c, torch_tensors, units, write_bundle, write_torch


def flip_bit(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("page.h5", b"<!DOCTYPE html><html>404 Not Found", "HTML"),
        ("pointer.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs"),
        ("empty.pth", b"", "empty"),
        ("text.pth", b"hello, these are no weights", "text that begins with 'hello"),
        ("packed.tar.gz", b"\x1f\x8b\x08\0\0\0\0\0", "gzip"),
        ("noise.bin", bytes(range(200, 256)) * 9, "504 bytes of no known kind"),
        ("pickle.pkl", pickle.dumps(list(range(9))), "a pickle"),
    ],
)
def test_unknown_files_are_described_in_a_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        convert_weights(tmp_path / name)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) - len(str(tmp_path / name)) < 300


def test_networks_of_other_kinds_are_described_in_a_line(tmp_path):
    tensors = torch_tensors(units())
    deeper = {**tensors, "layer3.6.conv1.weight": tensors["layer3.5.conv1.weight"]}
    write_torch(tmp_path / "resnet101.pth", deeper)
    write_torch(tmp_path / "other.pth", {"features.0.weight": np.zeros((2, 2))})
    write_bundle(tmp_path / "bundle", {f"dense_{i}/kernel": np.zeros(1) for i in range(40)})
    with h5py.File(tmp_path / "other.h5", "w") as file:
        for i in range(300):
            file[f"block_{i}_depthwise/block_{i}_depthwise/kernel:0"] = np.zeros((1, 1, 2, 2))
    for name, message in (
        ("resnet101.pth", "left over layer3.6.conv1.weight"),
        ("other.pth", "1 tensors, features.0.weight"),
        ("bundle", "40 tensors"),
        ("other.h5", "block_0_depthwise/kernel"),
    ):
        with pytest.raises(UserError, match=message) as error:
            convert_weights(tmp_path / name)
        assert len(str(error.value)) - len(str(tmp_path / name)) < 300


def test_the_sum_of_the_standard():
    """RFC 3720, B.4; and against the definition for lengths that are cut into rows."""
    assert ours.crc32c(bytes(32)) == 0x8A9136AA
    assert ours.crc32c(bytes(range(32))) == 0x46DD794E
    noise = np.random.default_rng(0).bytes(40_000)
    assert ours.masked(ours.crc32c(noise)) == crc32c(noise)


def test_a_damaged_bundle_is_refused(tmp_path):
    prefix = tmp_path / "small"
    write_bundle(prefix, {"a/b": np.arange(6.0).reshape(2, 3), "a/c": np.ones(2)}, sums=True)
    np.testing.assert_array_equal(Bundle(prefix).read("a/b"), [[0, 1, 2], [3, 4, 5]])
    data = Path(f"{prefix}.data-00000-of-00001")
    whole = data.read_bytes()
    flip_bit(data, 3)
    with pytest.raises(UserError, match="is damaged: a/b"):
        Bundle(prefix).read("a/b")
    data.write_bytes(whole[:-1])
    with pytest.raises(UserError, match="cut short"):
        Bundle(prefix).read("a/c")
    index = Path(f"{prefix}.index")
    for place in (*range(0, 70, 7), index.stat().st_size - 3):
        flip_bit(index, place)
        with pytest.raises(UserError, match="damaged"):
            Bundle(prefix)
        flip_bit(index, place)
