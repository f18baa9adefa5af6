"""Fitting an attention: it finds planted features, and the command writes weights that describe."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.delf_config import BN_EPSILON
from src.delf_model import ResNet50
from src.describe.attention_head import own_share, train_head
from src.describe.fit_attention import fit_attention
from src.network.feature_weights import has_attention, read_feature_weights
from src.network.weight_files import read_checkpoint, write_checkpoint
from src.network.weights import fold_batch_norm
from tests.helpers.infer import textured
from tests.helpers.weights import random_weights

CHANNELS = 24


def planted(photos=360, landmarks=6, seed=0):
    """Features of photos: half of each photo's are its landmark's, half are found anywhere.

    What is found anywhere differs from the landmarks' own in a direction that does not tell
    landmarks apart, and it is the longer half: the norm picks it.
    """
    rng = np.random.default_rng(seed)
    own = rng.normal(0, 1, (landmarks, 5, CHANNELS))
    shared = rng.normal(0, 1, (40, CHANNELS))
    own[..., 0], shared[:, 0] = 4, -4
    features, good, of_photo = [], [], []
    for photo in range(photos):
        here = np.concatenate([own[photo % landmarks], shared[rng.choice(40, 5, replace=False)]])
        features.append(here + rng.normal(0, 0.1, here.shape))
        good += [True] * 5 + [False] * 5
        of_photo += [photo] * 10
    good = np.array(good)
    features = np.concatenate(features).astype(np.float32) * np.where(good, 10, 20)[:, None]
    return features.astype(np.float32), good, np.array(of_photo), np.arange(photos) % landmarks


def unit(features):
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


def test_neighbours_tell_what_is_of_its_landmark():
    features, good, of_photo, landmarks = planted()
    share = own_share(unit(features), of_photo, unit(features), of_photo, landmarks)
    assert share.min() >= 0 and share.max() <= 1
    assert share[good].mean() > 0.9
    assert share[~good].mean() < 0.4


def test_the_photo_itself_does_not_count():
    # Two photos of two landmarks: all that a feature finds elsewhere is of the other one.
    same = np.eye(4, dtype=np.float32)
    both = np.concatenate([same, same])
    of_photo = np.repeat([0, 1], 4)
    assert not own_share(both, of_photo, both, of_photo, np.array([0, 1])).any()


def test_a_head_scores_what_is_worth_more_above_what_is_not():
    features, good, of_photo, landmarks = planted()
    head = train_head(features, good.astype(np.float32), landmarks[of_photo], 30)
    unseen, shown, *_ = planted(seed=1)
    scores = head.score(unseen)
    assert scores[shown].min() > scores[~shown].max()
    again = train_head(features, good.astype(np.float32), landmarks[of_photo], 30)
    assert (again.score(unseen) == scores).all()
    other = train_head(features, good.astype(np.float32), landmarks[of_photo], 30, seed=1)
    assert (other.score(unseen) != scores).any()


def test_the_tensors_of_a_head_compute_its_scores():
    features, good, of_photo, landmarks = planted()
    head = train_head(features, good.astype(np.float32), landmarks[of_photo], 5)
    folded = fold_batch_norm(head.weights(), BN_EPSILON)
    first = folded["attention.conv1.conv.weight"][:, :, 0, 0]
    hidden = np.maximum(features @ first.T + folded["attention.conv1.conv.bias"], 0)
    scores = hidden @ folded["attention.conv2.weight"][0, :, 0, 0] + folded["attention.conv2.bias"]
    np.testing.assert_allclose(scores, head.score(features), rtol=1e-4, atol=1e-4)


def test_a_lone_landmark_is_refused(tmp_path):
    with pytest.raises(UserError, match="two landmarks with two photos or more are needed"):
        fit_attention(
            [(tmp_path / "a", "x"), (tmp_path / "b", "x"), (tmp_path / "c", "y")], 5, 1, 0
        )


def test_the_command_writes_weights_with_an_attention(tmp_path, cpu):
    weights = random_weights(ResNet50(conv5=True), seed=4)
    checkpoint = tmp_path / "whole.ckpt"
    write_checkpoint(checkpoint, {f"backbone.{name}": value for name, value in weights.items()})
    lines = ["id,url,landmark_id"]
    for number in range(5):
        folder = tmp_path / "photos" / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(textured(150, 170, seed=number)).save(folder / f"p{number}.png")
        lines.append(f"p{number},,{number % 2}")
    (tmp_path / "photos" / "train.csv").write_text("\n".join(lines))
    command = [sys.executable, "-m", "src.describe.fit_attention", "--checkpoint", checkpoint]
    command += ["--images_path", tmp_path / "photos", "--work_path", tmp_path / "work", "--steps=3"]
    command += ["--max_level_side=320", "--precision=float32", "--output"]
    made = []
    for name in ("first.ckpt", "second.ckpt"):  # of which the second describes nothing anew
        done = subprocess.run(
            [*command, tmp_path / name],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        made.append(read_checkpoint(tmp_path / name))
    assert all((made[0][name] == made[1][name]).all() for name in made[0])
    assert has_attention(read_feature_weights(tmp_path / "first.ckpt"))
    assert (made[0]["backbone.conv1.conv.weight"] == weights["conv1.conv.weight"]).all()
