"""ResNet50 as the h5 file of Keras: its shapes, checking a file, writing one."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from src.common.atomic_files import write_bytes
from src.common.errors import raise_if_of_system

BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def resnet50_shapes(with_top: bool) -> dict[str, list[tuple[int, ...]]]:
    """Return the shapes of each layer's tensors in Keras' order (kernels: height, width, in, out).

    He et al., 2016, table 1: convolutions with biases, each followed by batch normalisation.
    """
    shapes: dict[str, list[tuple[int, ...]]] = {}

    def add(suffix: str, size: int, channels: int, filters: int) -> None:
        convolution = f"res{suffix}" if suffix[0].isdigit() else suffix
        shapes[convolution] = [(size, size, channels, filters), (filters,)]
        shapes[f"bn{suffix}" if suffix[0].isdigit() else f"bn_{suffix}"] = [(filters,)] * 4

    add("conv1", 7, 3, 64)
    channels = 64
    for stage, blocks in ((2, "abc"), (3, "abcd"), (4, "abcdef"), (5, "abc")):
        filters = 16 * 2**stage
        for block in blocks:
            add(f"{stage}{block}_branch2a", 1, channels, filters)
            add(f"{stage}{block}_branch2b", 3, filters, filters)
            add(f"{stage}{block}_branch2c", 1, filters, 4 * filters)
            if block == "a":
                add(f"{stage}{block}_branch1", 1, channels, 4 * filters)
            channels = 4 * filters
    if with_top:
        shapes["fc1000"] = [(channels, 1000), (1000,)]
    return shapes


def check_weights(path: Path, with_top: bool = False) -> None:
    """Check that an h5 file holds each tensor of ResNet50 in its shape, by Keras 1 or 2 names.

    Raises:
        ValueError: it does not, or is no h5 file.
    """
    try:
        with h5py.File(path, "r") as file:
            for layer, shapes in resnet50_shapes(with_top).items():
                group = file.get(layer)
                found: list[tuple[int, ...]] = []
                if isinstance(group, h5py.Group):
                    group.visititems(
                        lambda _, item, found=found: (
                            found.append(item.shape) if isinstance(item, h5py.Dataset) else None
                        )
                    )
                if sorted(found) != sorted(shapes):
                    raise ValueError(f"layer {layer} has tensors {found}, ResNet50 has {shapes}")
    except OSError as error:
        raise_if_of_system(error, path)
        raise ValueError(f"it cannot be read as HDF5 ({error})") from error


def write_keras_h5(path: Path, layers: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write weights as Keras 2 does: `/layer/layer/kernel:0` and the attributes that list them.

    Args:
        path: the file; it appears whole or not at all.
        layers: for each layer, in the network's order, its tensors by name, in Keras' order.
    """
    content = io.BytesIO()  # on a full disk HDF5, writing by itself, would say no more than that
    with h5py.File(content, "w") as file:
        file.attrs["layer_names"] = np.array([name.encode() for name in layers])
        file.attrs["backend"] = np.bytes_(b"tensorflow")
        file.attrs["keras_version"] = np.bytes_(b"2.2.4")
        for layer, tensors in layers.items():
            group = file.create_group(layer)
            names = [f"{layer}/{tensor}:0" for tensor in tensors]
            group.attrs["weight_names"] = np.array([name.encode() for name in names])
            for name, tensor in zip(names, tensors.values()):
                # Each chunk carries a sum, which HDF5 compares whenever it is read.
                group.create_dataset(name, data=tensor, fletcher32=True)
    write_bytes(path, content.getbuffer())


def group_by_layer(
    weights: Mapping[str, np.ndarray], with_top: bool
) -> dict[str, dict[str, np.ndarray]]:
    """Return the tensors of ResNet50 by layer, in the network's order and Keras' order within.

    Raises:
        ValueError: a tensor is missing.
    """
    layers: dict[str, dict[str, np.ndarray]] = {}
    for layer, shapes in resnet50_shapes(with_top).items():
        names = BATCH_NORM if len(shapes) == len(BATCH_NORM) else ("kernel", "bias")
        missing = [name for name in names if f"{layer}/{name}" not in weights]
        if missing:
            raise ValueError(f"it has no {layer}/{missing[0]}")
        layers[layer] = {name: weights[f"{layer}/{name}"] for name in names}
    return layers
