"""`python3 -m src.exchange`: to other programs and back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.common.errors import UserError
from src.describe.delf_files import read_delf
from src.exchange import kept_matches
from src.exchange.__main__ import main
from src.exchange.numpy_file import read_numpy
from src.exchange.pairs import match_pairs
from src.feature_io import Features, feature_path, read_features, read_manifest
from tests.helpers.features import write_features_folder
from tests.helpers.landmarks import picture

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments):
    main([str(argument) for argument in arguments])


def same(ours, found, tolerance=1e-6):
    for name in ("locations", "scales", "attention", "descriptors"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(ours, name), rtol=tolerance, atol=1e-6
        )
    assert found.size == ours.size


@pytest.mark.parametrize(("form", "file"), [("hloc", "features.h5"), ("numpy", "features.npz")])
def test_features_go_out_and_come_back_whole(scene, tmp_path, form, file):
    run("--features", scene.folder, "--to", form, "--output", tmp_path / "out", "--pairs", "all")
    run("--from", form, "--input", tmp_path / "out" / file, "--features", tmp_path / "back")
    there, back = read_manifest(scene.folder), read_manifest(tmp_path / "back")
    assert back.images == there.images
    for name in there.names:
        same(*(read_features(feature_path(f, name)) for f in (scene.folder, tmp_path / "back")))


def test_delf_files_are_those_of_the_release(scene, tmp_path):
    run("--features", scene.folder, "--to", "delf", "--output", tmp_path / "out")
    ours = read_features(feature_path(scene.folder, "walk/view4"))
    found = read_delf(tmp_path / "out" / "walk" / "view4.delf")
    np.testing.assert_array_equal(found.locations, ours.locations)
    run("--from", "delf", "--input", tmp_path / "out", "--features", tmp_path / "back")
    assert len(read_manifest(tmp_path / "back").images) == 5


def test_numpy_has_the_matches(scene, tmp_path, matched):
    run("--features", scene.folder, "--to", "numpy", "--output", tmp_path, "--pairs", "all")
    with np.load(tmp_path / "features.npz") as arrays:
        assert arrays["names"].tolist() == [f"walk/view{i}.jpg" for i in range(5)]
        assert arrays["offsets"].tolist() == [0, 150, 300, 450, 600, 750]
        first, second = arrays["pairs"][9]
        rows = slice(*arrays["match_offsets"][9:11])
        verified = arrays["matches"][rows][arrays["inliers"][rows]]
        np.testing.assert_array_equal(verified, matched[9].verified)
        one = arrays["descriptors"][arrays["offsets"][first] + verified[:, 0]]
        other = arrays["descriptors"][arrays["offsets"][second] + verified[:, 1]]
        assert (one * other).sum(axis=1).min() > 0.9


def test_the_pairs_of_a_search_become_a_database(scene, tmp_path):
    arguments = ("--to", "colmap", "--output", tmp_path / "c", "--pairs", "retrieval", "--top", 1)
    run("--features", scene.folder, *arguments)
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names == ["database.db", "keypoints", "matches.txt"]


def test_a_size_that_features_do_not_know_is_the_photos(tmp_path):
    one = Features(np.zeros((1, 2)), np.ones(1), np.eye(1, 4), np.ones(1))
    folder = write_features_folder(tmp_path / "f", {"a": one})
    out = ("--features", folder, "--to", "numpy", "--output", tmp_path / "out")
    with pytest.raises(UserError, match="--photos"):
        run(*out)
    assert not (tmp_path / "out").exists()
    photos = tmp_path / "photos"
    photos.mkdir()
    with pytest.raises(UserError, match=r"the first is a\.jpg"):
        run(*out, "--photos", photos)
    picture(1, 64, 48).save(photos / "a.jpg")
    run(*out, "--photos", photos)
    assert read_numpy(tmp_path / "out" / "features.npz")["a.jpg"].size == (48, 64)


def test_the_current_folder_can_be_the_output(scene, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run("--features", scene.folder, "--to", "numpy", "--output", ".")
    assert [path.name for path in Path.cwd().iterdir()] == ["features.npz"]
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_what_is_there_is_not_written_over(scene, tmp_path):
    (tmp_path / "database.db").write_text("a reconstruction of days")
    with pytest.raises(UserError, match="not empty"):
        run("--features", scene.folder, "--to", "colmap", "--output", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["database.db"]


def test_an_output_that_cannot_be_made_is_said_before_the_matching(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_matches, "match_pairs", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to"):
        run("--features", scene.folder, "--to", "numpy", "--output", tmp_path / "file" / "out")


def test_a_run_that_was_stopped_goes_on(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_matches, "BLOCK", 2)
    asked = []

    def matched(photos, pairs, settings):
        if len(asked) > 5:
            raise KeyboardInterrupt
        asked.extend(pairs)
        return match_pairs(photos, pairs, settings)

    monkeypatch.setattr(kept_matches, "match_pairs", matched)
    command = ("--features", scene.folder, "--to", "hloc", "--pairs", "all", "--output")
    with pytest.raises(KeyboardInterrupt):
        run(*command, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (first, *_) = sorted(tmp_path.glob(".out.matches-*/*.npz"))
    first.write_bytes(first.read_bytes()[:100])  # as after a power cut: made again
    before = list(asked)
    asked.clear()
    run(*command, tmp_path / "out")
    assert len(before) == 6
    assert len(asked) == 6  # the damaged two, and the four that were missing
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    monkeypatch.setattr(kept_matches, "match_pairs", match_pairs)
    run(*command, tmp_path / "at once")
    for name in ("features.h5", "matches.h5", "pairs.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "at once" / name).read_bytes()


def test_a_run_that_fails_leaves_nothing_but_its_matches(scene, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("src.exchange.hloc_files.write_hloc_matches", full)
    with pytest.raises(OSError, match="No space"):
        run(
            "--features", scene.folder, "--to", "hloc", "--output", tmp_path / "o", "--pairs", "all"
        )
    assert all(path.name.startswith(".o.matches-") for path in tmp_path.iterdir())


def test_a_foreign_name_does_not_lead_out_of_the_folder(tmp_path):
    import h5py

    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file.create_group("..").create_group("a.jpg")
        group["keypoints"], group["descriptors"] = np.zeros((1, 2)), np.ones((4, 1))
    with pytest.raises(UserError, match="outside of its folder"):
        run("--from", "hloc", "--input", tmp_path / "x.h5", "--features", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_mistake_ends_with_one_line_and_2(tmp_path):
    command = [sys.executable, "-m", "src.exchange", "--features", str(tmp_path)]
    command += ["--to", "hloc", "--output", str(tmp_path / "out")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
