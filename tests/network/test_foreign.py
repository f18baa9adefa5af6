"""Other people's ResNet50s, against a forward pass of their own arrangement in NumPy."""

import json
import pickle
import struct
import zipfile
from pathlib import Path

import h5py
import mindspore as ms
import numpy as np
import pytest
from PIL import Image

from src.common.errors import UserError
from src.delf_config import BN_EPSILON, DelfConfig, Layout
from src.delf_model import FeatureExtractor, TuningNetwork
from src.describe.engines.mindspore_graph import MindSporeEngine
from src.describe.engines.openvino_graph import core, feature_graph
from src.describe.engines.openvino_runtime import OpenVinoEngine
from src.describe.tasks import PhotoTask
from src.network.conv5_source import find_conv5
from src.network.export import ExportSettings, export_weights
from src.network.feature_weights import holds_conv5, read_conv5_weights, read_feature_weights
from src.network.foreign import convert_weights
from src.network.mindir import read_mindir
from src.network.tf_bundle import Bundle
from src.network.weight_files import write_checkpoint
from src.network.weights import fingerprint, fold_batch_norm, layout_of, load_weights
from tests.helpers.foreign import (
    conv4,
    delg_tensors,
    keras_layers,
    object_graph,
    slim_tensors,
    torch_tensors,
    units,
    write_bundle,
    write_torch,
    write_torch_legacy,
)

DELF_V1 = Path(__file__).parents[3] / "shared" / "data" / "delf_v1"
BGR_MEAN = np.array([103.939, 116.779, 123.68])
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SIDES = ((75, 98), (66, 101))  # odd and even


def photo(sides):
    return np.random.default_rng(sides[0]).integers(0, 256, (*sides, 3), dtype=np.uint8)


def inference(weights):
    kept = {k: v for k, v in weights.items() if ".stage5." not in k and "classifier" not in k}
    return fold_batch_norm(kept, BN_EPSILON)


def assert_computes(weights, wanted, attention=None):
    """Both engines give `wanted(photo)`, and the scores of the attention on it."""
    folded = inference(weights)
    network = FeatureExtractor(layout=layout_of(folded))
    load_weights(network, folded, "weights", optional=() if attention else ("attention.",))
    network.set_train(False)
    graph = feature_graph(folded, attention is not None)
    compiled = core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for sides in SIDES:
        pixels = photo(sides)
        features = wanted(pixels)
        images = ((pixels.astype(np.float32) - 128) / 128).transpose(2, 0, 1)[None]
        mapped, before = network(ms.Tensor(images))
        found = compiled([pixels[None]])
        for made in (mapped.asnumpy()[0].transpose(1, 2, 0), found[0][0]):
            assert made.shape == features.shape
            np.testing.assert_allclose(made, features, atol=1e-4 * np.abs(features).max())
        if attention:
            scores = attention(features)
            for made in (np.logaddexp(before.asnumpy()[0, 0], 0), found[1][0]):
                np.testing.assert_allclose(made, scores, atol=1e-4 * scores.max())


# -- Keras -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_bias():
    return units(bias=True)


def write_keras(path, layers, kind):
    """As Keras 2 and 3 write h5 files, or as Keras 3 writes `.weights.h5`."""
    counts = {}
    parts = {2: ("kernel:0", "bias:0"), 4: ("gamma:0", "beta:0", "moving_mean:0")}
    parts[4] += ("moving_variance:0",)
    with h5py.File(path, "w") as file:
        for layer, arrays in layers.items():
            if kind == "h5":
                for name, array in zip(parts[len(arrays)], arrays):
                    file[f"model_weights/{layer}/{layer}/{name}"] = array
                continue
            stem = "conv2d" if len(arrays) == 2 else "batch_normalization"
            number = counts[stem] = counts.get(stem, -1) + 1
            group = file.create_group(f"layers/{stem}{f'_{number}' if number else ''}/vars")
            if kind == "named":
                group.attrs["name"] = layer
            for place, array in enumerate(arrays):
                group[str(place)] = array


@pytest.mark.parametrize("kind", ["h5", "named", "counted"])
def test_today_s_keras(cpu, tmp_path, with_bias, kind):
    path = tmp_path / ("keras.h5" if kind == "h5" else "keras.weights.h5")
    write_keras(path, keras_layers(with_bias), kind)
    weights = convert_weights(path)
    if kind != "h5":
        write_keras(tmp_path / "same.h5", keras_layers(with_bias), "h5")
        assert fingerprint(weights) == fingerprint(convert_weights(tmp_path / "same.h5"))
        return
    assert layout_of(weights) == Layout()

    def wanted(pixels):
        return conv4(with_bias, pixels[..., ::-1] - BGR_MEAN, 1.001e-5, fill=128 - BGR_MEAN)

    assert_computes(weights, wanted)


# -- torchvision -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain():
    return units()


@pytest.fixture(scope="module")
def torch_file(plain, tmp_path_factory):
    path = tmp_path_factory.mktemp("torch") / "resnet50.pth"
    write_torch(path, torch_tensors(plain))
    return path


@pytest.fixture(scope="module")
def torch_checkpoint(torch_file):
    path = torch_file.with_suffix(".ckpt")
    write_checkpoint(path, convert_weights(torch_file))
    return path


def test_torchvision_s_strides_and_pixels(cpu, plain, torch_file):
    def wanted(pixels):
        x = (pixels / 255 - MEAN) / DEVIATION
        grey = (128 / 255 - MEAN) / DEVIATION
        return conv4(plain, x, 1e-5, fill=grey, v15=True)

    assert_computes(convert_weights(torch_file), wanted)


def test_the_other_files_of_torch(plain, torch_file, tmp_path):
    tensors = torch_tensors(plain)
    wanted = fingerprint(convert_weights(torch_file))
    write_torch_legacy(tmp_path / "legacy.pth", tensors)
    wrapped = {f"module.{name}": value for name, value in tensors.items()}
    write_torch(tmp_path / "training.pth", wrapped, lambda state: {"epoch": 3, "model": state})
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        content = np.asarray(array, "<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    text = json.dumps(header).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    for name in ("legacy.pth", "training.pth", "w.safetensors"):
        assert fingerprint(convert_weights(tmp_path / name)) == wanted, name


def test_a_hostile_pickle_runs_nothing(tmp_path, plain):
    class Hostile:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    path = tmp_path / "hostile.pth"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"state": Hostile()}))
    with pytest.raises(UserError, match="no ResNet50"):
        convert_weights(path)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_arrangement_are_never_run_in_ours(cpu, torch_checkpoint):
    weights = read_feature_weights(torch_checkpoint)
    assert layout_of(weights).strides == "3x3"
    with pytest.raises(UserError, match="arranged in another way"):
        load_weights(TuningNetwork(2), weights, "w.ckpt", only=("backbone.conv1",))
    assert not holds_conv5(torch_checkpoint)
    with pytest.raises(UserError, match="global_descriptor=off"):
        read_conv5_weights(torch_checkpoint)
    with pytest.raises(UserError, match="reads larger maps"):
        find_conv5(torch_checkpoint)


def test_an_exported_model_remembers_its_arrangement(cpu, torch_checkpoint, tmp_path):
    weights = read_feature_weights(torch_checkpoint)
    path = export_weights(
        weights, "w.ckpt", tmp_path / "model.mindir", ExportSettings((1, 3, 0, 0), "CPU")
    )
    model = read_mindir(path)
    assert layout_of(model.weights) == layout_of(weights)
    with pytest.raises(UserError, match="export_shape=1,3,0,0"):
        export_weights(weights, "w.ckpt", tmp_path / "m", ExportSettings((1, 3, 64, 64), "CPU"))


# -- TensorFlow ------------------------------------------------------------------------------------


def attention_unit(bias):
    generator = np.random.default_rng(5)
    unit = {
        "kernel": generator.normal(0, 0.03, (1, 1, 1024, 512)),
        "gamma": generator.uniform(0.5, 1.5, 512),
        "beta": generator.normal(0, 0.1, 512),
        "mean": generator.normal(0, 0.1, 512),
        "variance": generator.uniform(0.5, 1.5, 512),
    }
    if bias:
        unit["bias"] = generator.normal(0, 0.1, 512)
    last = {"kernel": generator.normal(0, 0.05, (1, 1, 512, 1)), "bias": np.array([0.3])}
    return {k: v.astype(np.float32) for k, v in unit.items()}, last


def scores(unit, last, epsilon):
    def of(features):
        y = features @ unit["kernel"][0, 0] + unit.get("bias", 0) - unit["mean"]
        y = y * unit["gamma"] / np.sqrt(unit["variance"] + epsilon) + unit["beta"]
        return np.logaddexp((np.maximum(y, 0) @ last["kernel"][0, 0])[..., 0] + last["bias"], 0)

    return of


def test_delf_v1(cpu, tmp_path, plain):
    unit, last = attention_unit(bias=False)
    stem = "attonly/attention/compute"
    tensors = {
        **slim_tensors(plain),
        f"{stem}/conv1/weights": unit["kernel"],
        f"{stem}/conv1/BatchNorm/gamma": unit["gamma"],
        f"{stem}/conv1/BatchNorm/beta": unit["beta"],
        f"{stem}/conv1/BatchNorm/moving_mean": unit["mean"],
        f"{stem}/conv1/BatchNorm/moving_variance": unit["variance"],
        f"{stem}/conv2/weights": last["kernel"],
        f"{stem}/conv2/biases": last["bias"],
        "global_step": np.zeros(1),
    }
    (tmp_path / "variables").mkdir()
    write_bundle(tmp_path / "variables" / "variables", tensors)
    weights = convert_weights(tmp_path)  # a SavedModel's folder
    assert layout_of(weights) == Layout()
    assert_computes(
        weights,
        lambda pixels: conv4(plain, (pixels - 128.0) / 128, 1.001e-5),
        scores(unit, last, 1.001e-5),
    )


def test_tf_slim(cpu, tmp_path, plain):
    tensors = slim_tensors(plain, stages=5)
    tensors["resnet_v1_50/conv1/weights/Momentum"] = np.zeros(3)
    write_bundle(tmp_path / "model.ckpt-1", tensors)
    mean = np.array([123.68, 116.78, 103.94])
    assert_computes(
        convert_weights(tmp_path / "model.ckpt-1"),
        lambda pixels: conv4(plain, pixels - mean, 1e-5, fill=128 - mean, pool1="same"),
    )


def test_delg(cpu, tmp_path, with_bias):
    unit, last = attention_unit(bias=True)
    parts = {f"backbone/{name}": value for name, value in delg_tensors(with_bias).items()}
    names = {"gamma": "gamma", "beta": "beta"} | {
        part: f"moving_{part}" for part in ("mean", "variance")
    }
    parts |= {f"attention/bn_conv1/{name}": unit[part] for part, name in names.items()}
    parts |= {f"attention/conv1/{part}": unit[part] for part in ("kernel", "bias")}
    parts |= {f"attention/conv2/{part}": last[part] for part in ("kernel", "bias")}
    parts["desc_classification/kernel"] = np.zeros((4, 2))
    # As a SavedModel has them: tensors under numbers, names in the graph of objects.
    keys = {f"model/{name}": f"model/variables/{i}/.V" for i, name in enumerate(parts)}
    tensors = dict(zip(keys.values(), parts.values()))
    write_bundle(tmp_path / "ckpt", tensors, {"_CHECKPOINTABLE_OBJECT_GRAPH": object_graph(keys)})
    weights = convert_weights(tmp_path / "ckpt.index")
    assert_computes(
        weights,
        lambda pixels: conv4(with_bias, (pixels - 128.0) / 128, 1e-3, conv1="same", pool1="valid"),
        scores(unit, last, 1e-3),
    )


@pytest.mark.parametrize("engine", [OpenVinoEngine, MindSporeEngine])
def test_delg_s_smaller_maps_are_described(cpu, tmp_path, with_bias, engine):
    """Without padding, its pooling leaves fewer cells than ceil(side / 32) of some sides."""
    backbone = {f"backbone/{name}": value for name, value in delg_tensors(with_bias).items()}
    ways = {name: name for name in backbone}
    graph = {"_CHECKPOINTABLE_OBJECT_GRAPH": object_graph(ways)}
    write_bundle(tmp_path / "ckpt", backbone, graph)
    write_checkpoint(tmp_path / "delg.ckpt", convert_weights(tmp_path / "ckpt"))
    pixels = photo((66, 101))
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    known = fingerprint(read_feature_weights(tmp_path / "delg.ckpt"))
    more = ("float32",) if engine is OpenVinoEngine else ()
    config = DelfConfig(image_scales=(1.0,), score="norm", use_pca=False)
    made = engine(tmp_path / "delg.ckpt", known, False, *more)
    (outputs,) = made.outputs(tmp_path, [PhotoTask("photo", "photo.png")], config)
    x = (pixels - 128.0) / 128
    wanted = conv4(with_bias, x, 1e-3, conv1="same", pool1="valid")
    assert wanted.shape[:2] == (2, 4)  # and not (3, 4)
    (level,) = outputs.levels
    np.testing.assert_allclose(level.features, wanted, atol=1e-4 * np.abs(wanted).max())
    norms = np.linalg.norm(wanted, axis=2)
    np.testing.assert_allclose(level.scores, norms, rtol=1e-3)


@pytest.mark.skipif(not DELF_V1.is_dir(), reason="the files of the DELF release are not here")
def test_the_released_index(plain):
    """The index of the real release, packed by Snappy, names what is converted."""
    entries = Bundle(DELF_V1 / "variables.index").entries
    wanted = {name: value.shape for name, value in slim_tensors(plain).items()}
    found = {name: entry.shape for name, entry in entries.items()}
    assert {name: shape for name, shape in found.items() if "attention" not in name} == wanted
    assert found["attonly/attention/compute/conv1/weights"] == (1, 1, 1024, 512)
    with pytest.raises(UserError, match="data-00000-of-00001"):
        convert_weights(DELF_V1)
