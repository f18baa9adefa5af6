from __future__ import annotations

import json
import os

import numpy as np
import pytest

from src.common.errors import UserError
from src.describe.pca import Pca, read_pca, write_pca
from src.downloads import pca as program
from src.downloads.pca import prepare_pca
from src.downloads.records import RECORDS
from tests.helpers.datum import datum
from tests.helpers.download import NOWHERE, make_tgz


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
    server.add("/delf_gld_20190411.tar.gz", make_tgz(files))
    folder = tmp_path / "pca"
    prepare_pca(folder, tmp_path / "no.h5", base_url=server.url)
    names = {"mean": "mean", "pca_proj_mat": "pca_proj_mat", "pca_vars": "pca_variances"}
    for datum_name, npy_name in names.items():
        found = np.load(folder / f"{npy_name}.npy")
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, arrays[datum_name])
    about = json.loads((folder / "pca.json").read_text(encoding="utf-8"))
    assert about["source"] == "DELF release" and about["url"].startswith(server.url)
    assert read_pca(folder).projection.shape == (4, 5)

    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    prepare_pca(folder, tmp_path / "no.h5", base_url=NOWHERE)
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

    monkeypatch.setattr(program.subprocess, "run", run)
    return commands


def test_without_the_release_the_pca_is_fitted(fitting, tmp_path):
    folder, checkpoint = tmp_path / "pca", tmp_path / "w.h5"
    prepare_pca(folder, checkpoint, str(tmp_path), base_url=NOWHERE)
    assert read_pca(folder).mean.tolist() == [1, 1, 1]
    (command,) = fitting
    assert command[1].endswith("src/describe/fit_pca.py")
    assert command[command.index("--checkpoint") + 1] == str(checkpoint)
    assert command[command.index("--images_path") + 1] == str(tmp_path)
    prepare_pca(folder, checkpoint, base_url=NOWHERE)
    assert len(fitting) == 1


def test_a_release_without_a_pca_is_passed_over(fitting, server, tmp_path):
    files, _ = release_pca()
    del files["delf_gld_20190411/pca/mean.datum"]
    server.add("/delf_gld_20190411.tar.gz", make_tgz(files))
    prepare_pca(tmp_path / "pca", tmp_path / "w.h5", base_url=server.url)
    assert len(fitting) == 1


def test_a_damaged_pca_of_ours_is_made_anew(fitting, tmp_path):
    folder = tmp_path / "pca"
    write_pca(folder, small_pca(5))
    (folder / "pca_proj_mat.npy").unlink()
    prepare_pca(folder, tmp_path / "w.h5", base_url=NOWHERE)
    assert read_pca(folder).mean.tolist() == [1, 1, 1]
    (folder / "mean.npy").write_bytes((folder / "mean.npy").read_bytes()[:-2])
    prepare_pca(folder, tmp_path / "w.h5", base_url=NOWHERE)
    assert read_pca(folder).mean.tolist() == [1, 1, 1]


def test_an_exchange_that_was_killed_half_way_is_finished(fitting, tmp_path):
    folder = tmp_path / "pca"
    write_pca(folder / RECORDS / "new", small_pca(5))
    os.replace(folder / RECORDS / "new" / "mean.npy", folder / "mean.npy")
    prepare_pca(folder, tmp_path / "w.h5", base_url=NOWHERE)
    assert read_pca(folder).mean.tolist() == [1, 1, 1]
    assert not (folder / RECORDS / "new").exists()


def test_arrays_that_somebody_else_put_there_stay(fitting, tmp_path):
    folder = tmp_path / "pca"
    folder.mkdir()
    (folder / "mean.npy").write_bytes(b"mine")
    with pytest.raises(UserError, match="not as this program made it"):
        prepare_pca(folder, tmp_path / "w.h5", base_url=NOWHERE)
    assert (folder / "mean.npy").read_bytes() == b"mine"

    write_pca(folder, small_pca(5))
    np.save(folder / "mean.npy", np.full(3, 6, "f4"))  # beside our pca.json
    with pytest.raises(UserError, match="not as this program made it"):
        prepare_pca(folder, tmp_path / "w.h5", base_url=NOWHERE)
    assert np.load(folder / "mean.npy").tolist() == [6, 6, 6]
    (folder / "pca.json").unlink()
    prepare_pca(folder, tmp_path / "w.h5", base_url=NOWHERE)
    assert np.load(folder / "mean.npy").tolist() == [6, 6, 6] and not fitting


def test_a_failed_fit_ends_the_program_and_leaves_no_pca(monkeypatch, tmp_path):
    failed = type("Done", (), {"returncode": 2})
    monkeypatch.setattr(program.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SystemExit) as caught:
        prepare_pca(tmp_path / "pca", tmp_path / "w.h5", base_url=NOWHERE)
    assert caught.value.code == 2
    assert not (tmp_path / "pca" / "pca.json").exists()
    failed.returncode = -9
    with pytest.raises(UserError, match="signal 9"):
        prepare_pca(tmp_path / "pca", tmp_path / "w.h5", base_url=NOWHERE)
