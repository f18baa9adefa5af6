"""The exported file, loaded back, is the network; what cannot be exported is refused."""

import mindspore as ms
import numpy as np
import pytest
from conftest import random_weights
from mindspore.train import mind_ir_pb2

from src.delf_model import TuningNetwork
from src.errors import UserError
from src.export_model import export_model
from src.feature_network import load_feature_network
from src.network_weights import write_checkpoint


@pytest.mark.parametrize(("shape", "size"), [([1, 3, 0, 0], (70, 101)), ([2, 3, 64, 96], (64, 96))])
def test_the_file_computes_what_the_network_computes(attention_checkpoint, tmp_path, shape, size):
    path = export_model(attention_checkpoint, tmp_path / "DELF_MindIR", shape, "CPU")
    assert path == tmp_path / "DELF_MindIR.mindir"
    assert [file.name for file in tmp_path.iterdir()] == ["DELF_MindIR.mindir"]
    model = ms.nn.GraphCell(ms.load(str(path)))
    network = load_feature_network(attention_checkpoint, "CPU")
    generator = np.random.default_rng(3)
    images = generator.uniform(-1, 1, (shape[0], 3, *size)).astype(np.float32)
    features, scores = (x.asnumpy() for x in model(ms.Tensor(images)))
    for one, found, found_scores in zip(images, features, scores):
        wanted, wanted_scores = network(one[None])
        np.testing.assert_allclose(found.transpose(1, 2, 0), wanted, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found_scores[0], wanted_scores, rtol=1e-4, atol=1e-5)


def test_only_what_inference_needs_is_in_the_file(attention_checkpoint, tmp_path):
    path = export_model(attention_checkpoint, tmp_path / "small", [1, 3, 64, 64], "CPU")
    # conv1 to conv4 with folded normalisation 8.5 M numbers, the attention half a million
    assert 34e6 < path.stat().st_size < 38e6


def test_a_large_input_is_checked_in_small_and_by_its_weights(attention_checkpoint, tmp_path):
    path = export_model(attention_checkpoint, tmp_path / "large", [7, 3, 2048, 2048], "CPU")
    assert [file.name for file in tmp_path.iterdir()] == ["large.mindir"]
    model = mind_ir_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    assert [list(tensor.dims) for tensor in model.graph.input[0].tensor] == [[7, 3, 2048, 2048]]


def test_what_cannot_be_exported_is_refused(cpu, attention_checkpoint, tmp_path):
    tuning = tmp_path / "tuning.ckpt"
    write_checkpoint(tuning, random_weights(TuningNetwork(3)))
    with pytest.raises(UserError, match="holds no attention"):
        export_model(tuning, tmp_path / "model", [1, 3, 64, 64], "CPU")
    for shape in ([1, 3, 64], [1, 1, 64, 64], [0, 3, 64, 64], [1, 3, 0, 64], [1, 3, -1, 64]):
        with pytest.raises(UserError, match="export_shape"):
            export_model(attention_checkpoint, tmp_path / "model", shape, "CPU")
    with pytest.raises(UserError, match=r"absent\.ckpt"):
        export_model(tmp_path / "absent.ckpt", tmp_path / "model", [1, 3, 64, 64], "CPU")
    assert not list(tmp_path.glob("*.mindir"))
