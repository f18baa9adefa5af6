"""What several tests share."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from model_utils.device import set_up_device
from tests.loopback_server import LoopbackServer


@pytest.fixture(scope="session")
def cpu():
    """MindSpore on CPU, as the programs set it up."""
    return set_up_device("CPU")


@pytest.fixture(scope="session")
def training_data(tmp_path_factory):
    """Shards of a few small photos, and ImageNet weights to begin with."""
    from training_helpers import make_training_data

    return make_training_data(tmp_path_factory.mktemp("gldv2"))


@pytest.fixture
def server(monkeypatch):
    """A web server on the loopback address, reached without a proxy."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with LoopbackServer() as running:
        yield running


def keras_resnet50(seed: int = 0, classes: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Random tensors of Keras' ResNet50 by layer and part, with biases and moved statistics."""
    generator = np.random.default_rng(seed)
    layers: dict[str, dict[str, np.ndarray]] = {}

    def unit(conv: str, norm: str, kernel: int, cin: int, cout: int, gain: float = 1.0) -> None:
        scale = gain * np.sqrt(2 / (kernel * kernel * cin))
        layers[conv] = {
            "kernel": generator.normal(0, scale, (kernel, kernel, cin, cout)),
            "bias": generator.normal(0, 0.1, cout),
        }
        layers[norm] = {
            "gamma": generator.uniform(0.5, 1.5, cout),
            "beta": generator.normal(0, 0.1, cout),
            "moving_mean": generator.normal(0, 0.1, cout),
            "moving_variance": generator.uniform(0.5, 1.5, cout),
        }

    unit("conv1", "bn_conv1", 7, 3, 64, gain=0.02)  # pixels come in hundreds
    cin = 64
    for stage, units, inner in (
        (2, "abc", 64),
        (3, "abcd", 128),
        (4, "abcdef", 256),
        (5, "abc", 512),
    ):
        for name in units:
            for branch, kernel, before, after, gain in (
                ("branch2a", 1, cin, inner, 1.0),
                ("branch2b", 3, inner, inner, 1.0),
                ("branch2c", 1, inner, 4 * inner, 0.3),
                ("branch1", 1, cin, 4 * inner, 0.7),
            ):
                if branch != "branch1" or name == "a":
                    layer = f"{stage}{name}_{branch}"
                    unit(f"res{layer}", f"bn{layer}", kernel, before, after, gain)
            cin = 4 * inner
    if classes:
        layers["fc1000"] = {
            "kernel": generator.normal(0, 0.02, (2048, classes)),
            "bias": generator.normal(0, 0.02, classes),
        }
    return {
        layer: {part: value.astype(np.float32) for part, value in parts.items()}
        for layer, parts in layers.items()
    }


def random_weights(network, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights with statistics that have moved, of a size that keeps activations near one."""
    generator = np.random.default_rng(seed)
    weights = {}
    for name, parameter in network.parameters_and_names():
        shape = parameter.shape
        if name.endswith("conv.weight"):
            scale = np.sqrt(2 / np.prod(shape[1:])) * (0.3 if "branch2c" in name else 0.8)
            value = generator.normal(0, scale, shape)
        elif name.endswith(("moving_variance", "gamma")):
            value = generator.uniform(0.5, 1.5, shape)
        else:
            value = generator.normal(0, 0.05, shape)
        weights[name] = value.astype(np.float32)
    return weights


@pytest.fixture(scope="session")
def attention_checkpoint(cpu, tmp_path_factory):
    """A checkpoint of the attention stage with random weights."""
    from src.delf_model import AttentionNetwork
    from src.network_weights import write_checkpoint

    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint_delf_attn-1_1.ckpt"
    write_checkpoint(path, random_weights(AttentionNetwork(5)))
    return path


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Rendered photos of two landmarks, with ground truth."""
    from src.sample_world import WorldOptions, build_sample_world

    folder = tmp_path_factory.mktemp("world")
    options = WorldOptions(
        seed=1,
        train_landmarks=2,
        train_photos=1,
        retrieval_landmarks=2,
        retrieval_photos=4,
        queries=1,
        distractors=2,
        width=128,
        height=96,
    )
    build_sample_world(folder, options, num_workers=1)
    return folder / "retrieval"


@pytest.fixture(scope="session")
def any_size_mindir(attention_checkpoint, tmp_path_factory):
    """That network as a model of version 1 for photos of any size."""
    from src.export_model import export_model

    path = tmp_path_factory.mktemp("mindir") / "any_size"
    return export_model(attention_checkpoint, path, [1, 3, 0, 0], "CPU", version=1)


@pytest.fixture(scope="session")
def static_mindir(attention_checkpoint, tmp_path_factory):
    """That network as a model of version 1 for seven levels of up to 128 pixels."""
    from src.export_model import export_model

    path = tmp_path_factory.mktemp("mindir") / "static"
    return export_model(attention_checkpoint, path, [7, 3, 128, 128], "CPU", version=1)


KERAS1_PARTS = {
    "kernel": "W",
    "bias": "b",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "running_mean",
    "moving_variance": "running_std",
}


def write_keras_h5(path, layers, version: int = 2) -> None:
    """Write tensors as Keras 1 or 2 names them."""
    with h5py.File(path, "w") as file:
        for layer, parts in layers.items():
            for part, value in parts.items():
                leaf = f"{layer}/{part}:0" if version == 2 else f"{layer}_{KERAS1_PARTS[part]}_1:0"
                file.create_dataset(f"{layer}/{leaf}", data=value)
