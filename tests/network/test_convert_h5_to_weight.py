"""The conversion, against a forward pass written here in numpy from Keras' description."""

import mindspore as ms
import numpy as np
import pytest

from src.common.errors import UserError
from src.delf_model import BN_EPSILON, FeatureExtractor, TuningNetwork
from src.network.keras_h5 import convert_h5
from src.network.resnet50 import places
from src.network.weights import fold_batch_norm, load_weights
from tests.helpers.weights import keras_resnet50, write_keras_h5

BGR_MEAN = np.array([103.939, 116.779, 123.68])


def convolve(x, kernel, bias, stride=1, pad=0, fill=0.0):
    """Convolution of [H, W, C] by HWIO, straight from its definition."""
    size = kernel.shape[0]
    if pad:
        fill = np.broadcast_to(fill, x.shape[-1])
        frame = np.tile(fill, (x.shape[0] + 2 * pad, x.shape[1] + 2 * pad, 1))
        frame[pad:-pad, pad:-pad] = x
        x = frame
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1))
    return np.einsum("hwcij,ijco->hwo", windows[::stride, ::stride], kernel, optimize=True) + bias


def norm(x, parts):
    factor = parts["gamma"] / np.sqrt(parts["moving_variance"] + 1e-3)
    return (x - parts["moving_mean"]) * factor + parts["beta"]


def keras_forward(layers, photo):
    """ResNet50 as Keras has it: BGR minus mean, stride in the first 1×1 of stages 3 to 5.

    Outside the picture lies a grey of 128, where DELF's zero lies. Returns the conv4 output at
    every second pixel, and conv5's.
    """

    def unit(x, layer, stride=1, pad=0):
        parts = layers[f"res{layer}"]
        x = convolve(x, parts["kernel"], parts["bias"], stride, pad)
        return norm(x, layers[f"bn{layer}"])

    x = photo[..., ::-1].astype(np.float64) - BGR_MEAN
    stem = layers["conv1"]
    x = convolve(x, stem["kernel"], stem["bias"], 2, 3, fill=128 - BGR_MEAN)
    x = np.maximum(norm(x, layers["bn_conv1"]), 0)
    x = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(0, 1))[::2, ::2].max((-1, -2))
    for stage, names in ((2, "abc"), (3, "abcd"), (4, "abcdef"), (5, "abc")):
        for name in names:
            stride = 2 if name == "a" and stage > 2 else 1
            y = np.maximum(unit(x, f"{stage}{name}_branch2a", stride), 0)
            y = np.maximum(unit(y, f"{stage}{name}_branch2b", pad=1), 0)
            y = unit(y, f"{stage}{name}_branch2c")
            shortcut = unit(x, f"{stage}{name}_branch1", stride) if name == "a" else x
            x = np.maximum(y + shortcut, 0)
        if stage == 4:
            conv4 = x[::2, ::2]
    return conv4, x


@pytest.fixture(scope="module")
def layers():
    return keras_resnet50(classes=10)


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(1).integers(0, 256, (75, 98, 3), dtype=np.uint8)


@pytest.mark.parametrize("version", [1, 2])
def test_the_converted_network_computes_what_the_keras_network_computes(
    cpu, tmp_path, layers, photo, version
):
    write_keras_h5(tmp_path / "weights.h5", layers, version)
    weights = convert_h5(tmp_path / "weights.h5")
    conv4, conv5 = keras_forward(layers, photo)
    images = ms.Tensor(((photo.astype(np.float32) - 128) / 128).transpose(2, 0, 1)[None])

    tuning = TuningNetwork(10)
    load_weights(tuning, weights, "weights.h5")
    tuning.set_train(False)
    logits = conv5.mean((0, 1)) @ layers["fc1000"]["kernel"] + layers["fc1000"]["bias"]
    np.testing.assert_allclose(tuning(images).asnumpy()[0], logits, atol=2e-4)

    extractor = FeatureExtractor()
    folded = fold_batch_norm(weights, BN_EPSILON)
    load_weights(extractor, folded, "weights.h5", optional=("attention.",))
    extractor.set_train(False)
    features = extractor(images)[0].asnumpy()[0].transpose(1, 2, 0)
    assert features.shape == (3, 4, 1024)
    np.testing.assert_allclose(features, conv4, rtol=1e-3, atol=1e-3 * np.abs(conv4).max())


def test_what_is_missing_or_left_over_is_named(tmp_path, layers):
    wrong = {name: dict(parts) for name, parts in layers.items()}
    del wrong["res4f_branch2b"]["kernel"]
    wrong["res9z_branch2a"] = {"kernel": np.zeros((1, 1, 2, 2), np.float32)}
    write_keras_h5(tmp_path / "wrong.h5", wrong)
    with pytest.raises(UserError) as error:
        convert_h5(tmp_path / "wrong.h5")
    assert "missing res4f_branch2b/kernel" in str(error.value)
    assert "res9z_branch2a/kernel" in str(error.value)


def test_a_damaged_or_missing_file_is_refused(tmp_path):
    (tmp_path / "damaged.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 50)
    for name in ("damaged.h5", "absent.h5"):
        with pytest.raises(UserError, match=name):
            convert_h5(tmp_path / name)


def test_every_unit_of_the_network_has_its_tensors():
    network_units = {
        name.rsplit(".conv.", 1)[0]
        for name, _ in TuningNetwork(2).parameters_and_names()
        if name.endswith(".conv.weight")
    }
    assert {place.own_name for place in places()} == network_units
    assert len(network_units) == 53
