"""Weights that are damaged are refused by every reader, in one line that says where."""

import random
import subprocess
import sys

import h5py
import mindspore as ms
import numpy as np
import pytest

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.network import checkpoint_format, weight_files
from src.network.export import ExportSettings, export_model
from src.network.feature_weights import read_feature_weights
from src.network.keras_h5 import convert_h5
from src.network.mindir import is_whole, read_mindir, read_proto
from src.network.weight_files import read_checkpoint, read_weights, write_checkpoint
from tests.helpers.weights import keras_resnet50, write_keras_h5

TENSORS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn.moving_variance": np.ones(2, np.float32),
    "step": np.array(3, np.int32),
    "half": np.full(5, 0.5, np.float16),
}


def refused(read, path, message):
    with pytest.raises(UserError, match=message) as error:
        read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "weights.h5"
    write_keras_h5(path, keras_resnet50())
    return path


@pytest.mark.parametrize(
    ("tensor", "place", "value", "message"),
    [
        ("res4c_branch2b/kernel:0", (0, 0, 0), np.nan, "256 of the .* res4c_branch2b/kernel are"),
        ("conv1/bias:0", 3, -np.inf, "1 of the 64 numbers of conv1/bias are not finite"),
        ("bn5a_branch1/gamma:0", 0, np.inf, "bn5a_branch1/gamma"),
        ("bn3a_branch1/moving_variance:0", 7, -0.25, "bn3a_branch1/variance holds a .* -0.25"),
    ],
)
@pytest.mark.parametrize("read", [convert_h5, read_feature_weights])
def test_an_h5_with_numbers_that_are_none(keras, tmp_path, tensor, place, value, message, read):
    path = tmp_path / "weights.h5"
    path.write_bytes(keras.read_bytes())
    layer = tensor.split("/")[0]
    with h5py.File(path, "r+") as file:
        file[f"{layer}/{tensor}"][place] = value
    refused(read, path, message)


def test_an_h5_whose_tensors_do_not_fit_each_other(keras, tmp_path):
    path = tmp_path / "weights.h5"
    path.write_bytes(keras.read_bytes())
    with h5py.File(path, "r+") as file:
        del file["bn2a_branch1/bn2a_branch1/beta:0"]
        file["bn2a_branch1/bn2a_branch1/beta:0"] = np.zeros(7, np.float32)
    refused(convert_h5, path, r"bn2a_branch1/beta has shape \(7,\), where ResNet50 has \(256,\)")


@pytest.fixture(scope="module")
def written(cpu, tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "some.ckpt"
    write_checkpoint(path, TENSORS)
    return path


def assert_is_what_was_written(weights):
    assert weights.keys() >= TENSORS.keys()
    for name, value in TENSORS.items():
        assert weights[name].dtype == value.dtype
        np.testing.assert_array_equal(weights[name], value)


def test_our_checkpoints_come_back_whole_or_not_at_all(written, tmp_path):
    """Any byte may be another one: the file is refused, or what is read is what was written."""
    assert_is_what_was_written(read_checkpoint(written))
    content = written.read_bytes()
    path = tmp_path / "flipped.ckpt"
    refusals = 0
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert_is_what_was_written(read_checkpoint(path))
        except UserError as error:
            assert str(path) in str(error)
            refusals += 1
    # But for the name of the sum itself, which is then one tensor too many.
    assert refusals > 0.9 * len(content)


@pytest.mark.parametrize("name", ["conv.weight", "half"])
def test_numbers_that_are_none_are_named(written, tmp_path, name):
    for value in (np.nan, np.inf):
        wrong = {**TENSORS, name: TENSORS[name].copy()}
        wrong[name].flat[1] = value
        path = tmp_path / "wrong.ckpt"
        # As another program saves it, and as damage would leave ours.
        ms.save_checkpoint([{"name": n, "data": ms.Tensor(v)} for n, v in wrong.items()], str(path))
        refused(read_checkpoint, path, f"1 of the {wrong[name].size} numbers of {name} are not")
        content = written.read_bytes()
        old, new = TENSORS[name].tobytes(), wrong[name].tobytes()
        assert content.count(old) == 1
        path.chmod(0o644)
        path.write_bytes(content.replace(old, new))
        refused(read_weights, path, f"1 of the {wrong[name].size} numbers of {name} are not")


def test_a_variance_below_zero_is_none(cpu, tmp_path):
    path = tmp_path / "wrong.ckpt"
    write_checkpoint(path, {"bn.moving_variance": np.float32([1, -1])})
    refused(read_checkpoint, path, "bn.moving_variance holds a variance of -1")


def test_weights_that_become_too_large_when_folded_are_refused(cpu, tmp_path):
    path = tmp_path / "large.ckpt"
    unit = "backbone.conv1"
    ones = {f"{unit}.bn.{part}": np.ones(2, np.float32) for part in ("beta", "moving_mean")}
    variance = np.zeros(2, np.float32)
    large = {f"{unit}.bn.gamma": np.full(2, 1e38, np.float32)}
    weight = {f"{unit}.conv.weight": np.full((2, 3, 1, 1), 1e30, np.float32)}
    write_checkpoint(path, {**ones, **large, **weight, f"{unit}.bn.moving_variance": variance})
    with np.errstate(over="ignore"):
        refused(read_feature_weights, path, r"backbone\.conv1\.conv\.weight are not finite")


def test_checkpoints_without_a_sum_are_read(cpu, tmp_path):
    """Those of earlier versions, and of other programs; NumPy has no bfloat16."""
    path = tmp_path / "old.ckpt"
    data = [{"name": name, "data": ms.Tensor(value)} for name, value in TENSORS.items()]
    ms.save_checkpoint(data, str(path))
    assert_is_what_was_written(read_checkpoint(path))
    half = ms.Tensor(np.float32([0.5, 2])).astype(ms.bfloat16)
    ms.save_checkpoint([{"name": "half", "data": half}], str(tmp_path / "b.ckpt"))
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "b.ckpt")["half"], [0.5, 2])


def test_a_disk_that_keeps_something_else_is_noticed(cpu, tmp_path, monkeypatch):
    before = tmp_path / "some.ckpt"
    write_checkpoint(before, TENSORS)
    content = before.read_bytes()
    real = weight_files.write_tensors

    def spoil(file, tensors):
        real(file, [(name, value * 0 + 1) for name, value in tensors])

    monkeypatch.setattr(weight_files, "write_tensors", spoil)
    with pytest.raises(UserError, match=r"some\.ckpt was not kept"):
        write_checkpoint(before, {**TENSORS, "step": np.array(4, np.int32)})
    assert before.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["some.ckpt"]


@pytest.fixture(scope="module")
def mindir(attention_checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("mindir") / "model"
    return export_model(attention_checkpoint, path, ExportSettings((1, 3, 64, 64), "CPU"))


def unsealed(mindir):
    """Return a model as it was written before files were sealed."""
    model = read_proto(mindir)
    del model.user_info["delf.file"]
    return model


def changed(mindir, path, name, change):
    model = unsealed(mindir)
    (tensor,) = [t for t in model.graph.parameter if t.name.endswith(f":{name}")]
    value = np.frombuffer(tensor.raw_data, np.float32).copy()
    change(value)
    tensor.raw_data = value.tobytes()
    path.write_bytes(model.SerializeToString())
    return path


def test_a_model_with_damaged_weights_is_refused(mindir, tmp_path):
    name = "backbone.stage2.res2a.branch2b.conv.weight"
    assert is_whole(mindir) and not is_whole(tmp_path / "none.mindir")
    path = tmp_path / "damaged.mindir"
    changed(mindir, path, name, lambda value: value[:1024].fill(np.nan))
    refused(read_mindir, path, f"1024 of the 36864 numbers of {name} are not finite")
    changed(mindir, path, name, lambda value: value[:1024].fill(0))
    refused(read_mindir, path, "its weights are not those that were exported")
    assert not is_whole(path)
    model = unsealed(mindir)
    model.graph.parameter[0].raw_data = model.graph.parameter[0].raw_data[:-2]
    path.write_bytes(model.SerializeToString())
    refused(read_mindir, path, "is damaged")


def test_any_other_byte_of_a_model_is_refused(mindir, tmp_path):
    """What the graph says is believed by the runtimes, which fall where it is wrong."""
    path = tmp_path / "damaged.mindir"
    model = read_proto(mindir)
    model.graph.node[0].input.append("nothing")
    path.write_bytes(model.SerializeToString())
    refused(read_mindir, path, "its bytes are not those that were exported")
    whole = mindir.read_bytes()
    for at in random.Random(1).sample(range(len(whole) - 80), 40):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        refused(read_mindir, path, "model")
    for cut in (whole[:-1], whole + b"\0", whole + whole[-90:], whole[: len(whole) // 2]):
        path.write_bytes(cut)
        refused(read_mindir, path, "model")


def test_a_shape_that_lies_is_refused(cpu, tmp_path):
    """MindSpore's own reader would read on, behind what there is."""
    path = tmp_path / "long.ckpt"
    ms.save_checkpoint([{"name": "w", "data": ms.Tensor(np.zeros((3, 2), np.float32))}], str(path))
    path.chmod(0o644)
    content = path.read_bytes()
    assert content.count(b"\x08\x03\x08\x02") == 1
    path.write_bytes(content.replace(b"\x08\x03\x08\x02", b"\x08\x7f\x08\x7f"))
    refused(read_checkpoint, path, r"'w' has 24 bytes, .* its shape \(127, 127\)")


def test_large_tensors_are_written_in_parts(cpu, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_format, "_PART_BYTES", 1024)
    large = {"large": np.arange(3000, dtype=np.float32).reshape(30, 100), "small": np.ones(2)}
    path = tmp_path / "parts.ckpt"
    write_checkpoint(path, large)
    assert path.read_bytes().count(b"large") == 12
    for name, value in read_checkpoint(path).items():
        np.testing.assert_array_equal(value, large[name])


def test_what_mindspore_adds_when_asked_is_passed_over(cpu, tmp_path):
    path = tmp_path / "more.ckpt"
    data = [{"name": "w", "data": ms.Tensor(np.float32([1, 2]))}]
    noted = {"epoch": 3, "note": "a text"}
    ms.save_checkpoint(data, str(path), crc_check=True, append_dict=noted)
    weights = read_checkpoint(path)
    assert weights.keys() == {"w", "epoch"} and weights["epoch"] == 3


def test_a_model_of_an_earlier_version_is_read(mindir, tmp_path):
    model = read_proto(mindir)
    model.user_info.clear()
    path = tmp_path / "old.mindir"
    path.write_bytes(model.SerializeToString())
    assert read_mindir(path) == read_mindir(mindir)


def test_the_command_says_it_in_one_line(attention_checkpoint, tmp_path):
    damaged = tmp_path / "damaged.ckpt"
    content = bytearray(attention_checkpoint.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = b"\xff" * 4096
    damaged.write_bytes(content)
    result = subprocess.run(
        [sys.executable, str(PROJECT_ROOT / "export.py"), f"--ckpt_path={damaged}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 2
    (said,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "damaged.ckpt is damaged" in said and "backbone." in said
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.ckpt"]
