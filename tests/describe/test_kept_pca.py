"""A PCA of a cache: kept twice, made again where neither is any good."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from src.describe.kept_pca import keep_pca, read_kept_pca
from src.describe.pca import fit_pca, read_pca, write_pca
from tests.helpers.files import digests
from tests.helpers.toy_engine import PCA


@pytest.fixture
def folder(tmp_path):
    """Where one is kept."""
    keep_pca(tmp_path / "cache" / "pca", PCA)
    return tmp_path / "cache" / "pca"


def test_it_comes_back(folder):
    assert read_kept_pca(folder).fingerprint == PCA.fingerprint
    assert sorted(path.name for path in folder.parent.iterdir()) == ["pca", "pca.copy"]


@pytest.mark.parametrize("which", ["pca", "pca.copy"])
@pytest.mark.parametrize("name", ["mean.npy", "pca_proj_mat.npy", "pca.json", None])
@pytest.mark.parametrize("how", ["gone", "empty", "another"])
def test_one_of_the_two_is_enough(folder, which, name, how):
    whole = digests(folder.parent)
    place = folder.parent / which
    if name is None:
        shutil.rmtree(place)
        if how == "empty":
            place.mkdir()
        elif how == "another":
            place.write_text("a file")
    elif how == "gone":
        (place / name).unlink()
    elif how == "empty":
        (place / name).write_bytes(b"")
    elif name == "pca.json":
        (place / name).write_text('{"fingerprint": "other"}')
    else:
        np.save(place / name, np.load(place / name) + 1)
    assert read_kept_pca(folder).fingerprint == PCA.fingerprint
    assert digests(folder.parent) == whole


def test_one_that_was_kept_before_gets_its_copy(tmp_path):
    write_pca(tmp_path / "pca", PCA)
    assert read_kept_pca(tmp_path / "pca").fingerprint == PCA.fingerprint
    assert digests(tmp_path / "pca.copy") == digests(tmp_path / "pca")


def test_where_neither_can_be_read_there_is_none(folder, caplog):
    for place in (folder, folder.with_name("pca.copy")):
        (place / "mean.npy").unlink()  # as a run leaves it that was killed while it wrote
    assert read_kept_pca(folder) is None
    assert "are damaged" in caplog.text
    other = fit_pca(np.random.default_rng(1).normal(size=(50, 12)).astype(np.float32), 3)
    keep_pca(folder, other)
    assert read_pca(folder).fingerprint == other.fingerprint
    assert read_kept_pca(folder.with_name("nothing")) is None
