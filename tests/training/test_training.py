"""Both stages on a few small photos, with the real network, as train.py runs them."""

import re
import shutil

import numpy as np
import pytest

from src.common.errors import UserError
from src.network.weight_files import read_checkpoint
from src.shards.build import BuildSettings, build_image_dataset
from src.shards.inventory import count_labels
from src.training.loop import train
from src.training.metrics_log import read_metrics
from tests.helpers.modelarts import STAND_INS
from tests.helpers.training import CLASSES, losses, options, run, settings_of


@pytest.mark.slow
def test_both_stages_from_imagenet_weights_to_a_checkpoint(training_data, tmp_path):
    data = training_data
    tuning = run(
        *options(data, tmp_path, train_state="tuning", need_summary=True, need_profile=False)
    )
    assert tuning.returncode == 0, tuning.stderr
    # 12 photos are 3 batches an epoch: step 7 is the first of the third epoch
    seen = [(epoch, step) for epoch, step, _ in losses(tuning.stdout)]
    assert seen == [(1, 1), (1, 2), (2, 1), (2, 3), (3, 1)]
    accuracies = re.findall(r"step: (\d+), validation accuracy is ([\d.]+)$", tuning.stdout, re.M)
    assert [s for s, _ in accuracies] == ["1", "1"]
    assert all(float(a) * 6 == pytest.approx(round(float(a) * 6), abs=1e-3) for _, a in accuracies)
    metrics = read_metrics(tmp_path / "ckpt" / "train_tuning.jsonl")
    assert [r["step"] for r in metrics if "loss" in r] == [1, 2, 4, 6, 7]
    measured = [(r["step"], r["validation_accuracy"]) for r in metrics if "loss" not in r]
    assert [step for step, _ in measured] == [4, 7]
    best = max(measured, key=lambda pair: pair[1])[0]  # of two equal ones the first
    assert sorted(path.name for path in (tmp_path / "ckpt").iterdir()) == [
        f"best_delf_tuning-{(best - 1) // 3 + 1}_{(best - 1) % 3 + 1}.ckpt",
        "checkpoint_delf_tuning-2_3.ckpt",
        "checkpoint_delf_tuning-3_1.ckpt",
        "train_tuning.jsonl",
        "train_tuning.png",
        "weights_delf_tuning-3_1.ckpt",
    ]
    # The optimiser's state is in the newest, and nothing but the network in the weights.
    held = {path.name: read_checkpoint(path).keys() for path in (tmp_path / "ckpt").glob("*.ckpt")}
    states = [name for name, keys in held.items() if "training.global_step" in keys]
    assert states == ["checkpoint_delf_tuning-3_1.ckpt"]
    weights = held["weights_delf_tuning-3_1.ckpt"]
    assert weights == {name for name in held[states[0]] if name.startswith("backbone.")}
    assert list((tmp_path / "summary").glob("*summary*"))

    last = tmp_path / "ckpt" / "checkpoint_delf_tuning-3_1.ckpt"
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
        ({"train_state": "tuning", "accumulation_steps": 4}, "lower batch_size or accumulation"),
        ({"train_state": "tuning", "frozen_stages": 5}, "at most 4"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(training_data, tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as error:
        train(settings_of(training_data, tmp_path, **changes))
    assert "\n" not in str(error.value)


def test_labels_outside_the_range_are_refused(training_data, tmp_path):
    shutil.copytree(training_data / "mindrecord", tmp_path / "mindrecord")
    (tmp_path / "mindrecord" / "dataset.json").unlink()  # which would know better
    table = tmp_path / "mindrecord" / "relabeling.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    result = run(
        *options(
            training_data,
            tmp_path,
            train_state="tuning",
            traindata_path=tmp_path / "mindrecord" / "train.mindrecord000",
        )
    )
    assert result.returncode == 2
    assert "holds the label 2" in result.stderr and "(0 to 1)" in result.stderr


def test_a_training_on_part_of_a_data_set_is_refused(training_data, tmp_path):
    shutil.copytree(training_data / "mindrecord", tmp_path / "lost")
    for name in ("validation.mindrecord000", "validation.mindrecord000.db"):
        (tmp_path / "lost" / name).unlink()
    place = {"traindata_path": tmp_path / "lost" / "train.mindrecord000"}
    result = run(*options(training_data, tmp_path, train_state="tuning", **place))
    assert result.returncode == 2
    assert "error: 1 of the 1 shards of validation.mindrecord" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "ckpt").exists()


@pytest.mark.slow
def test_a_class_of_one_photo_and_no_validation_split(training_data, tmp_path):
    """The lonely photo is for training; without validation photos nothing is measured."""
    rows = (training_data / "train_clean.csv").read_text().splitlines()
    lonely = rows[3].split(",")
    rows[3] = f"{lonely[0]},{lonely[1].split()[0]}"
    (tmp_path / "clean.csv").write_text("\n".join(rows) + "\n")
    for share, name in ((0.4, "split"), (0.0, "whole")):
        settings = BuildSettings(
            tmp_path / "clean.csv",
            training_data / "train",
            tmp_path / name,
            validation_split_size=share,
            num_workers=1,
        )
        build_image_dataset(settings)
    assert count_labels(tmp_path / "split" / "train.mindrecord000") == {0: 4, 1: 4, 2: 1}
    assert count_labels(tmp_path / "split" / "validation.mindrecord000") == {0: 2, 1: 2}
    changes = {"traindata_path": tmp_path / "whole", "max_iters": 2, "log_step": 1}
    result = run(
        *options(
            training_data,
            tmp_path,
            train_state="attn",
            checkpoint_path=training_data / "imagenet.h5",
            **changes,
        )
    )
    assert result.returncode == 0, result.stderr
    assert "no validation photos" in result.stderr
    assert "accuracy is" not in result.stdout
    assert not list((tmp_path / "ckpt").glob("best*"))
    metrics = read_metrics(tmp_path / "ckpt" / "train_attn.jsonl")
    assert [record["step"] for record in metrics] == [1, 2]
    assert {"epoch", "loss", "learning_rate", "photos_per_second", "data_wait"} <= metrics[0].keys()


@pytest.mark.slow
def test_a_training_that_fails_on_modelarts_leaves_what_it_had(training_data, tmp_path):
    """The weights explode in the first step; the second finds it, and the first one's are kept."""
    bucket, cache = tmp_path / "bucket", tmp_path / "cache"
    shutil.copytree(training_data / "mindrecord", bucket / "data" / "mindrecord")
    (bucket / "weights").mkdir()
    shutil.copy(training_data / "imagenet.h5", bucket / "weights")
    result = run(
        *options(
            training_data,
            tmp_path,
            enable_modelarts=True,
            data_url=bucket / "data",
            checkpoint_url=bucket / "weights",
            train_url=bucket / "out",
            data_path=cache / "data",
            load_path=cache / "weights",
            output_path=cache / "train",
            train_state="attn",
            traindata_path=cache / "data" / "mindrecord" / "train.mindrecord000",
            checkpoint_path=cache / "weights" / "imagenet.h5",
            initial_lr=1e30,
            save_ckpt_step=1,
            log_step=1,
            validate_step=0,
        ),
        PYTHONPATH=str(STAND_INS),
        MOXING_LOG=str(tmp_path / "log"),
    )
    assert result.returncode == 2
    assert re.search("the loss is (inf|nan) at step 2", result.stderr)
    assert sorted(path.name for path in (bucket / "out" / "ckpt").iterdir()) == [
        "checkpoint_delf_attn-1_1.ckpt",
        "train_attn.jsonl",
    ]
    assert not (tmp_path / "ckpt").exists()
    # It went there by itself, when it was written.
    copies = [line.split()[2] for line in (tmp_path / "log").read_text().splitlines()]
    assert str(bucket / "out" / "ckpt" / "checkpoint_delf_attn-1_1.ckpt") in copies


def test_a_half_written_checkpoint_is_refused(training_data, tmp_path):
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"\x0a\x20half a checkpoint")
    result = run(*options(training_data, tmp_path, train_state="attn", checkpoint_path=broken))
    assert result.returncode == 2
    assert [line for line in result.stderr.splitlines() if "broken.ckpt" in line]
    assert "Traceback" not in result.stderr
