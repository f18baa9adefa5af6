"""Checkpoints are read as MindSpore reads them, and without it; what lies of itself is refused."""

import io
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest
from mindspore.train.checkpoint_pb2 import Checkpoint

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.network import checkpoint_format
from src.network.checkpoint_format import write_tensors
from src.network.feature_weights import holds_conv5, read_feature_weights
from src.network.weight_files import read_checkpoint, read_names, read_weights, write_checkpoint
from tests.helpers.faults import files_up_to
from tests.helpers.training import options

MEGABYTE = 1 << 20


def write(path, *tensors):
    """Write (name, dims, type, bytes) as MindSpore's own message lays them out."""
    message = Checkpoint()
    for name, dims, kind, content in tensors:
        value = message.value.add(tag=name)
        value.tensor.dims.extend(dims)
        value.tensor.tensor_type, value.tensor.tensor_content = kind, content
    path.write_bytes(message.SerializeToString())
    return path


def by_mindspore(path):
    return {
        name: (value.astype(ms.float32) if value.dtype == ms.bfloat16 else value).asnumpy()
        for name, value in ms.load_checkpoint(str(path)).items()
    }


def assert_as_mindspore(path):
    ours, theirs = read_checkpoint(path), by_mindspore(path)
    assert ours.keys() == theirs.keys() - {"delf.sha256"} == read_names(path)
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype and value.shape == theirs[name].shape, name
        np.testing.assert_array_equal(value, theirs[name])
        assert value.flags.writeable


def test_a_checkpoint_of_a_training_is_read_as_mindspore_reads_it(attention_checkpoint):
    assert_as_mindspore(attention_checkpoint)


def test_every_type_that_mindspore_writes(cpu, tmp_path):
    numbers = np.arange(-3, 9).reshape(3, 4)
    kinds = (bool, *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)))
    data = [(str(kind), ms.Tensor(numbers.astype(kind))) for kind in kinds]
    data += [(f"f{bits}", ms.Tensor(numbers.astype(f"float{bits}") / 7)) for bits in (16, 32, 64)]
    data += [("bfloat16", ms.Tensor(numbers / 7, ms.bfloat16)), ("one", ms.Tensor(np.float32(2)))]
    path = tmp_path / "types.ckpt"
    ms.save_checkpoint([{"name": name, "data": value} for name, value in data], str(path))
    assert_as_mindspore(path)
    assert len(read_checkpoint(path)) == len(data)


def test_what_is_written_is_what_mindspore_writes(cpu, tmp_path, monkeypatch):
    numbers = np.arange(-3, 9).reshape(3, 4)
    kinds = ("bool", "int8", "uint8", "int16", "int32", "int64", "float16", "float32", "float64")
    tensors = {kind: numbers.astype(kind) for kind in kinds}
    tensors |= {"one": np.array(4, np.int32), "turned": numbers.T.astype(np.float32)}
    data = [{"name": name, "data": ms.Tensor(value)} for name, value in tensors.items()]
    ms.save_checkpoint(data, str(tmp_path / "theirs.ckpt"))
    with open(tmp_path / "ours.ckpt", "wb") as file:
        write_tensors(file, tensors.items())
    assert (tmp_path / "ours.ckpt").read_bytes() == (tmp_path / "theirs.ckpt").read_bytes()
    # And a large tensor in parts, here of 20 bytes.
    monkeypatch.setattr("mindspore.train.serialization.SLICE_SIZE", 20 / 1024)
    monkeypatch.setattr(checkpoint_format, "_PART_BYTES", 20)
    with open(tmp_path / "parts.ckpt", "wb") as file:
        write_tensors(file, [("float64", tensors["float64"])])
    assert (tmp_path / "parts.ckpt").stat().st_size > 96 + 4 * 20
    [(_, found)] = checkpoint_format.tensors_in(tmp_path / "parts.ckpt")
    np.testing.assert_array_equal(found, tensors["float64"])


def test_a_type_that_checkpoints_do_not_have_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="'a' is of type complex64"):
        write_tensors(io.BytesIO(), [("a", np.zeros(2, np.complex64))])


@pytest.mark.parametrize("size", [100, 4096, 6000])
def test_a_disk_that_does_not_hold_a_checkpoint_is_told_with_it(tmp_path, size):
    path = tmp_path / "a.ckpt"
    with files_up_to(size), pytest.raises(OSError, match="too large") as caught:
        write_checkpoint(path, {"a": np.zeros(9999, np.float32)})
    assert caught.value.filename == str(path)
    assert not list(tmp_path.iterdir())


SIXTEEN = np.float32([1, 2, 3, 4]).tobytes()
LIES = {
    "4 MB for four numbers": ([2, 2], "Float32", bytes(4 * MEGABYTE)),
    "16 bytes for a million": ([1000, 1000], "Float32", SIXTEEN),
    "nothing for four": ([2, 2], "Float32", b""),
    "one byte more": ([2, 2], "Float32", SIXTEEN + b"\0"),
    "two negative sides": ([-2, -2], "Float32", SIXTEEN),
    "a side below zero": ([-1], "Float32", b""),
    "a product beyond 64 bits": ([2**32, 2**32], "Float32", b""),
    "a product that is 4 in 64 bits": ([2**62 + 1, 4], "Float32", SIXTEEN),
    "nothing of very much": ([0, 2**62], "Float32", b""),
    "a hundred sides": ([1] * 100, "Float32", SIXTEEN[:4]),
    "half as wide": ([2, 2], "Float64", SIXTEEN),
    "no type": ([2, 2], "", SIXTEEN),
    "an unknown type": ([2, 2], "Complex64", bytes(32)),
    "not finite": ([2, 2], "Float32", np.float32([1, np.nan, 3, 4]).tobytes()),
    "not finite in bfloat16": ([2], "BFloat16", np.uint16([0x3F80, 0x7F80]).tobytes()),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("read", [read_checkpoint, read_weights, read_feature_weights])
def test_what_a_tensor_says_of_itself_is_held_against_its_bytes(tmp_path, lie, read):
    good = ("backbone.good", [2, 2], "Float32", SIXTEEN)
    path = write(tmp_path / "lies.ckpt", good, ("backbone.bad", *LIES[lie]))
    with pytest.raises(UserError) as error:
        read(path)
    said = str(error.value)
    assert str(path) in said and "\n" not in said and len(said) < 1000
    assert "backbone.bad" in said or lie in ("nothing of very much", "a hundred sides")


def test_a_file_that_ends_anywhere_is_refused_or_short_of_tensors(tmp_path):
    names = ("backbone.a", "backbone.b")
    path = write(tmp_path / "w.ckpt", *((name, [2, 2], "Float32", SIXTEEN) for name in names))
    content = path.read_bytes()
    whole = []
    for end in range(len(content)):
        path.write_bytes(content[:end])
        try:
            whole.append((end, read_checkpoint(path).keys()))
        except UserError as error:
            assert str(path) in str(error)
    # Without a sum, nothing says that a file which ends between two tensors was longer.
    assert whole == [(len(content) // 2, {"backbone.a"})]


def test_other_messages_are_refused(tmp_path):
    path = tmp_path / "other.ckpt"
    message = Checkpoint()
    message.value.add(tag="map").maptensor.SetInParent()
    contents = [
        message.SerializePartialToString(),
        b"",
        b"\n",
        b"\n\xff\xff\xff\xff\x7f",
        b"PK\x03",
    ]
    contents += [
        b"\n\x04\n\x02\xff\xfe",
        b"\n" + b"\xff" * 11,
        b"\n\x02\x08\x01",
        b"\n\x02\x12\x00",
    ]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"other\.ckpt cannot be read"):
            read_checkpoint(path)
    with pytest.raises(UserError, match="does not exist"):
        read_names(tmp_path / "none.ckpt")


def test_names_are_read_without_the_values(tmp_path):
    path = write(tmp_path / "w.ckpt", ("backbone.stage5.x", *LIES["not finite"]))
    assert holds_conv5(path)
    write(path, ("backbone.stage4.x", *LIES["not finite"]))
    assert not holds_conv5(path)


def commands(path, data, folder):
    """Command lines of the programs that read a checkpoint of a person's."""
    yield ["export.py", f"--ckpt_path={path}"]
    yield ["src/network/inference_weights.py", f"--checkpoint={path}"]
    yield ["train.py", *options(data, folder, checkpoint_path=path, train_state="attn")]


def test_programs_refuse_them_in_one_line(tmp_path, training_data):
    lie = LIES["4 MB for four numbers"]
    path = write(tmp_path / "lies.ckpt", ("backbone.conv1.conv.weight", *lie))
    for program, *arguments in commands(path, training_data, tmp_path):
        result = subprocess.run(
            [sys.executable, str(PROJECT_ROOT / program), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert result.returncode == 2, result.stderr
        (said,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert str(path) in said and "backbone.conv1.conv.weight" in said


def test_nobody_lets_mindspore_read_a_checkpoint():
    folders = ("src", "model_utils", "benchmarks", "sample_world")
    files = [path for folder in folders for path in (PROJECT_ROOT / folder).rglob("*.py")]
    for path in [*files, *PROJECT_ROOT.glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert "load_checkpoint" not in text and "checkpoint_pb2" not in text, path
