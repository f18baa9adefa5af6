"""Kinds of files of this project, small ones, and whoever reads them: for `tests.helpers.fuzz`."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import random
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.common.errors import UserError
from tests.helpers.damage import (
    Damage,
    damaged_bytes,
    damaged_json,
    damaged_npy,
    damaged_text,
    damaged_zip,
)


@dataclass(frozen=True)
class Kind:
    """A kind of file: the files to damage, how, and who reads them."""

    damages: dict[Path, Damage]
    read: Callable[[], object]
    before: Callable[[Path], None] = lambda path: None


def _npz(folder: Path) -> Kind:
    from src.feature_io import Origin, look_at_features, read_features, write_features

    path = folder / "a.npz"
    write_features(path, _features(), Origin("a" * 64, "b" * 16))

    def read() -> None:
        look_at_features(path, thoroughly=True)
        read_features(path)

    return Kind({path: damaged_zip}, read)


def _npy(folder: Path) -> Kind:
    from src.describe.pca import Pca, read_pca, write_pca

    values = np.linspace(1, 2, 8, dtype=np.float32)
    write_pca(folder, Pca(values, np.eye(4, 8, dtype=np.float32), values[:4]))
    damages: dict[Path, Damage] = {path: damaged_npy for path in sorted(folder.glob("*.npy"))}
    damages |= {path: damaged_json for path in folder.glob("*.json")}
    return Kind(damages, lambda: read_pca(folder))


def _manifest(folder: Path) -> Kind:
    from src.describe.claim import check_claim
    from src.describe.record import Noted, Record, write_record
    from src.feature_io import Manifest, read_manifest, write_manifest

    write_manifest(folder, Manifest((("a", "a.jpg"), ("b", "b.jpg")), {"x": 1}, {"b": "broken"}))
    write_record(folder, {"a": Noted(5, 6, "x", "")}, {})
    damages = {path: damaged_json for path in sorted(folder.glob("*.json"))}

    def read() -> None:
        Record.read(folder)
        with contextlib.suppress(UserError):
            check_claim(folder, {"x": 1})
        read_manifest(folder)

    return Kind(damages, read)


def _index(folder: Path) -> Kind:
    from src.index.build import build_index
    from src.index.files import read_description, write_description
    from src.index.folder import load_index
    from tests.helpers.index import SMALL_LISTS, write_folder

    features, index = folder / "features", folder / "index"
    write_folder(features, {"a": 30, "b": 0, "c": 50})
    build_index(features, index, SMALL_LISTS)

    def signed(random_: random.Random, content: bytes) -> bytes:
        damaged = damaged_json(random_, content)
        with contextlib.suppress(ValueError, RecursionError):
            said = json.loads(damaged)
            if isinstance(said, dict) and "digest" in said and random_.random() < 0.8:
                del said["digest"]
                with contextlib.suppress(UnicodeError, OSError):
                    write_description(folder / "signed", said, said.get("files", {}))
                    return (folder / "signed" / "index.json").read_bytes()
        return damaged

    (folder / "signed").mkdir()
    queries = np.eye(3, 8, dtype=np.float32)

    def read() -> None:
        read_description(index)
        load_index(index).nearest(queries, 3)

    return Kind({index / "index.json": signed}, read)


def _index_files(folder: Path) -> Kind:
    kind = _index(folder)
    paths = sorted((folder / "index").iterdir())
    return Kind({path: damaged_bytes for path in paths if path.suffix != ".json"}, kind.read)


def _packed(folder: Path) -> Kind:
    """The table of an index's images, with a sum that is right: only its reader can tell."""
    from src.index.files import read_description, write_description
    from src.index.summed_files import BlockSums

    kind = _index(folder)
    index = folder / "index"
    (path,) = index.glob("images-*.npz")

    def sign(_: Path) -> None:
        content = read_description(index)
        sums = BlockSums()
        sums.extend(path.read_bytes())
        del content["digest"]
        content["files"][path.name] = sums.as_json()
        write_description(index, content, content["files"])

    return Kind({path: damaged_zip}, kind.read, sign)


def _ckpt(folder: Path) -> Kind:
    from src.network.weight_files import read_checkpoint, read_names, write_checkpoint

    path = folder / "a.ckpt"
    write_checkpoint(path, {"a": np.ones((2, 3), np.float32), "b": np.arange(4, dtype=np.int32)})

    def read() -> None:
        with contextlib.suppress(UserError):
            read_names(path)
        read_checkpoint(path)

    return Kind({path: damaged_bytes}, read)


def _h5(folder: Path) -> Kind:
    import h5py

    from src.network.keras_h5 import read_h5

    path = folder / "a.h5"
    with h5py.File(path, "w") as file:
        file["conv1_conv/conv1_conv/kernel:0"] = np.ones((3, 3, 3, 4), np.float32)
        file["conv1_conv/conv1_conv/bias:0"] = np.ones(4, np.float32)
        file.create_dataset(
            "conv1_bn/conv1_bn/gamma:0", data=np.ones(64, np.float32), compression="gzip"
        )
    return Kind({path: damaged_bytes}, lambda: read_h5(path))


def _mindir(folder: Path) -> Kind:
    from mindspore.train.mind_ir_pb2 import ModelProto

    from src.network.mindir import read_mindir, read_proto, sign

    path = folder / "a.mindir"
    model = ModelProto()
    model.graph.name = "graph"
    model.graph.node.add(op_type="Conv2D", input=["x"], output=["y"])
    model.graph.input.add(name="x").tensor.add(dims=[1, 3, 8, 8])
    for name in ("backbone.conv1.conv.weight", "attention.conv1.weight"):
        values = np.linspace(0, 1, 12, dtype=np.float32)
        model.graph.parameter.add(name=f"graph:{name}", dims=[3, 4], raw_data=values.tobytes())
    sign(model, {})
    path.write_bytes(model.SerializeToString())
    read_mindir(path)

    def read() -> None:
        read_proto(path)
        read_mindir(path)

    return Kind({path: damaged_bytes}, read)


def _mindrecord(folder: Path) -> Kind:
    import cv2

    from src.shards.build import BuildSettings, build_image_dataset
    from src.shards.inventory import count_classes
    from src.shards.manifest import read_manifest

    names = [f"{number:x}".ljust(16, "0") for number in range(1, 5)]
    for name in names:
        path = folder / "photos" / f"{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((16, 16, 3), 99, np.uint8))
    rows = f"landmark_id,images\n7,{names[0]} {names[1]}\n9,{names[2]} {names[3]}\n"
    (folder / "clean.csv").write_text(rows)
    output = folder / "shards"
    build_image_dataset(
        BuildSettings(
            folder / "clean.csv",
            folder / "photos",
            output,
            validation_split_size=0.5,
            num_workers=1,
        )
    )
    manifest = (output / "dataset.json").read_bytes()
    shard = output / "train.mindrecord000"
    files = {shard: damaged_bytes, Path(f"{shard}.db"): damaged_bytes}
    files |= {output / "relabeling.csv": damaged_text, output / "dataset.json": damaged_json}

    def without_manifest(path: Path) -> None:
        """Let it not be the manifest that finds the damage, where it is in another file."""
        if path.name != "dataset.json":
            (output / "dataset.json").unlink(missing_ok=True)

    def read() -> None:
        try:
            read_manifest(output)
            count_classes(output)
        finally:
            (output / "dataset.json").write_bytes(manifest)

    return Kind(files, read, without_manifest)


def _csv(folder: Path) -> Kind:
    from src.shards.tables import landmarks_in_train_table, read_clean_table

    clean, whole = folder / "train_clean.csv", folder / "train.csv"
    clean.write_text("landmark_id,images\n1,a1 b2 c3\n22,d4 e5\n")
    whole.write_text("id,url,landmark_id\na1,http://x,1\nd4,http://y,22\n")
    table = read_clean_table(clean)

    def read() -> None:
        landmarks_in_train_table(whole, table)
        read_clean_table(clean)

    return Kind({clean: damaged_text, whole: damaged_text}, read)


def _ground_truth(folder: Path) -> Kind:
    from src.dataset import read_ground_truth
    from tests.helpers.ground_truth import write_query

    write_query(folder, query="q", good=["q", "a"], ok=["b"], junk=["c"])
    damages = {path: damaged_text for path in sorted(folder.glob("*.txt"))}
    return Kind(damages, lambda: read_ground_truth(folder, ["a", "b", "c", "q"]))


def _gnd(folder: Path) -> Kind:
    from src.evaluation.revisited import by_photo_names, database_images, read_gnd

    path = folder / "gnd_roxford5k.pkl"
    entry = {"bbx": [1.0, 2.0, 30.0, 40.0], "easy": np.array([0]), "hard": [1], "junk": []}
    content = {"imlist": ["a", "b"], "qimlist": ["q"], "gnd": [entry]}
    path.write_bytes(pickle.dumps(content, protocol=2))

    def read() -> None:
        photos = ["a", "b", "q"]
        database_images(by_photo_names(read_gnd(path), photos), photos)

    return Kind({path: damaged_bytes}, read)


def _yaml(folder: Path) -> Kind:
    from model_utils.config import load_config
    from model_utils.environment import PROJECT_ROOT

    path = folder / "own.yaml"
    lines = (PROJECT_ROOT / "delf_config.yaml").read_text(encoding="utf-8").split("\n---")[0]
    path.write_text(lines, encoding="utf-8")
    return Kind({path: damaged_text}, lambda: load_config(["--config_path", str(path)]))


def _delf(folder: Path) -> Kind:
    from src.describe.datum_io import datum_bytes, read_datum
    from src.describe.delf_files import read_delf, write_delf

    path, datum = folder / "a.delf", folder / "a.datum"
    write_delf(path, _features(3))
    datum.write_bytes(datum_bytes(np.ones((3, 4), np.float32)))

    def read() -> None:
        read_delf(path)
        read_datum(datum)

    return Kind({path: damaged_bytes, datum: damaged_bytes}, read)


def _tar(folder: Path) -> Kind:
    from src.common.archives import unpack_tar, unpack_zip

    paths = folder / "a.tar", folder / "a.tgz", folder / "a.zip"
    for path in paths[:2]:
        with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tar:
            for name in ("a.jpg", "deep/b.jpg"):
                info = tarfile.TarInfo(name)
                info.size = 600
                tar.addfile(info, io.BytesIO(b"x" * 600))
    shutil.make_archive(str(paths[2].with_suffix("")), "zip", folder, ".")
    out = folder / "out"

    def read() -> None:
        shutil.rmtree(out, ignore_errors=True)
        unpack_tar(paths[0], out)
        unpack_tar(paths[1], out)
        unpack_zip(paths[2], out)

    return Kind({path: damaged_bytes for path in paths}, read)


def _jpeg(folder: Path) -> Kind:
    from PIL import Image

    from src.photos.jpeg_check import BrokenPhotoError, is_plain_jpeg
    from src.photos.reading import UnreadableImageError, read_image, read_reduced

    image = Image.linear_gradient("L").resize((48, 40)).convert("RGB")
    exif = image.getexif()
    exif[274] = 6
    paths = folder / "a.jpg", folder / "b.jpg", folder / "c.png", folder / "d.tif"
    image.save(paths[0], exif=exif)
    image.save(paths[1], progressive=True)
    image.save(paths[2])
    image.save(paths[3])

    def read() -> None:
        for path in paths:
            # Said once for all photos left out, by whoever reads many.
            with contextlib.suppress(UnreadableImageError, BrokenPhotoError):
                read_reduced(path, 16)
            with contextlib.suppress(UnreadableImageError):
                read_image(path)
            with contextlib.suppress(BrokenPhotoError):
                is_plain_jpeg(path.read_bytes())

    return Kind({path: damaged_bytes for path in paths}, read)


def _notes(folder: Path) -> Kind:
    """Small JSON files beside weights, results and downloads."""
    from src.downloads.records import read_record, record_path, write_record
    from src.photo_search.weights import _known, _read_note
    from src.ranking.results import begin_results
    from src.ranking.verdict import SHIPPED_CALIBRATION, read_calibration

    weights, calibration = folder / "weights.json", folder / "calibration.json"
    weights.write_text(json.dumps({"a": {"stamp": [1, 2], "network": "x", "attention": True}}))
    shutil.copy(SHIPPED_CALIBRATION, calibration)
    begin_results(folder, {"a": 1, "b": [1, 2]})
    (folder / "file").write_bytes(b"x")
    write_record(folder / "file", sha256="a" * 64)
    results = [path for path in folder.glob("*.json") if path not in (weights, calibration)]

    def read() -> None:
        _known(_read_note(weights), "a", [1, 2])
        read_record(folder / "file")
        begin_results(folder, {"a": 1, "b": [1, 2]})
        read_calibration(calibration)

    paths = (weights, calibration, record_path(folder / "file"), *results)
    return Kind({path: damaged_json for path in paths}, read)


KINDS: dict[str, Callable[[Path], Kind]] = {
    "npz": _npz,
    "npy": _npy,
    "packed": _packed,
    "manifest": _manifest,
    "index": _index,
    "ckpt": _ckpt,
    "h5": _h5,
    "mindir": _mindir,
    "mindrecord": _mindrecord,
    "csv": _csv,
    "ground_truth": _ground_truth,
    "gnd": _gnd,
    "yaml": _yaml,
    "delf": _delf,
    "tar": _tar,
    "jpeg": _jpeg,
    "notes": _notes,
    "index_files": _index_files,
}


def _features(count: int = 5):
    from tests.helpers.features import features_of

    rng = np.random.default_rng(0)
    return features_of(rng.uniform(0, 99, (count, 2)), rng.normal(size=(count, 8)))
