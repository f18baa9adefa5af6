"""Compiled networks are kept: used where they are whole, made again where they are not."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest

from src.describe.engines import openvino_cache, openvino_runtime
from src.describe.engines.openvino_cache import open_network, remembered

SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}
PIXELS = np.arange(3 * 8 * 8, dtype=np.float32).reshape(1, 3, 8, 8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("DELF_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # The first limit that the runtime meets holds for the whole process, for other tests too.
    with openvino_runtime._own_instruction_set():
        yield tmp_path / "cache" / "delf_mindspore" / "openvino"


def graph(factor: float = 1.0) -> ov.Model:
    kernel = np.random.default_rng(0).normal(size=(16, 3, 3, 3)).astype(np.float32) * factor
    image = ov.opset13.parameter([1, 3, -1, -1], np.float32)
    side = [1, 1]
    out = ov.opset13.convolution(image, ov.opset13.constant(kernel), side, side, side, side)
    return ov.Model([out], [image])


def output(network):
    return network(PIXELS)[0].copy()


def opened(fingerprint="a", make=graph, settings=SETTINGS):
    return output(open_network(ov.Core(), fingerprint, settings, make))


def refuse():
    raise AssertionError("the weights were read though the network is kept")


def test_a_kept_network_needs_no_weights_and_says_the_same(cache):
    first = opened()
    assert len(list(cache.iterdir())) == 1
    np.testing.assert_array_equal(opened(make=refuse), first)


@pytest.mark.parametrize("change", ["zeros", "flipped", "cut", "empty", "head"])
def test_a_damaged_network_is_made_again(cache, change, caplog):
    first = opened()
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    middle = len(whole) - 500  # among the weights: OpenVINO itself does not notice
    path.write_bytes(
        {
            "zeros": whole[:middle] + bytes(200) + whole[middle + 200 :],
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "cut": whole[: len(whole) // 2],
            "empty": b"",
            "head": b"x" * len(whole),
        }[change]
    )
    np.testing.assert_array_equal(opened(), first)
    assert f"{path} is damaged and is made again" in caplog.text
    np.testing.assert_array_equal(opened(make=refuse), first)


def test_other_weights_settings_and_limits_have_files_of_their_own(cache, monkeypatch):
    first = opened()
    other = opened("b", lambda: graph(2.0))
    np.testing.assert_allclose(other, 2 * first, rtol=1e-5)
    opened(settings={**SETTINGS, "INFERENCE_NUM_THREADS": "2"})
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    opened()
    assert len(list(cache.iterdir())) == 4


def test_a_new_openvino_uses_nothing_of_the_old_one(cache, monkeypatch):
    opened()
    monkeypatch.setattr(openvino_cache.ov, "get_version", lambda: "another")
    with pytest.raises(AssertionError, match="weights were read"):
        opened(make=refuse)


def test_where_nothing_can_be_kept_it_goes_on(cache, monkeypatch):
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file where the folder should be")
    first = opened()
    np.testing.assert_array_equal(opened(), first)
    assert remembered(ov.Core(), "word", ("yes",), lambda: "yes") == "yes"
    monkeypatch.setattr(openvino_cache, "user_cache", lambda: None)
    np.testing.assert_array_equal(opened(), first)


def test_networks_that_are_not_used_go(cache):
    for number in range(openvino_cache.KEPT + 3):
        opened(str(number))
        opened("0", refuse)  # which is in use
    kept = {path.name.split("-")[0] for path in cache.iterdir()}
    assert len(kept) == openvino_cache.KEPT and "0" in kept and "1" not in kept


def test_an_answer_is_asked_for_once_and_again_where_it_is_damaged(cache):
    core = ov.Core()
    asked = []

    def ask():
        asked.append(1)
        return "float32"

    for _ in range(2):
        assert remembered(core, "precision", ("float32", "bfloat16"), ask) == "float32"
    assert len(asked) == 1
    (path,) = cache.iterdir()
    path.write_bytes(b"\xff\xfe nonsense")
    assert remembered(core, "precision", ("float32", "bfloat16"), ask) == "float32"
    assert len(asked) == 2 and path.read_text() == "float32"
