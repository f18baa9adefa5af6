"""Both stages on a few small photos, with the real network, as train.py runs them."""

import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import keras_resnet50, write_keras_h5

from model_utils.config import load_config
from model_utils.environment import PROJECT_ROOT
from src.build_image_dataset import build_image_dataset
from src.errors import UserError
from src.network_weights import read_checkpoint
from src.train_records import CheckpointFolder

CLASSES, PHOTOS = 3, 6


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Shards of three classes told apart by colour: 12 photos to train, 6 to validate."""
    folder = tmp_path_factory.mktemp("gldv2")
    generator = np.random.default_rng(0)
    rows = ["landmark_id,images"]
    for label in range(CLASSES):
        names = []
        for number in range(PHOTOS):
            name = f"{label}{number:x}".ljust(16, "0")
            photo = generator.integers(0, 60, (48, 64, 3), dtype=np.uint8)
            photo[..., label] += 150
            path = folder / "train" / name[0] / name[1] / name[2] / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), photo)
            names.append(name)
        rows.append(f"{10 * label},{' '.join(names)}")
    (folder / "train_clean.csv").write_text("\n".join(rows) + "\n")
    build_image_dataset(
        folder / "train_clean.csv",
        folder / "train",
        folder / "mindrecord",
        validation_split_size=1 / 3,
        num_workers=1,
    )
    write_keras_h5(folder / "imagenet.h5", keras_resnet50())
    return folder


def options(data, tmp_path, **changes):
    values = {
        "traindata_path": data / "mindrecord" / "train.mindrecord000",
        "imagenet_checkpoint": data / "imagenet.h5",
        "save_ckpt": tmp_path / "ckpt",
        "save_summary": tmp_path / "summary",
        "batch_size": 4,
        "image_size": 33,
        "max_iters": 7,
        "log_step": 2,
        "save_ckpt_step": 2,
        "keep_checkpoint_max": 2,
        "validate_step": 4,
        "initial_lr": 0.01,
        "device_target": "CPU",
        **changes,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(PROJECT_ROOT / "train.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.slow
def test_both_stages_from_imagenet_weights_to_a_checkpoint(data, tmp_path):
    tuning = run(
        *options(data, tmp_path, train_state="tuning", need_summary=True, need_profile=False)
    )
    assert tuning.returncode == 0, tuning.stderr
    # 12 photos are 3 batches an epoch: step 7 is the first of the third epoch
    losses = re.findall(r"^epoch: (\d+) step: (\d+), loss is ([\d.e-]+)$", tuning.stdout, re.M)
    assert [(e, s) for e, s, _ in losses] == [
        *(("1", "1"), ("1", "2"), ("2", "1"), ("2", "3"), ("3", "1"))
    ]
    accuracies = re.findall(r"step: (\d+), validation accuracy is ([\d.]+)$", tuning.stdout, re.M)
    assert [s for s, _ in accuracies] == ["1", "1"]
    assert all(float(a) * 6 == pytest.approx(round(float(a) * 6), abs=1e-3) for _, a in accuracies)
    checkpoints = sorted(path.name for path in (tmp_path / "ckpt").iterdir())
    assert checkpoints == [
        "checkpoint_delf_tuning-2_3.ckpt",
        "checkpoint_delf_tuning-3_1.ckpt",
    ]
    assert list((tmp_path / "summary").glob("*summary*"))

    last = tmp_path / "ckpt" / checkpoints[-1]
    attention = run(*options(data, tmp_path, train_state="attn", checkpoint_path=last))
    assert attention.returncode == 0, attention.stderr
    trained = read_checkpoint(tmp_path / "ckpt" / "checkpoint_delf_attn-3_1.ckpt")
    tuned = read_checkpoint(last)
    backbone = [name for name in trained if name.startswith("backbone.")]
    assert len(backbone) == 43 * 5
    for name in backbone:
        np.testing.assert_array_equal(trained[name], tuned[name])
    assert trained["classifier.weight"].shape == (CLASSES, 1024)
    # the other stage's checkpoints are left alone
    assert last.exists()


def test_the_same_seed_gives_the_same_training(data, tmp_path):
    runs = []
    for name in "ab":
        arguments = options(
            data, tmp_path / name, train_state="tuning", max_iters=3, validate_step=0, log_step=1
        )
        runs.append(run(*arguments).stdout)
    assert runs[0].count("loss is") == 3
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_state": "attn"}, "set checkpoint_path"),
        ({"train_state": "tuning", "imagenet_checkpoint": "nowhere.h5"}, "nowhere.h5"),
        ({"train_state": "tuning", "traindata_path": "nowhere/train.mindrecord000"}, "no shard at"),
        ({"train_state": "tuning", "start_iter": 9}, "comes before start_iter"),
        ({"train_state": "tuning", "batch_size": 0}, "batch_size is 0"),
        ({"train_state": "tuning", "initial_lr": 0}, "initial_lr is 0"),
        ({"train_state": "tuning", "batch_size": 13}, "lower batch_size"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(data, tmp_path, changes, message):
    from src.training import train

    config = load_config(options(data, tmp_path, **changes))
    with pytest.raises(UserError, match=message) as error:
        train(config)
    assert "\n" not in str(error.value)


def test_a_half_written_checkpoint_is_refused(data, tmp_path):
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"\x0a\x20half a checkpoint")
    result = run(*options(data, tmp_path, train_state="attn", checkpoint_path=broken))
    assert result.returncode == 2
    assert [line for line in result.stderr.splitlines() if "broken.ckpt" in line]
    assert "Traceback" not in result.stderr


def test_the_newest_checkpoints_of_a_stage_are_kept(cpu, tmp_path):
    from mindspore import nn

    folder = CheckpointFolder(tmp_path, "tuning", keep=2)
    other = tmp_path / "checkpoint_delf_attn-1_1.ckpt"
    other.write_bytes(b"")
    for epoch, step in ((1, 9), (1, 10), (2, 1)):
        folder.save(lambda path: path.write_bytes(b""), epoch, step)
    assert [path.name for path in folder.list()] == [
        "checkpoint_delf_tuning-1_10.ckpt",
        "checkpoint_delf_tuning-2_1.ckpt",
    ]
    assert other.exists()
