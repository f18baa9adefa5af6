"""What may not be read is told so: it is not called damaged, nor made anew in its place."""

from __future__ import annotations

import os
import shutil
import threading

import numpy as np
import pytest

from src.common.errors import UserError, system_line
from src.common.restricted_pickle import load_plain_pickle
from src.common.text_files import read_lines
from src.describe.claim import claimed_settings
from src.describe.datum_io import read_datum
from src.describe.delf_files import read_delf
from src.describe.kept_pca import keep_pca, read_kept_pca
from src.describe.pca import Pca, read_pca
from src.describe.record import Record
from src.describe.whitening import read_whitening
from src.evaluation.report import read_map_text
from src.feature_io import read_features, read_manifest
from src.index.build import build_index
from src.index.folder import load_index
from src.network.foreign import convert_weights
from src.network.keras_h5 import convert_h5
from src.network.mindir import read_proto
from src.network.torch_file import read_torch
from src.ranking.verdict import read_calibration
from src.shards.manifest import read_manifest as read_data_set
from src.training.metrics_log import read_metrics
from tests.helpers.files import digests
from tests.helpers.index import write_folder

# A folder in place of the file stands for any reason: root may read every file.
FILES = {
    "features": (read_features, "a.npz"),
    "a manifest": (lambda path: read_manifest(path.parent), "features.json"),
    "a record": (lambda path: Record.read(path.parent), "photos.json"),
    "a PCA": (lambda path: read_pca(path.parent), "mean.npy"),
    "a whitening": (read_whitening, "a.npz"),
    "a calibration": (read_calibration, "a.json"),
    "a datum": (read_datum, "a.datum"),
    "features of DELF": (read_delf, "a.delf"),
    "a model": (read_proto, "a.mindir"),
    "weights of Keras": (convert_h5, "a.h5"),
    "weights of PyTorch": (read_torch, "a.pth"),
    "weights of any kind": (convert_weights, "a.pth"),
    "results": (read_map_text, "mAP.txt"),
    "metrics": (read_metrics, "train_attn.jsonl"),
    "a data set": (lambda path: read_data_set(path.parent), "dataset.json"),
    "an index": (lambda path: load_index(path.parent), "index.json"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, kind):
    read, name = FILES[kind]
    path = tmp_path / name
    path.mkdir()
    with pytest.raises((OSError, UserError)) as caught:
        read(path)
    told = system_line(caught.value) if isinstance(caught.value, OSError) else str(caught.value)
    assert str(path) in told and "damaged" not in told and "again" not in told, told
    assert path.is_dir()


NAMED = {  # by a person
    **{kind: FILES[kind] for kind in ("a datum", "features of DELF", "a model", "results")},
    **{kind: FILES[kind] for kind in ("weights of PyTorch", "weights of any kind", "metrics")},
    "a list": (lambda path: read_lines(path, "list", "gone"), "list_images.txt"),
    "ground truth": (load_plain_pickle, "gnd_roxford5k.pkl"),
}


@pytest.mark.parametrize("kind", NAMED)
def test_a_pipe_is_refused_at_once(tmp_path, kind):
    read, name = NAMED[kind]
    os.mkfifo(tmp_path / name)
    errors = []

    def reading():
        try:
            read(tmp_path / name)
        except (OSError, UserError) as error:
            errors.append(str(error))

    thread = threading.Thread(target=reading, daemon=True)
    thread.start()
    thread.join(60)
    assert len(errors) == 1, "it waits for somebody to write"
    assert name in errors[0] and "no regular file" in errors[0]


@pytest.mark.parametrize("name", ["descriptors-1.bin", "images-1.npz"])
def test_an_index_of_which_a_file_may_not_be_read_is_left_alone(tmp_path, name):
    write_folder(tmp_path / "features", {"a": 40, "b": 30})
    build_index(tmp_path / "features", tmp_path / "index")
    before = digests(tmp_path / "index")
    (path,) = (tmp_path / "index").glob(name)
    shutil.move(path, tmp_path / "aside")
    path.mkdir()
    with pytest.raises(OSError, match=f"directory.*{name}"):
        load_index(tmp_path / "index").nearest(np.zeros((1, 8), np.float32), 1)
    path.rmdir()
    shutil.move(tmp_path / "aside", path)
    assert digests(tmp_path / "index") == before


def test_a_kept_pca_that_may_not_be_read_is_not_made_from_its_copy(tmp_path):
    pca = Pca(np.zeros(3, np.float32), np.eye(2, 3, dtype=np.float32), np.ones(2, np.float32), {})
    keep_pca(tmp_path / "pca", pca)
    (tmp_path / "pca" / "mean.npy").rename(tmp_path / "mine")
    (tmp_path / "pca" / "mean.npy").mkdir()
    with pytest.raises(OSError, match=r"directory.*mean\.npy"):
        read_kept_pca(tmp_path / "pca")
    assert (tmp_path / "pca" / "mean.npy").is_dir()


def test_what_a_folder_is_claimed_for_may_not_be_read(tmp_path):
    (tmp_path / "unfinished.json").mkdir()
    with pytest.raises(OSError, match=r"directory.*unfinished\.json"):
        claimed_settings(tmp_path)
