"""The exported file, loaded back, is the network; what cannot be exported is refused."""

import tempfile

import mindspore as ms
import numpy as np
import pytest
from mindspore.train import mind_ir_pb2

from src.common.errors import UserError
from src.delf_model import TuningNetwork
from src.describe.engines.mindspore_graph import FeatureNetwork
from src.network.export import NATIVE_VERSION, ExportSettings, export_model
from src.network.feature_weights import read_feature_weights
from src.network.mindir import read_mindir, read_proto
from src.network.mindir_version1 import to_version1
from src.network.weight_files import write_checkpoint
from src.network.weights import fingerprint
from tests.helpers.weights import random_weights


def exported(checkpoint, path, shape, version=NATIVE_VERSION):
    return export_model(checkpoint, path, ExportSettings(tuple(shape), "CPU", version=version))


@pytest.mark.parametrize(("shape", "size"), [([1, 3, 0, 0], (70, 101)), ([2, 3, 64, 96], (64, 96))])
def test_the_file_computes_what_the_network_computes(attention_checkpoint, tmp_path, shape, size):
    path = exported(attention_checkpoint, tmp_path / "DELF_MindIR", shape)
    assert path == tmp_path / "DELF_MindIR.mindir"
    assert [file.name for file in tmp_path.iterdir()] == ["DELF_MindIR.mindir"]
    model = ms.nn.GraphCell(ms.load(str(path)))
    network = FeatureNetwork(read_feature_weights(attention_checkpoint), "it", "CPU")
    generator = np.random.default_rng(3)
    images = generator.uniform(-1, 1, (shape[0], 3, *size)).astype(np.float32)
    features, scores = (x.asnumpy() for x in model(ms.Tensor(images)))
    for one, found, found_scores in zip(images, features, scores):
        wanted, wanted_scores = network(one[None])
        np.testing.assert_allclose(found.transpose(1, 2, 0), wanted, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found_scores[0], wanted_scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("shape", "size"), [([1, 3, 0, 0], (70, 101)), ([2, 3, 64, 96], (64, 96))])
def test_version_1_is_the_same_model_for_older_runtimes(
    attention_checkpoint, tmp_path, shape, size
):
    native, old = (
        exported(attention_checkpoint, tmp_path / str(version), shape, version)
        for version in (0, 1)
    )
    proto = read_proto(old)
    assert proto.mind_ir_version == 1 < read_proto(native).mind_ir_version
    assert {primitive.prim_type for primitive in proto.primitives} == {1}  # PRIMITIVE
    by_name = {f"REF::{primitive.name}": primitive for primitive in proto.primitives}
    nodes = [node for node in proto.graph.node if node.op_type in by_name]
    biases = [node for node in nodes if by_name[node.op_type].op_type == "BiasAdd"]
    assert biases and all(len(node.input) == 2 for node in biases)
    images = np.random.default_rng(3).uniform(-1, 1, (shape[0], 3, *size)).astype(np.float32)
    results = [ms.nn.GraphCell(ms.load(str(path)))(ms.Tensor(images)) for path in (native, old)]
    for ours, theirs in zip(*results):
        assert (ours.asnumpy() == theirs.asnumpy()).all()
    weights = read_feature_weights(attention_checkpoint)
    assert read_mindir(native).fingerprint == read_mindir(old).fingerprint == fingerprint(weights)
    assert read_mindir(old).input_shape == tuple(side or -1 for side in shape)


def test_version_1_is_refused_for_operators_it_was_not_tried_with(attention_checkpoint, tmp_path):
    model = read_proto(exported(attention_checkpoint, tmp_path / "m", [1, 3, 64, 64]))
    model.primitives[0].op_type = "Concat"
    with pytest.raises(UserError, match=r"version 1 cannot be written .*Concat"):
        to_version1(model)


def test_a_rewritten_file_that_computes_something_else_is_not_kept(
    attention_checkpoint, tmp_path, monkeypatch
):
    def spoil(model):
        to_version1(model)
        for tensor in model.graph.parameter:
            if tensor.name.endswith("attention.conv2.bias"):
                tensor.raw_data = np.float32([7]).tobytes()

    monkeypatch.setattr("src.network.export.to_version1", spoil)
    with pytest.raises(UserError, match="computes something else"):
        exported(attention_checkpoint, tmp_path / "m", [1, 3, 64, 64], version=1)
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_model_are_refused(tmp_path):
    (tmp_path / "noise").write_bytes(b"noise" * 100)
    (tmp_path / "empty").write_bytes(b"")
    for name, message in (
        ("none", "there is no model"),
        ("noise", "cannot be read|no MindIR"),
        ("empty", "no MindIR"),
    ):
        with pytest.raises(UserError, match=message):
            read_mindir(tmp_path / name)
    ms.export(ms.nn.ReLU(), ms.Tensor([1.0]), file_name=str(tmp_path / "x"), file_format="MINDIR")
    with pytest.raises(UserError, match="no DELF network"):
        read_mindir(tmp_path / "x.mindir")


def test_the_file_goes_wherever_a_person_wants_it(attention_checkpoint, tmp_path, monkeypatch):
    plain = exported(attention_checkpoint, tmp_path / "plain", [1, 3, 64, 64])
    folder = tmp_path / "müller's + more, (1); a:b" / "-x"
    path = exported(attention_checkpoint, folder / "dèlf model", [1, 3, 64, 64])
    assert path == folder / "dèlf model.mindir"
    assert read_mindir(path) == read_mindir(plain)
    assert path.stat().st_mode == plain.stat().st_mode
    # The folder for temporary files may have such a name, too.
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    exported(attention_checkpoint, path, [1, 3, 64, 64])
    assert [file.name for file in folder.iterdir()] == ["dèlf model.mindir"]
    with pytest.raises(NotADirectoryError, match=str(plain)):
        exported(attention_checkpoint, plain / "x" / "model", [1, 3, 64, 64])


def test_only_what_inference_needs_is_in_the_file(attention_checkpoint, tmp_path):
    path = exported(attention_checkpoint, tmp_path / "small", [1, 3, 64, 64])
    # conv1 to conv4 with folded normalisation 8.5 M numbers, the attention half a million
    assert 34e6 < path.stat().st_size < 38e6


def test_a_large_input_is_checked_in_small_and_by_its_weights(attention_checkpoint, tmp_path):
    path = exported(attention_checkpoint, tmp_path / "large", [7, 3, 2048, 2048])
    assert [file.name for file in tmp_path.iterdir()] == ["large.mindir"]
    model = mind_ir_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    assert [list(tensor.dims) for tensor in model.graph.input[0].tensor] == [[7, 3, 2048, 2048]]


def test_what_cannot_be_exported_is_refused(cpu, attention_checkpoint, tmp_path):
    tuning = tmp_path / "tuning.ckpt"
    write_checkpoint(tuning, random_weights(TuningNetwork(3)))
    with pytest.raises(UserError, match="holds no attention"):
        exported(tuning, tmp_path / "model", [1, 3, 64, 64])
    for shape in ([1, 3, 64], [1, 1, 64, 64], [0, 3, 64, 64], [1, 3, 0, 64], [1, 3, -1, 64]):
        with pytest.raises(UserError, match="export_shape"):
            exported(attention_checkpoint, tmp_path / "model", shape)
    with pytest.raises(UserError, match=r"absent\.ckpt"):
        exported(tmp_path / "absent.ckpt", tmp_path / "model", [1, 3, 64, 64])
    assert not list(tmp_path.glob("*.mindir"))
