"""Compiled networks are kept: the same bytes come out, and what is damaged is made again."""

from __future__ import annotations

import logging
import os

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from src.common.user_cache import user_cache
from src.describe.engines import openvino_cache, openvino_runtime
from src.describe.engines.openvino_cache import KEPT, open_network, remembered
from src.describe.engines.openvino_graph import core
from src.describe.engines.openvino_runtime import OpenVinoEngine, _level
from src.network.feature_weights import has_attention, read_feature_weights
from src.network.weights import fingerprint
from tests.helpers.infer import textured

SETTINGS = {"INFERENCE_PRECISION_HINT": "f32"}
IMAGE = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the networks of a test are kept."""
    monkeypatch.delenv("DELF_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "my cache"))
    return tmp_path / "my cache" / "delf_mindspore" / "openvino"


class Maker:
    """Makes a small network of one convolution, and counts how often."""

    def __init__(self, seed=0):
        self.kernel = np.random.default_rng(seed).normal(size=(8, 3, 3, 3)).astype(np.float32)
        self.made = 0

    def __call__(self):
        self.made += 1
        image = ops.parameter([1, 3, -1, -1], np.float32)
        ones = [1, 1]
        y = ops.convolution(image, ops.constant(self.kernel), ones, ones, ones, ones)
        return ov.Model([y], [image])

    def run(self, name="net", settings=SETTINGS):
        return open_network(core(), name, settings, self)(IMAGE)[0].copy()


def test_a_network_is_made_once(folder):
    make = Maker()
    first, second = make.run(), make.run()
    assert make.made == 1 and first.any()
    np.testing.assert_array_equal(first, second)
    assert [path.name.split("-")[0] for path in folder.iterdir()] == ["net"]


def test_others_are_other_files(folder, monkeypatch):
    make = Maker()
    make.run()
    make.run("other weights")
    make.run(settings={**SETTINGS, "INFERENCE_NUM_THREADS": "1"})
    monkeypatch.setattr(openvino_cache.ov, "get_version", lambda: "2031.1.0")
    make.run()
    monkeypatch.setattr(openvino_cache, "_graph_sum", lambda: 1)
    make.run()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    make.run()
    assert make.made == 6 == len(list(folder.iterdir()))


def flipped(content):
    place = content.index(Maker().kernel.tobytes()[:64]) + 30
    return content[:place] + bytes(64) + content[place + 64 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:10],
        lambda content: content + b"more",
        lambda content: b"x" * 5000,
        lambda content: content[20:],
        lambda content: bytes(len(content)),
        lambda content: content[:-200] + bytes(100) + content[-100:],
        flipped,
    ],
)
def test_a_damaged_file_is_made_again(folder, damage, caplog):
    make = Maker()
    expected = make.run()
    (path,) = folder.iterdir()
    content = path.read_bytes()
    assert damage(content) != content
    path.write_bytes(damage(content))
    np.testing.assert_array_equal(make.run(), expected)
    assert make.made == 2 and f"{path} is damaged" in caplog.text
    caplog.clear()
    np.testing.assert_array_equal(make.run(), expected)
    assert make.made == 2 and not caplog.text


def test_a_whole_file_that_the_runtime_does_not_take_is_made_again(folder, caplog):
    make = Maker()
    expected = make.run()
    (path,) = folder.iterdir()
    head = openvino_cache._HEAD
    path.write_bytes(head + openvino_cache._sum(b"no network") + b"no network")
    np.testing.assert_array_equal(make.run(), expected)
    assert make.made == 2 and "is made again" in caplog.text


@pytest.mark.parametrize("obstacle", ["a file", "a folder in its place", "no home"])
def test_where_nothing_can_be_kept_it_is_done_without(folder, obstacle, monkeypatch, caplog):
    make = Maker()
    expected = make.run()
    (path,) = folder.iterdir()
    path.unlink()
    if obstacle == "a file":
        folder.rmdir()
        folder.write_text("mine")
    elif obstacle == "a folder in its place":
        path.mkdir()
    else:
        monkeypatch.setattr(openvino_cache, "user_cache", lambda: None)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            np.testing.assert_array_equal(make.run(), expected)
            assert remembered(core(), "word", ("a", "b"), lambda: "b") == "b"
    assert make.made == 3 and not caplog.text
    assert obstacle != "a file" or folder.read_text() == "mine"


def test_a_refusal_of_the_runtime_comes_through(folder):
    def make():
        raise RuntimeError("no such thing")

    with pytest.raises(RuntimeError, match="no such thing"):
        open_network(core(), "net", SETTINGS, make)
    assert not folder.exists() or not list(folder.iterdir())


def test_those_used_last_are_kept(folder):
    make = Maker()
    for number in range(KEPT):
        make.run(f"n{number}")
    for number, path in enumerate(sorted(folder.iterdir())):
        os.utime(path, (1000 + number, 1000 + number))
    make.run("n0")  # is in use again
    make.run("new")
    names = {path.name.split("-")[0] for path in folder.iterdir()}
    assert names == {"new", "n0", *(f"n{number}" for number in range(2, KEPT))}


def test_an_answer_is_asked_for_once(folder):
    asked = []

    def ask():
        asked.append(1)
        return "b"

    assert [remembered(core(), "word", ("a", "b"), ask) for _ in range(2)] == ["b", "b"]
    (path,) = folder.iterdir()
    for nonsense in (b"", b"c", b"\xff\xfe", b"bb"):
        path.write_bytes(nonsense)
        assert remembered(core(), "word", ("a", "b"), ask) == "b"
    assert len(asked) == 5


def test_the_place(monkeypatch, tmp_path):
    monkeypatch.setenv("DELF_CACHE", str(tmp_path / "own"))
    assert user_cache() == tmp_path / "own"
    monkeypatch.delenv("DELF_CACHE")
    assert user_cache() == tmp_path / "my cache" / "delf_mindspore"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")  # to be ignored, says the standard
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "delf_mindspore"


def test_the_features_are_the_same_and_the_weights_are_not_read(
    attention_checkpoint, monkeypatch, folder
):
    weights = read_feature_weights(attention_checkpoint)
    pixels = textured(90, 130, seed=4)

    def outputs():
        engine = OpenVinoEngine(
            attention_checkpoint, fingerprint(weights), has_attention(weights), "float32"
        )
        return _level(engine._opened(), pixels)

    first = outputs()
    monkeypatch.setattr(openvino_runtime, "read_feature_weights", None)
    for ours, theirs in zip(first, outputs()):
        np.testing.assert_array_equal(ours, theirs)
    assert len(list(folder.iterdir())) == 1
