"""A training that is killed or stopped goes on, with the same command, to the same end."""

import re
import shutil
import signal

import numpy as np
import pytest

from src.common.errors import UserError
from src.network.weight_files import read_checkpoint
from src.training.loop import train
from src.training.metrics_log import read_metrics
from tests.helpers.training import losses, options, run, settings_of, start

STEPS = 40


def told(data, **changes):
    """The attention stage, whose batch normalisation and momentum are a state to lose."""
    return {
        "train_state": "attn",
        "checkpoint_path": data / "imagenet.h5",
        "max_iters": STEPS,
        "log_step": 1,
        "save_ckpt_step": 3,
        "keep_checkpoint_max": 1,
        "validate_step": 7,
        **changes,
    }


def command(data, folder, **changes):
    return options(data, folder, **told(data, **changes))


def last_checkpoint(folder):
    return (
        folder / "ckpt" / f"checkpoint_delf_attn-{(STEPS - 1) // 3 + 1}_{(STEPS - 1) % 3 + 1}.ckpt"
    )


@pytest.fixture(scope="module")
def whole(training_data, tmp_path_factory):
    """A training that nothing happens to."""
    folder = tmp_path_factory.mktemp("whole")
    result = run(*command(training_data, folder))
    assert result.returncode == 0, result.stderr
    return folder, losses(result.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_training_ends_where_it_would_have_ended(training_data, tmp_path, whole, number):
    folder, wanted = whole
    process = start(*command(training_data, tmp_path))
    seen = [process.stdout.readline() for _ in range(11)]
    process.send_signal(number)
    rest, errors = process.communicate(timeout=120)
    before = losses("".join(seen) + rest)
    assert 9 <= len(before) < STEPS, errors
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 130
        assert "Traceback" not in errors
        epoch, step, _ = before[-1]
        assert (tmp_path / "ckpt" / f"checkpoint_delf_attn-{epoch}_{step}.ckpt").exists()

    again = run(*command(training_data, tmp_path))
    assert again.returncode == 0, again.stderr
    after = losses(again.stdout)
    done = int(re.search(r"going on after step (\d+) ", again.stderr)[1])
    # Of the last two checkpoints, three steps apart, the newer one may just be being written.
    assert len(before) - done in (range(7) if number == signal.SIGKILL else range(1))
    # The same photos in the same order, or the losses would differ.
    joined = before[:done] + after
    assert [entry[:2] for entry in joined] == [entry[:2] for entry in wanted]
    np.testing.assert_allclose([e[2] for e in joined], [e[2] for e in wanted], rtol=1e-4)
    ours, theirs = (read_checkpoint(last_checkpoint(path)) for path in (tmp_path, folder))
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {"training.record"}:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-5, err_msg=name)
    assert [path.name for path in sorted((tmp_path / "ckpt").iterdir())] == [
        path.name for path in sorted((folder / "ckpt").iterdir())
    ]
    steps = [
        [r["step"] for r in read_metrics(path / "ckpt" / "train_attn.jsonl")]
        for path in (tmp_path, folder)
    ]
    assert steps[0] == steps[1]


def test_a_training_that_is_done_is_not_done_again(training_data, whole, tmp_path):
    shutil.copytree(whole[0] / "ckpt", tmp_path / "ckpt")
    result = run(*command(training_data, tmp_path))
    assert result.returncode == 0
    assert f"step {STEPS} was reached before" in result.stderr
    assert not losses(result.stdout)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"initial_lr": 0.02}, "initial_lr is 0.02 here, 0.01 there"),
        ({"batch_size": 3}, "photos_a_step is 3 here, 4 there"),
        ({"seed": 5}, "seed is 5 here, 0 there"),
    ],
)
def test_other_settings_do_not_go_on(training_data, whole, tmp_path, changes, message):
    shutil.copytree(whole[0] / "ckpt", tmp_path / "ckpt")
    refused(training_data, tmp_path, message, **changes)
    assert last_checkpoint(tmp_path).exists()


def test_other_weights_under_the_same_name_do_not_go_on(training_data, whole, tmp_path):
    shutil.copytree(whole[0] / "ckpt", tmp_path / "ckpt")
    other = tmp_path / "imagenet.h5"
    other.write_bytes((training_data / "imagenet.h5").read_bytes() + b" ")
    refused(training_data, tmp_path, "initial_weights is", checkpoint_path=other)


def test_another_number_of_classes_does_not_go_on(training_data, whole, tmp_path):
    shutil.copytree(whole[0] / "ckpt", tmp_path / "ckpt")
    shutil.copytree(training_data / "mindrecord", tmp_path / "mindrecord")
    (tmp_path / "mindrecord" / "dataset.json").unlink()
    with open(tmp_path / "mindrecord" / "relabeling.csv", "a") as table:
        table.write("3,70\n")
    shards = tmp_path / "mindrecord" / "train.mindrecord000"
    refused(training_data, tmp_path, "classes is 4 here, 3 there", traindata_path=shards)


def test_a_checkpoint_of_the_other_stage_does_not_go_on(training_data, whole, tmp_path):
    renamed = tmp_path / "ckpt" / "checkpoint_delf_tuning-1_1.ckpt"
    renamed.parent.mkdir()
    shutil.copy(last_checkpoint(whole[0]), renamed)
    changes = {"train_state": "tuning", "checkpoint_path": ""}
    refused(training_data, tmp_path, "train_state is 'tuning' here, 'attn' there", **changes)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.999])
def test_half_a_checkpoint_does_not_go_on(training_data, whole, tmp_path, share):
    half = tmp_path / "ckpt" / last_checkpoint(whole[0]).name
    half.parent.mkdir()
    content = last_checkpoint(whole[0]).read_bytes()
    half.write_bytes(content[: int(share * len(content))])
    refused(training_data, tmp_path, "There is no other one to go on from: remove it to begin")


def refused(data, folder, message, **changes):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        train(settings_of(data, folder, **told(data, **changes)))
    assert "\n" not in str(error.value)
