"""Made-up weights, of this network and in Keras files."""

from __future__ import annotations

import h5py
import numpy as np

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
