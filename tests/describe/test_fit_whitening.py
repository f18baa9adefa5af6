"""Fitting a whitening: what it does to scatter, and the command from photos to a file."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.delf_model import ResNet50
from src.describe.fit_whitening import fit_whitening, read_landmarks
from src.describe.whitening import read_whitening
from src.network.feature_weights import read_conv5_weights, read_feature_weights
from src.network.weight_files import write_checkpoint
from src.network.weights import fingerprint
from src.photos.left_out import read_left_out
from tests.helpers.infer import textured
from tests.helpers.weights import random_weights


def landmarks_in(dimensions, count, seed=0):
    """Descriptors whose first half tells landmarks apart, and whose second, larger, does not."""
    generator = np.random.default_rng(seed)
    half = dimensions // 2
    labels = np.arange(count) % 20
    centres = generator.normal(0, 1, (20, half))
    useful = centres[labels] + generator.normal(0, 0.3, (count, half))
    return np.hstack([useful, generator.normal(0, 3, (count, half))]) + 5, labels


def right_neighbours(x, labels):
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    similarity = x @ x.T - 2 * np.eye(len(x))
    return (labels[similarity.argmax(axis=1)] == labels).mean()


def test_scatter_within_is_the_identity_and_components_are_uncorrelated():
    x, labels = landmarks_in(12, 300)
    mean, projection = fit_whitening(x, labels, 12, shrinkage=0)
    np.testing.assert_allclose(mean, x.mean(axis=0))
    white = (x - mean) @ projection
    scatter = sum(
        (len(part) - 1) * np.cov(part.T) for part in (white[labels == each] for each in range(20))
    )
    np.testing.assert_allclose(scatter / (len(x) - 20), np.eye(12), atol=1e-9)
    covariance = white.T @ white / len(white)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-9)
    assert (np.diff(np.diag(covariance)) <= 1e-9).all()
    assert (projection[np.abs(projection).argmax(axis=0), np.arange(12)] > 0).all()


def test_what_tells_landmarks_apart_is_kept():
    x, labels = landmarks_in(12, 300)
    mean, projection = fit_whitening(x[:200], labels[:200], 6, shrinkage=0.02)
    unseen, shown = x[200:], labels[200:]
    assert right_neighbours((unseen - mean) @ projection, shown) > 0.8
    assert right_neighbours(unseen - mean, shown) < 0.5


def test_full_shrinkage_is_a_plain_pca():
    x, labels = landmarks_in(8, 200)
    _, projection = fit_whitening(x, labels, 3, shrinkage=1)
    _, vectors = np.linalg.eigh(np.cov(x.T))
    found = projection / np.linalg.norm(projection, axis=0)
    np.testing.assert_allclose(np.abs(np.sum(found * vectors[:, ::-1][:, :3], axis=0)), 1)


def test_too_few_photos_are_refused():
    x, labels = landmarks_in(8, 40)
    with pytest.raises(UserError, match="more photos than dimensions"):
        fit_whitening(x[:8], labels[:8], 8)
    with pytest.raises(UserError, match="some landmarks with two or more"):
        fit_whitening(x, np.arange(40), 4)


def test_tables_and_lists_that_are_none(tmp_path):
    with pytest.raises(UserError, match=r"there is no .*train\.csv"):
        read_landmarks(tmp_path)
    for content in ("", "id,url\na,b\n", "\x00\x01"):
        (tmp_path / "train.csv").write_text(content)
        with pytest.raises(UserError, match=r"train\.csv (is not a csv|has no col)") as error:
            read_landmarks(tmp_path)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="there is no list"):
        read_left_out([tmp_path / "none.txt"])
    (tmp_path / "out.tsv").write_text("0/1/2/012a.jpg\tblurred, and dark\n345b,why\n678c\n")
    assert read_left_out([tmp_path / "out.tsv"]) == {"012a", "345b", "678c"}


def test_the_command_makes_a_whitening_that_fits(tmp_path, cpu):
    weights = random_weights(ResNet50(conv5=True), seed=4)
    checkpoint = tmp_path / "whole.ckpt"
    write_checkpoint(checkpoint, {f"backbone.{name}": value for name, value in weights.items()})
    lines = ["id,url,landmark_id"]
    for number in range(9):
        folder = tmp_path / "photos" / str(number % 3)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(textured(50, 70, seed=number)).save(folder / f"p{number}.png")
        lines += [f"p{number},,{number % 3}"] if number < 8 else []  # the last is in no table
    (tmp_path / "photos" / "train.csv").write_text("\n".join(lines))
    (tmp_path / "out.txt").write_text("1/p7.png\tdoubtful\n")
    command = [sys.executable, "-m", "src.describe.fit_whitening", "--checkpoint", checkpoint]
    command += ["--images_path", tmp_path / "photos", "--leave_out", tmp_path / "out.txt"]
    command += ["--output", tmp_path / "w.npz", "--work_path", tmp_path / "work"]
    command += ["--dimension=3", "--max_level_side=96", "--precision=float32"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    made = read_whitening(tmp_path / "w.npz")
    assert (made.dimension, made.about["images"], made.about["landmarks"]) == (3, 7, 3)
    assert made.network == fingerprint(read_feature_weights(checkpoint))
    assert made.conv5 == fingerprint(read_conv5_weights(checkpoint))
    assert str(tmp_path) not in made.about["command"]
