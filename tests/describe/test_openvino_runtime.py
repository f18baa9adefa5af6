"""OpenVINO's graph is the network: held against MindSpore's, for pictures of any size."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import numpy as np
import openvino as ov
import pytest

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.delf_model import FeatureExtractor
from src.describe.engines import openvino_graph, openvino_runtime
from src.describe.engines.choice import EngineSettings, choose_engine
from src.describe.engines.mindspore_graph import FeatureNetwork
from src.describe.engines.openvino_graph import feature_graph
from src.describe.engines.openvino_runtime import OpenVinoEngine, _level, native_precision
from src.describe.folder import extract_folder
from src.describe.tasks import list_tasks
from src.feature_io import feature_path, read_features, read_manifest
from src.network.feature_weights import has_attention, read_feature_weights
from src.network.weight_files import write_checkpoint
from src.network.weights import fingerprint
from tests.helpers.infer import textured, write_photos
from tests.helpers.weights import random_weights

SIZES = [
    (20, 20),
    (21, 33),
    (32, 32),
    (1, 64),
    (95, 161),
    (128, 96),
    (300, 40),
    (224, 224),
    (97, 513),
    (40, 1500),
    (20, 6000),
]


@pytest.fixture(scope="module")
def backbone_checkpoint(cpu, tmp_path_factory):
    """Weights without an attention."""
    path = tmp_path_factory.mktemp("backbone") / "backbone.ckpt"
    weights = random_weights(FeatureExtractor(), seed=3)
    names = [name for name in weights if name.startswith("backbone.")]
    write_checkpoint(path, {name: weights[name] for name in names})
    return path


def opened(checkpoint, precision="float32"):
    weights = read_feature_weights(checkpoint)
    return OpenVinoEngine(checkpoint, fingerprint(weights), has_attention(weights), precision)


@pytest.fixture(params=["attention", "norm"])
def checkpoint(request):
    name = "attention_checkpoint" if request.param == "attention" else "backbone_checkpoint"
    return request.getfixturevalue(name)


def test_float32_equals_mindspore(checkpoint, cpu):
    network = FeatureNetwork(read_feature_weights(checkpoint), "it", "CPU")
    request = opened(checkpoint)._opened()
    for height, width in SIZES:
        pixels = textured(height, width, seed=height)
        planes = (pixels.astype(np.float32) / 128 - 1).transpose(2, 0, 1)[None]
        features, scores = network(planes)
        found = _level(request, pixels)
        assert found.features.shape == features.shape, (height, width)
        scale = np.abs(features).max()
        np.testing.assert_allclose(found.features, features, rtol=1e-4, atol=1e-4 * scale)
        np.testing.assert_allclose(found.scores, scores, rtol=1e-4, atol=1e-5)
        norms = np.linalg.norm(features, axis=2)
        np.testing.assert_allclose(found.norms, norms, rtol=1e-4)


def test_the_network_writes_into_arrays_of_each_level(attention_checkpoint):
    """Nothing is copied, and the next level, of the same size or another one, changes none."""
    engine = opened(attention_checkpoint)
    request, plain = engine._opened(), opened(attention_checkpoint)._opened()
    sizes = [(96, 64), (96, 64), (33, 200), (500, 300), (1, 1), (96, 64)]
    levels = [textured(*size, seed=number) for number, size in enumerate(sizes)]
    found = [_level(request, level) for level in levels]
    for level, output in zip(levels, found):
        wanted = plain.infer([level[None]])
        assert [array.tobytes() for array in output[:3]] == [wanted[i].tobytes() for i in range(3)]


def test_the_same_features_are_chosen(attention_checkpoint, tmp_path, cpu):
    photos = tmp_path / "photos"
    write_photos(photos)
    config = DelfConfig(max_level_side=256, use_pca=False, max_feature_num=60)
    settings = EngineSettings("mindspore", str(attention_checkpoint), device_target="CPU")
    extract_folder(photos, tmp_path / "m", choose_engine(settings), config)
    extract_folder(photos, tmp_path / "o", opened(attention_checkpoint), config)
    for task in list_tasks(photos):
        ours, theirs = (
            read_features(feature_path(tmp_path / folder, task.name)) for folder in ("o", "m")
        )
        places = [
            {(*place, scale) for place, scale in zip(each.locations.tolist(), each.scales.tolist())}
            for each in (ours, theirs)
        ]
        # The last one chosen may be another where two scores are equal but for rounding.
        assert len(places[0] ^ places[1]) <= 2, task.name
    assert read_manifest(tmp_path / "o").settings["engine"] == {
        "name": "OpenVINO",
        "precision": "float32",
    }


@pytest.fixture
def bfloat16():
    """Skips where the processor has no instructions for it: emulated, it is slow, and not used."""
    if native_precision() != "bfloat16":
        pytest.skip("no bfloat16 on this processor")


def test_bfloat16_is_near_and_every_run_the_same(attention_checkpoint, bfloat16):
    exact = opened(attention_checkpoint)._opened()
    requests = [opened(attention_checkpoint, "bfloat16")._opened() for _ in range(2)]
    pixels = textured(240, 320, seed=5)
    wanted = _level(exact, pixels).features.reshape(-1, 1024)
    first, second = (_level(request, pixels) for request in requests)
    assert all((a == b).all() for a, b in zip(first[:3], second[:3]))
    found = first.features.reshape(-1, 1024)
    cosine = (
        (found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
    )
    assert cosine.mean() >= 0.999


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_any_number_of_threads_gives_the_same_bytes(attention_checkpoint, precision, monkeypatch):
    if precision == "bfloat16" and native_precision() != "bfloat16":
        pytest.skip("no bfloat16 on this processor")
    pixels = textured(200, 150, seed=1)
    outputs = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(openvino_runtime, "cpu_count", lambda threads=threads: threads)
        outputs.append(_level(opened(attention_checkpoint, precision)._opened(), pixels))
    for other in outputs[1:]:
        assert all((a == b).all() for a, b in zip(outputs[0][:3], other[:3]))


@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE"])
def test_precision_is_float32_where_the_runtime_is_held_to_less(isa):
    code = "from src.describe.engines.openvino_runtime import native_precision as p; print(p())"
    limited = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT,
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": isa, "DELF_ONEDNN_ISA": ""},
        capture_output=True,
        text=True,
    )
    assert limited.stdout == "float32\n", limited.stderr


def test_precision_is_asked_of_the_runtime(monkeypatch, tmp_path):
    able = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    monkeypatch.delenv("DELF_CACHE", raising=False)
    native_precision.cache_clear()
    if "BF16" not in able:
        assert native_precision() == "float32"
        return
    for primitive, wanted in (
        ("brgconv_avx512_amx_bf16", "bfloat16"),
        ("brgconv_avx512_bf16", "bfloat16"),
        ("jit_avx512_bf16", "float32"),
        (None, "float32"),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / str(primitive)))  # nothing is known
        monkeypatch.setattr(openvino_graph, "convolution_primitive", lambda _, p=primitive: p)
        native_precision.cache_clear()
        assert native_precision() == wanted
    native_precision.cache_clear()


def test_a_signal_comes_through_when_engines_have_come_and_gone(attention_checkpoint):
    """Engines end in threads of their own; a handler needs a stack in the main one all the same."""
    code = f"""
import gc, os, signal, threading
from tests.describe.test_openvino_runtime import opened
signal.signal(signal.SIGINT, lambda *_: print("handled"))
def come_and_go():
    engines.pop()
    gc.collect()
engines = [opened({str(attention_checkpoint)!r})]
engines[0]._opened()
thread = threading.Thread(target=come_and_go)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGINT)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr[-500:]


def test_weights_replaced_or_incomplete_are_refused(attention_checkpoint, tmp_path):
    engine = OpenVinoEngine(attention_checkpoint, "another", True, "float32")
    with pytest.raises(UserError, match="was replaced"):
        engine._opened()
    weights = read_feature_weights(attention_checkpoint)
    assert weights.pop("backbone.stage3.res3b.branch2b.conv.weight") is not None
    with pytest.raises(KeyError, match="res3b"):
        feature_graph(weights, True)


def test_auto_takes_openvino_and_says_what_is_lost_without_it(
    attention_checkpoint, monkeypatch, caplog
):
    settings = EngineSettings(checkpoint=str(attention_checkpoint), device_target="CPU")
    assert choose_engine(settings).name == "openvino"
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *of: None if name == "openvino" else found(name)
    )
    assert choose_engine(settings).name == "mindspore"
    assert "OpenVINO is not installed" in caplog.text


def test_bfloat16_of_another_engine_is_refused(attention_checkpoint):
    settings = EngineSettings(
        "mindspore", str(attention_checkpoint), device_target="CPU", precision="bfloat16"
    )
    with pytest.raises(UserError, match="engine=openvino"):
        choose_engine(settings)
