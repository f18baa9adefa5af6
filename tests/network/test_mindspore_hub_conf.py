"""The networks that MindSpore Hub gets by name are those of the repository."""

import mindspore as ms
import numpy as np
import pytest

import mindspore_hub_conf as hub
from src.common.errors import UserError
from src.delf_model import AttentionNetwork, TuningNetwork
from src.describe.engines.mindspore_graph import FeatureNetwork
from src.network.feature_weights import read_feature_weights
from src.network.weight_files import read_weights


def test_it_describes_as_the_programs_do(attention_checkpoint):
    network = hub.create_network("delf", checkpoint=attention_checkpoint)
    wanted = FeatureNetwork(read_feature_weights(attention_checkpoint), "it", "CPU")
    image = np.random.default_rng(0).uniform(-1, 1, (3, 70, 101)).astype(np.float32)
    features, scores = (x.asnumpy()[0] for x in network(ms.Tensor(image[None])))
    ours, our_scores = wanted(image[None])
    np.testing.assert_allclose(features.transpose(1, 2, 0), ours, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(scores[0], our_scores, rtol=1e-4, atol=1e-5)


def test_a_stage_with_the_weights_of_a_checkpoint(attention_checkpoint):
    classes = read_weights(attention_checkpoint)["classifier.weight"].shape[0]
    network = hub.create_network("delf_attn", num_classes=classes, checkpoint=attention_checkpoint)
    for name, value in read_weights(attention_checkpoint).items():
        np.testing.assert_array_equal(network.parameters_dict()[name].asnumpy(), value)


@pytest.mark.parametrize(
    ("name", "kind"), [("delf_tuning", TuningNetwork), ("delf_attn", AttentionNetwork)]
)
def test_the_stages_of_the_training(name, kind):
    network = hub.create_network(name, num_classes=7)
    assert type(network) is kind
    names = {parameter.name for parameter in network.get_parameters()}
    assert names == {parameter.name for parameter in kind(7).get_parameters()}


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "message"),
    [
        ("resnet18", (), {}, "take delf, delf_global"),
        ("delf", (), {}, "checkpoint"),
        ("delf", ("a.ckpt",), {}, "by their names"),
        ("delf_attn", (), {"classes": 7}, "classes"),
    ],
)
def test_what_is_not_there_is_refused(name, args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        hub.create_network(name, *args, **kwargs)


def test_a_checkpoint_that_is_none_is_named(tmp_path):
    (tmp_path / "no.ckpt").write_bytes(b"no")
    with pytest.raises(UserError, match=r"no\.ckpt"):
        hub.create_network("delf", checkpoint=tmp_path / "no.ckpt")
