"""A model with a third output, and a checkpoint without conv5: the same global descriptors."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from PIL import Image

from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.delf_model import AttentionNetwork, ResNet50
from src.describe.engines.choice import EngineSettings, choose_engine, is_made_for
from src.describe.engines.global_head import GlobalEngine, MindSporeHead
from src.describe.engines.mindspore_graph import FeatureNetwork
from src.describe.tasks import list_tasks
from src.describe.whitening import Whitening, write_whitening
from src.describe.whitening_choice import with_global_descriptor
from src.network import conv5_source
from src.network.export import ExportSettings, export_model
from src.network.feature_weights import (
    backbone_fingerprint,
    read_conv5_weights,
    read_feature_weights,
)
from src.network.mindir import read_mindir
from src.network.weight_files import write_checkpoint
from src.network.weights import fingerprint
from tests.helpers.infer import textured
from tests.helpers.weights import random_weights

CONFIG = DelfConfig(max_level_side=192, use_pca=False, max_feature_num=20)
SHAPES = {"any size": (1, 3, 0, 0), "static": (7, 3, 192, 192)}


@pytest.fixture(scope="module")
def weights(cpu):
    """A backbone, with conv5, and an attention."""
    attention = random_weights(AttentionNetwork(2), seed=5)
    backbone = {f"backbone.{n}": v for n, v in random_weights(ResNet50(conv5=True)).items()}
    return {**{n: v for n, v in attention.items() if n.startswith("attention.")}, **backbone}


@pytest.fixture(scope="module")
def folder(weights, tmp_path_factory):
    """Checkpoints of it: whole, the backbone alone, and without conv5; a whitening; photos."""
    folder = tmp_path_factory.mktemp("pooled")
    parts = {
        "whole": weights,
        "backbone": {n: v for n, v in weights.items() if n.startswith("backbone.")},
        "attn": {n: v for n, v in weights.items() if ".stage5." not in n},
    }
    for name, part in parts.items():
        write_checkpoint(folder / f"{name}.ckpt", part)
    generator = np.random.default_rng(5)
    whitening = Whitening(
        generator.normal(0, 0.01, 2048).astype(np.float32),
        generator.normal(0, 1, (2048, 12)).astype(np.float16),
        fingerprint(read_feature_weights(folder / "backbone.ckpt")),  # as one that ships
        fingerprint(read_conv5_weights(folder / "whole.ckpt")),
    )
    write_whitening(folder / "whitening.npz", whitening)
    (folder / "photos").mkdir()
    for name, size in {"a": (150, 120), "b": (64, 190)}.items():
        Image.fromarray(textured(*size, seed=8)).save(folder / "photos" / f"{name}.png")
    return folder


def exported(checkpoint, path, shape, pooled=True):
    settings = ExportSettings(shape, "CPU", global_descriptor=pooled)
    return export_model(checkpoint, path, settings)


def descriptors(folder, **settings):
    """The global descriptors of the photos by an engine, and the engine."""
    settings = EngineSettings(device_target="CPU", max_level_side=192, **settings)
    whitening = str(folder / "whitening.npz")
    engine = with_global_descriptor(choose_engine(settings), settings, CONFIG, "True", whitening)
    tasks = list_tasks(folder / "photos")
    outputs = engine.outputs(folder / "photos", tasks, CONFIG)
    return [photo.whole.global_descriptor for photo in outputs], engine


@pytest.mark.parametrize("kind", SHAPES)
def test_the_third_output_is_what_the_engines_pool(folder, tmp_path, kind):
    shape = SHAPES[kind]
    path = exported(folder / "whole.ckpt", tmp_path / "pooled", shape)
    plain = exported(folder / "whole.ckpt", tmp_path / "plain", shape, pooled=False)
    model, two = read_mindir(path), read_mindir(plain)
    assert model.fingerprint == two.fingerprint and not two.conv5
    assert fingerprint(model.conv5) == fingerprint(read_conv5_weights(folder / "whole.ckpt"))
    images = np.random.default_rng(3).uniform(-1, 1, (shape[0], 3, 192, 192)).astype(np.float32)
    found = [x.asnumpy() for x in ms.nn.GraphCell(ms.load(str(path)))(ms.Tensor(images))]
    assert [x.shape[1:] for x in found] == [(1024, 6, 6), (1, 6, 6), (2048,)]
    network = FeatureNetwork(read_feature_weights(folder / "whole.ckpt"), "it", "CPU")
    head = MindSporeHead(read_conv5_weights(folder / "whole.ckpt"), "it")
    for image, vector in zip(images[:2], found[2]):
        np.testing.assert_allclose(vector, head(network(image[None])[0]), rtol=2e-4, atol=1e-5)


def test_the_program_gives_the_descriptors_of_the_other_engines(folder, tmp_path, monkeypatch):
    wanted, _ = descriptors(folder, name="mindspore", checkpoint=str(folder / "whole.ckpt"))
    for kind, shape in SHAPES.items():
        path = exported(folder / "whole.ckpt", tmp_path / kind.replace(" ", "_"), shape)
        found, engine = descriptors(folder, mindir=str(path), models_path=tmp_path / "models")
        assert isinstance(engine, GlobalEngine) and engine.name == "lite"
        np.testing.assert_allclose(found, wanted, atol=2e-4)
        assert engine._head is None, "the model's own vectors were taken"
    # A model without: conv5 of the ImageNet weights does, if the whitening is for it.
    plain = exported(folder / "attn.ckpt", tmp_path / "attn", SHAPES["any size"], pooled=False)
    monkeypatch.setattr(conv5_source, "IMAGENET_WEIGHTS", folder / "backbone.ckpt")
    found, engine = descriptors(folder, mindir=str(plain), models_path=tmp_path / "models")
    np.testing.assert_allclose(found, wanted, atol=2e-4)
    assert engine._head is not None


def test_a_checkpoint_without_conv5_takes_that_of_the_imagenet_weights(
    folder, tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO")
    monkeypatch.setattr(conv5_source, "IMAGENET_WEIGHTS", folder / "backbone.ckpt")
    wanted, _ = descriptors(folder, name="mindspore", checkpoint=str(folder / "whole.ckpt"))
    assert "holds no conv5" not in caplog.text
    found, _ = descriptors(folder, name="mindspore", checkpoint=str(folder / "attn.ckpt"))
    np.testing.assert_array_equal(found, wanted)
    assert f"{folder / 'attn.ckpt'} holds no conv5: that of the ImageNet weights" in caplog.text
    path = exported(folder / "attn.ckpt", tmp_path / "m", SHAPES["static"])
    assert fingerprint(read_mindir(path).conv5) == fingerprint(
        read_conv5_weights(folder / "backbone.ckpt")
    )
    monkeypatch.setattr(conv5_source, "IMAGENET_WEIGHTS", tmp_path / "absent.h5")
    with pytest.raises(UserError, match=r"attn\.ckpt holds no conv5.*download_pretrained"):
        exported(folder / "attn.ckpt", tmp_path / "m", SHAPES["static"])


def test_what_is_for_the_backbone_is_for_an_attention_on_it(folder, weights):
    engine = choose_engine(EngineSettings("mindspore", str(folder / "attn.ckpt")))
    network = fingerprint(read_feature_weights(folder / "backbone.ckpt"))
    assert network == backbone_fingerprint(read_feature_weights(folder / "attn.ckpt"))
    assert network != engine.fingerprint and engine.has_attention
    assert is_made_for(network, engine, str(folder / "attn.ckpt"))
    assert is_made_for(engine.fingerprint, engine, "")
    assert not is_made_for("0" * 16, engine, str(folder / "attn.ckpt"))
    assert not is_made_for(None, engine, str(folder / "attn.ckpt"))
    plain = choose_engine(EngineSettings("mindspore", str(folder / "backbone.ckpt")))
    assert not is_made_for(engine.fingerprint, plain, str(folder / "backbone.ckpt"))
