"""Which PCA reduces descriptors, and what is said of where it comes from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.delf_config import CONV4_CHANNELS, DelfConfig
from src.describe import pca_choice
from src.describe.claim import claim_folder
from src.describe.engines.choice import EngineSettings
from src.describe.kept_pca import keep_pca
from src.describe.pca import Pca, fit_pca, read_pca, write_pca
from src.describe.pca_choice import choose_pca, find_pca, pca_for, results_folder
from src.describe.recipe import Describer, DescribeSettings
from src.describe.whitening import read_whitening
from src.describe.whitening_choice import SHIPPED_WHITENING
from tests.helpers.search import FakeEngine

FEATURES = DelfConfig(pca_dim=4)
DESCRIBER = Describer(FakeEngine(), FEATURES, "w.ckpt")
SETTINGS = DescribeSettings(EngineSettings(checkpoint="w.ckpt"), FEATURES)


def some_pca(seed, rows=5, **about) -> Pca:
    x = np.random.default_rng(seed).normal(size=(60, 12)).astype(np.float32)
    return dataclasses.replace(fit_pca(x, rows), about=about)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The project's folder of PCAs, with one for the weights `imagenet`."""
    monkeypatch.setattr(pca_choice, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(pca_choice, "PROJECT_PCA", tmp_path / "pca")
    write_pca(tmp_path / "pca", some_pca(0, network="imagenet", images=9, source="9 of train"))
    return tmp_path / "pca"


@pytest.fixture
def fits(monkeypatch):
    """Stand in for the fit; gather the folders it is asked for."""
    folders = []

    def fit(engine, path, *_):
        folders.append(str(path))
        return some_pca(7, network=engine.fingerprint, images=3)

    monkeypatch.setattr(pca_choice, "choose_files", lambda *_: ["a.jpg"])
    monkeypatch.setattr(pca_choice, "fit_pca_on_photos", fit)
    return folders


def test_the_one_for_the_weights_is_taken_where_it_lies(project, tmp_path, fits):
    assert find_pca(SETTINGS, DESCRIBER) is None  # for a search, which fits one of its own
    mine = some_pca(1, network="fake", images=64, source=str(tmp_path / "train"))
    write_pca(project / "fake", mine)
    chosen = choose_pca(SETTINGS, DESCRIBER, tmp_path / "photos", tmp_path / "work")
    assert chosen.pca.fingerprint == mine.fingerprint == find_pca(SETTINGS, DESCRIBER).fingerprint
    assert pca_for(DESCRIBER.engine, "w.ckpt", FEATURES, "auto").fingerprint == mine.fingerprint
    origin = chosen.origin(tmp_path / "photos")
    assert origin == f"PCA: pca/fake, fitted on 64 photos, {tmp_path / 'train'}"
    assert chosen.origin(tmp_path / "train").endswith("THOSE OF THIS EVALUATION")
    assert not fits

    # One that was left in pca/ itself by an earlier version.
    write_pca(project, some_pca(2, network="fake"))
    (project / "fake" / "mean.npy").unlink()
    found = choose_pca(SETTINGS, DESCRIBER, tmp_path / "photos", tmp_path / "work")
    assert found.pca.fingerprint == some_pca(2).fingerprint
    # With too few rows it is of no use.
    more = dataclasses.replace(DESCRIBER, features=DelfConfig(pca_dim=6))
    assert find_pca(SETTINGS, more) is None


def test_for_other_weights_the_project_s_is_taken_and_nothing_fitted(
    project, tmp_path, fits, caplog
):
    chosen = choose_pca(SETTINGS, DESCRIBER, tmp_path / "photos", tmp_path / "work")
    assert chosen.pca.fingerprint == some_pca(0).fingerprint
    origin = chosen.origin(tmp_path / "photos")
    assert origin == "PCA: pca, made for OTHER weights, fitted on 9 photos, 9 of train"
    (warning,) = caplog.messages
    assert "fit_pca --checkpoint w.ckpt" in warning and "--fit_pca_on=PHOTOS" in warning
    (project / "pca.json").unlink()  # as somebody leaves it who puts arrays there by hand
    chosen = choose_pca(SETTINGS, DESCRIBER, tmp_path / "photos", tmp_path / "work")
    assert chosen.origin(tmp_path).endswith("not say for which weights it was made")
    for path in project.iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"no PCA for the weights w\.ckpt.*--fit_pca_on"):
        choose_pca(SETTINGS, DESCRIBER, tmp_path / "photos", tmp_path / "work")
    assert not fits and not (tmp_path / "work").exists()


def test_one_is_fitted_when_asked_and_kept(project, tmp_path, fits):
    photos = tmp_path / "photos"
    asked = dataclasses.replace(SETTINGS, fit_pca_on=str(photos))
    for _ in range(2):
        chosen = choose_pca(asked, DESCRIBER, photos, tmp_path / "work")
    assert fits == [str(photos)]
    origin = chosen.origin(photos)
    assert "fitted on 3 photos" in origin and "THOSE OF THIS EVALUATION" in origin
    assert "THOSE" not in chosen.origin(tmp_path / "others")
    other = dataclasses.replace(asked, fit_pca_on=str(tmp_path / "train"))
    choose_pca(other, DESCRIBER, photos, tmp_path / "work")
    assert fits == [str(photos), str(tmp_path / "train")]
    with pytest.raises(UserError, match="both pca_path"):
        choose_pca(dataclasses.replace(asked, pca_path="pca"), DESCRIBER, photos, tmp_path / "work")


def test_what_was_described_before_is_gone_on_with(project, tmp_path, fits, caplog):
    """An evaluation of an earlier version, whose PCA was fitted on the photos it ranks."""
    photos, work = tmp_path / "photos", tmp_path / "work"
    old = some_pca(3, network="fake", images=64, source=str(photos))
    keep_pca(work / "pca", old)
    claim_folder(work / "features", {"pca": old.fingerprint})
    chosen = choose_pca(SETTINGS, DESCRIBER, photos, work)
    assert chosen.pca.fingerprint == old.fingerprint
    assert results_folder(work, chosen.pca) == work
    assert "THOSE OF THIS EVALUATION" in chosen.origin(photos)
    assert "--pca_path=" in caplog.text
    # Another one leaves it alone.
    named = dataclasses.replace(SETTINGS, pca_path=str(project))
    other = choose_pca(named, DESCRIBER, photos, work)
    assert other.pca.fingerprint == some_pca(0).fingerprint
    beside = results_folder(work, other.pca)
    assert beside.parent == work.parent and beside.name.startswith("work-") and not fits


def test_without_a_pca_that_is_said(tmp_path):
    whole = DESCRIBER.without_pca()
    chosen = choose_pca(SETTINGS, whole, tmp_path, tmp_path / "work")
    assert chosen.origin(tmp_path) == "PCA: none, descriptors in full length"
    assert pca_for(whole.engine, "w.ckpt", whole.features, "auto") is None


def test_the_one_that_ships():
    folder = PROJECT_ROOT / "pca"
    pca = read_pca(folder)
    assert pca.projection.shape == (128, CONV4_CHANNELS)
    assert pca.projection @ pca.projection.T == pytest.approx(np.eye(128), abs=1e-5)
    assert (np.diff(pca.variances) <= 0).all() and pca.variances[-1] > 0
    assert pca.about["network"] == read_whitening(SHIPPED_WHITENING).network
    assert pca.about["images"] == 3986 == read_whitening(SHIPPED_WHITENING).about["images"]
    for name in ("mean.npy", "pca_proj_mat.npy", "pca_variances.npy", "pca.json"):
        assert (folder / name).stat().st_size < 5e6
