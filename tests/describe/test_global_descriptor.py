"""The global descriptor: held against NumPy, the same by each engine, absent for other weights."""

from __future__ import annotations

import dataclasses
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_utils.config import load_config
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe import whitening_choice
from src.describe.engines.choice import EngineSettings, choose_engine
from src.describe.engines.global_head import GlobalEngine, MindSporeHead, OpenVinoHead
from src.describe.engines.mindspore_graph import FeatureNetwork
from src.describe.engines.static_batches import StaticPlan
from src.describe.folder import extract_folder
from src.describe.made_with import feature_settings
from src.describe.one_photo import described
from src.describe.recipe import DescribeSettings, choose_describer
from src.describe.tasks import PhotoTask
from src.describe.whitening import GLOBAL_SCALES, Whitening, read_whitening, write_whitening
from src.describe.whitening_choice import SHIPPED_WHITENING, with_global_descriptor
from src.extract_utils_np import resize_levels
from src.feature_io import read_features, read_manifest
from src.network import conv5_source
from src.network.feature_weights import read_conv5_weights, read_feature_weights
from src.network.weight_files import write_checkpoint
from src.network.weights import fingerprint
from tests.helpers.infer import textured
from tests.helpers.toy_engine import CONFIG, FakeEngine
from tests.helpers.whole_network import whitening_for, whole_network

SETTINGS = DelfConfig(max_level_side=192, use_pca=False, max_feature_num=20, score="norm")


@pytest.fixture(scope="module")
def network(cpu):
    """The network of the first stage, batch normalisation not folded, with its weights."""
    return whole_network()


@pytest.fixture(scope="module")
def checkpoint(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "whole.ckpt"
    write_checkpoint(path, network[1])
    return path


@pytest.fixture(scope="module")
def whitening(checkpoint):
    return whitening_for(checkpoint)


@pytest.fixture
def whitening_path(whitening, tmp_path):
    path = tmp_path / "whitening.npz"
    write_whitening(path, whitening)
    return path


@pytest.fixture
def photo(tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    Image.fromarray(textured(150, 120, seed=8)).save(folder / "a.png")
    return folder


def unit(x):
    return x / np.linalg.norm(x)


def planes(pixels):
    return (pixels.astype(np.float32) / 128 - 1).transpose(2, 0, 1)[None]


def pooled_by_hand(backbone, pixels):
    """The generalised mean of the map of the whole network, in NumPy."""
    import mindspore as ms

    conv5 = backbone(ms.Tensor(planes(pixels))).asnumpy()[0].astype(np.float64)
    return np.cbrt((conv5**3).mean(axis=(1, 2)))


def by(checkpoint, whitening, name="openvino", precision="float32"):
    precision = precision if name == "openvino" else "auto"
    engine = choose_engine(EngineSettings(name, str(checkpoint), precision=precision))
    return GlobalEngine(engine, str(checkpoint), whitening)


def test_conv5_is_pooled_as_by_hand(network, checkpoint, cpu):
    conv4 = FeatureNetwork(read_feature_weights(checkpoint), "it", "CPU")
    weights = read_conv5_weights(checkpoint)
    heads = (
        OpenVinoHead(fingerprint(weights), lambda: weights, "it"),
        MindSporeHead(weights, "it"),
        MindSporeHead(weights, "it", plan=StaticPlan.of((128,), 704, 1)),
    )
    for height, width in ((20, 20), (97, 161), (128, 96), (40, 700)):
        pixels = textured(height, width, seed=height)
        wanted = pooled_by_hand(network[0], pixels)
        features, _ = conv4(planes(pixels))
        ours, theirs, padded = (head(features) for head in heads)
        for found in (ours, theirs, padded):
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * wanted.max())
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * wanted.max())
        np.testing.assert_allclose(padded, theirs, rtol=1e-4, atol=1e-5 * wanted.max())
        assert wanted.max() > wanted.min() >= 0


def test_an_ascend_makes_it_too_with_the_inputs_of_the_local_part(checkpoint, whitening_path):
    ascend = EngineSettings(
        "mindspore", str(checkpoint), device_target="Ascend", static_sides=(128,), jit_level="O1"
    )
    made = with_global_descriptor(
        choose_engine(ascend), ascend, SETTINGS, "True", str(whitening_path)
    )
    assert isinstance(made, GlobalEngine) and made.device_target == "Ascend"
    assert made.plan == made.inner.plan == ascend.plan is not None and made.jit_level == "O1"


@pytest.mark.parametrize("name", ["openvino", "mindspore"])
def test_levels_are_added_up_and_whitened(name, network, checkpoint, whitening, photo):
    (found,) = described(
        by(checkpoint, whitening, name), photo, [PhotoTask("a", "a.png")], SETTINGS
    )
    levels = list(resize_levels(np.array(Image.open(photo / "a.png")), SETTINGS))
    assert len(levels) == 7
    total = sum(unit(pooled_by_hand(network[0], pixels)) for _, pixels in levels[2:])
    wanted = unit((unit(total) - whitening.mean) @ whitening.projection.astype(np.float64))
    np.testing.assert_allclose(found.features.global_descriptor, wanted, atol=1e-4)
    assert found.features.size == (150, 120)


def test_the_levels_that_count():
    whitening = Whitening(np.zeros(2048, np.float32), np.zeros((2048, 1), np.float16), "", "")

    def levels(height, width, **settings):
        return whitening.levels(height, width, DelfConfig(**settings))

    assert levels(600, 800) == [2, 3, 4, 5, 6]
    assert levels(3000, 4000, max_level_side=1024) == [2, 3, 4, 5, 6]
    assert levels(40, 50) == [0, 1, 2, 3, 4]  # 0.25 and 0.3536 were left out
    assert levels(18, 18) == [0, 1, 2]  # 1, 1.4142 and 2
    assert levels(5, 900) == [0]
    assert levels(600, 800, image_scales=(2.0, 0.25, 1.0)) == [0, 2]
    # Where none of them is left, the largest level is used.
    assert levels(600, 800, image_scales=(0.25, 0.3)) == [1]


def test_files_hold_it_and_the_size_of_the_whole_photo(checkpoint, whitening, photo, tmp_path):
    pixels = np.array(Image.open(photo / "a.png"))
    Image.fromarray(pixels[20:140, 10:100]).save(photo / "part.png")
    Image.fromarray(np.full((70, 60, 3), 9, np.uint8)).save(photo / "plain.png")
    tasks = [
        PhotoTask("boxed", "a.png", (10, 20, 100, 140)),
        PhotoTask("part", "part.png"),
        PhotoTask("plain", "plain.png"),
    ]
    engine = pickle.loads(pickle.dumps(by(checkpoint, whitening)))
    for folder in ("first", "second"):
        extract_folder(photo, tmp_path / folder, engine, SETTINGS, tasks=tasks)
        pickle.dumps(engine)  # an opened one travels too
    boxed, part, plain = (read_features(tmp_path / "first" / f"{task.name}.npz") for task in tasks)
    assert (boxed.size, part.size, plain.size) == ((150, 120), (120, 90), (70, 60))
    assert (boxed.global_descriptor == part.global_descriptor).all()
    assert np.linalg.norm(part.global_descriptor) == pytest.approx(1, abs=1e-3)
    assert len(plain) == 0 and plain.global_descriptor is None
    for task in tasks:
        first, second = (tmp_path / f / f"{task.name}.npz" for f in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
    settings = read_manifest(tmp_path / "first").settings
    assert settings["global"] == {"whitening": whitening.fingerprint, "dimension": 12}
    assert settings["engine"] == {"name": "OpenVINO", "precision": "float32"}


def test_a_descriptor_that_is_not_finite_is_one_bad_photo(checkpoint, whitening, photo):
    endless = dataclasses.replace(whitening, mean=np.full(2048, np.nan, np.float32))
    (found,) = described(by(checkpoint, endless), photo, [PhotoTask("a", "a.png")], SETTINGS)
    assert found.features is None and not found.finite and "not finite" in found.reason


def recipe(checkpoint, **settings):
    options = {"checkpoint_path": checkpoint, "max_level_side": 192, "use_pca": False, **settings}
    return DescribeSettings.from_config(load_config([f"--{k}={v}" for k, v in options.items()]))


def test_a_whitening_is_used_where_it_fits(
    checkpoint, whitening, whitening_path, photo, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)
    plain = choose_describer(recipe(checkpoint))  # the shipped one is for other weights
    off = choose_describer(
        recipe(checkpoint, global_descriptor="off", whitening_path=whitening_path)
    )
    named = choose_describer(recipe(checkpoint, whitening_path=whitening_path))
    monkeypatch.setattr(whitening_choice, "SHIPPED_WHITENING", whitening_path)
    shipped = choose_describer(recipe(checkpoint))
    assert not isinstance(plain.engine, GlobalEngine) and not isinstance(off.engine, GlobalEngine)
    assert plain.folder_name(photo) == off.folder_name(photo) != shipped.folder_name(photo)
    assert named.folder_name(photo) == shipped.folder_name(photo)
    assert named.engine.whitening.fingerprint == whitening.fingerprint
    assert not caplog.messages
    without_scales = choose_describer(recipe(checkpoint, image_scales="[0.25]"))
    assert not isinstance(without_scales.engine, GlobalEngine)
    assert "no global descriptor is made: image_scales has none" in caplog.text


def test_nothing_changes_for_other_weights(photo, tmp_path):
    engine = FakeEngine()
    settings = EngineSettings(checkpoint="fake.ckpt")
    assert with_global_descriptor(engine, settings, CONFIG) is engine
    plain = dataclasses.replace(CONFIG, use_pca=False)
    extract_folder(photo, tmp_path / "features", engine, plain)
    with np.load(tmp_path / "features" / "a.npz") as arrays:
        assert arrays.files == ["locations", "scales", "descriptors", "attention"]
    assert list(feature_settings(engine, plain, None, ())) == [
        *(*plain.settings(), "checkpoint", "pca", "crop_boxes")
    ]


def test_what_cannot_be_made_is_said(
    checkpoint, network, whitening, whitening_path, tmp_path, monkeypatch
):
    other = dataclasses.replace(whitening, network="0" * 16)
    write_whitening(tmp_path / "other.npz", other)
    with pytest.raises(UserError, match=r"other\.npz was fitted for other weights") as error:
        choose_describer(recipe(checkpoint, whitening_path=tmp_path / "other.npz"))
    assert "\n" not in str(error.value)
    # conv1 to conv4 are right, conv5 is another, or not there.
    engine = by(checkpoint, dataclasses.replace(whitening, conv5="0" * 16))
    with pytest.raises(UserError, match=r"conv5 of .* is not the one"):
        engine._opened(0)
    short = tmp_path / "short.ckpt"
    write_checkpoint(short, {n: v for n, v in network[1].items() if ".stage5." not in n})
    monkeypatch.setattr(conv5_source, "IMAGENET_WEIGHTS", tmp_path / "absent.h5")
    for reason in ("are not there", "not the one that the whitening is for"):
        describer = choose_describer(recipe(short, whitening_path=whitening_path))
        assert not isinstance(describer.engine, GlobalEngine)
        with pytest.raises(UserError, match=f"no global descriptor can be made.*{reason}"):
            wanted = recipe(short, whitening_path=whitening_path, global_descriptor="True")
            choose_describer(wanted)
        others = {n: v + 1 for n, v in network[1].items()}
        write_checkpoint(tmp_path / "others.ckpt", others)
        monkeypatch.setattr(conv5_source, "IMAGENET_WEIGHTS", tmp_path / "others.ckpt")
    with pytest.raises(UserError, match="no whitening of global descriptors"):
        choose_describer(recipe(short, global_descriptor="True"))
    with pytest.raises(UserError, match=r"short.ckpt holds no conv5"):
        read_conv5_weights(short)


def test_a_damaged_whitening_is_refused_in_a_line(whitening, whitening_path, tmp_path):
    read_whitening(whitening_path)
    content = whitening_path.read_bytes()
    broken = {
        "cut.npz": content[: len(content) // 2],
        "flipped.npz": content[:9000] + bytes([content[9000] ^ 4]) + content[9001:],
        "text.npz": b"no whitening",
        "empty.npz": b"",
    }
    for name, damaged in broken.items():
        (tmp_path / name).write_bytes(damaged)
    parts = {
        "short.npz": {"mean": whitening.mean[:9]},
        "long.npz": {"projection": whitening.projection[:99]},
        "nan.npz": {"mean": np.full(2048, np.nan, np.float32)},
        "scales.npz": {"scales": ()},
    }
    for name, part in parts.items():
        write_whitening(tmp_path / name, dataclasses.replace(whitening, **part))
    np.savez(tmp_path / "other.npz", locations=np.zeros(3))
    np.savez(tmp_path / "gone.npz")
    for name in (*broken, *parts, "other.npz", "gone.npz"):
        with pytest.raises(UserError, match=f"{name} is no readable whitening") as error:
            read_whitening(tmp_path / name)
        assert "\n" not in str(error.value), name
    with pytest.raises(UserError, match=r"there is no whitening .*absent.npz"):
        read_whitening(tmp_path / "absent.npz")


def test_it_is_read_as_it_was_written(whitening, whitening_path):
    read = read_whitening(whitening_path)
    assert read.fingerprint == whitening.fingerprint
    assert (read.network, read.conv5) == (whitening.network, whitening.conv5)
    assert read.scales == GLOBAL_SCALES
    for field, value in {"conv5": "1" * 16, "scales": (1.0,), "mean": whitening.mean + 1}.items():
        changed = dataclasses.replace(whitening, **{field: value})
        assert changed.fingerprint != whitening.fingerprint, field


def test_what_ships_is_small_and_whole():
    assert SHIPPED_WHITENING.stat().st_size < 5_000_000
    shipped = read_whitening(SHIPPED_WHITENING)
    assert shipped.dimension == 1024 and shipped.scales == GLOBAL_SCALES
    assert {"sources", "method", "images", "seed", "command"} <= shipped.about.keys()


def test_what_ships_is_for_the_imagenet_weights():
    h5 = Path(SHIPPED_WHITENING.parents[1], ".cache", "resnet50_imagenet_with_top.h5")
    if not h5.is_file():
        pytest.skip("the ImageNet weights are not here")
    shipped = read_whitening(SHIPPED_WHITENING)
    assert shipped.network == fingerprint(read_feature_weights(h5))
    assert shipped.conv5 == fingerprint(read_conv5_weights(h5))
