"""What a training is told, and by which of it a training that goes on is recognised."""

import hashlib
import json

import pytest

from src.common.errors import UserError
from src.training.stages import initial_weights_digest
from tests.helpers.training import settings_of

# The settings in checkpoints that were made before the settings had classes of their own.
EARLIER = {
    "tuning": (
        '{"classes": 3, "clip_norm": 10.0, "frozen_stages": 0, "half_precision": false, '
        '"image_size": 33, "initial_lr": 0.01, "initial_weights": "62e898a114354b59", '
        '"max_iters": 7, "momentum": 0.9, "photos": 12, "photos_a_step": 4, "seed": 0, '
        '"start_iter": 1, "train_bn_statistics": true, "train_state": "tuning"}'
    ),
    "attn": (
        '{"attention_loss_weight": 1.0, "classes": 3, "clip_norm": 10.0, "half_precision": false, '
        '"image_size": 33, "initial_lr": 0.01, "initial_weights": "62e898a114354b59", '
        '"max_iters": 7, "momentum": 0.9, "photos": 12, "photos_a_step": 4, "seed": 0, '
        '"start_iter": 1, "train_state": "attn"}'
    ),
}
FACTS = {"classes": 3, "photos": 12, "initial_weights": "62e898a114354b59"}


def settings(folder, **changes):
    return settings_of(folder, folder, **{"train_state": "tuning", **changes})


@pytest.mark.parametrize("stage", ["tuning", "attn"])
def test_a_training_begun_before_is_recognised(tmp_path, stage):
    told = settings(tmp_path, train_state=stage, checkpoint_path=tmp_path / "tuned.ckpt")
    identity = {**told.identity(1, "CPU"), **FACTS}
    assert json.dumps(identity, sort_keys=True) == EARLIER[stage]


def test_bare_scores_are_another_training(tmp_path):
    told = {"train_state": "attn", "checkpoint_path": tmp_path / "tuned.ckpt"}
    usual, bare = (
        settings(tmp_path, **told, normalise_attention=on).identity(1, "CPU")
        for on in (True, False)
    )
    assert bare == {**usual, "normalise_attention": False}


def test_devices_batch_and_accumulation_count_as_their_product(tmp_path):
    changes = ({}, {"batch_size": 2}, {"batch_size": 1, "accumulation_steps": 2})
    one, two, four = (settings(tmp_path, **some) for some in changes)
    assert one.identity(1, "CPU") == two.identity(2, "CPU") == four.identity(2, "CPU")
    assert one.identity(2, "CPU")["photos_a_step"] == 8


@pytest.mark.parametrize(
    ("level", "device", "wanted"),
    [
        ("auto", "CPU", False),
        ("auto", "Ascend", True),
        ("O0", "Ascend", False),
        ("O2", "CPU", True),
    ],
)
def test_ascend_computes_in_half_precision_unless_told_otherwise(tmp_path, level, device, wanted):
    told = settings(tmp_path, amp_level=level)
    assert told.identity(1, device)["half_precision"] is wanted


def test_the_first_thing_that_is_wrong_is_said(tmp_path):
    with pytest.raises(UserError, match=r"^batch_size is 0; it should be at least 1$"):
        settings(tmp_path, batch_size=0, initial_lr=0)
    with pytest.raises(UserError, match=r"^clip_norm is -1\.0; it should be above 0$"):
        settings(tmp_path, clip_norm=-1)
    with pytest.raises(UserError, match=r"set checkpoint_path$"):
        settings(tmp_path, train_state="attn")


def test_the_weights_a_stage_starts_from_are_told_by_their_content(tmp_path):
    path = tmp_path / "imagenet.h5"
    stage = settings(tmp_path).stage
    assert stage.initial_weights == str(path)
    assert initial_weights_digest(stage) is None
    path.write_bytes(b"a" * (1 << 20) + b"c")
    wanted = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert initial_weights_digest(stage) == wanted
    path.write_bytes(b"")
    assert initial_weights_digest(stage) == "e3b0c44298fc1c14"  # SHA-256 of nothing
    tuned = tmp_path / "tuned.ckpt"
    assert settings(tmp_path, checkpoint_path=tuned).stage.initial_weights == str(tuned)
