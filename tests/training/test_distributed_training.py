"""Two workers on this machine train as one, over MindSpore's own collective communication."""

import os
import re
import signal
import socket
import subprocess
import time

import numpy as np
import psutil
import pytest

from model_utils.environment import PROJECT_ROOT
from src.network.weight_files import read_checkpoint
from src.training.state import PREFIX
from tests.helpers.processes import is_alive
from tests.helpers.training import losses, options, run

STEPS = 7
LAST = "checkpoint_delf_{}-3_1.ckpt"


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def launch(folder, *arguments, restarts=0):
    """Run scripts/run_8p_train.sh with two workers; return the process."""
    environment = {
        **os.environ,
        "DELF_LOG_ROOT": str(folder),
        "DELF_WORKERS": "2",
        "DELF_MASTER_PORT": str(free_port()),
        "DELF_WAIT": "1",
        "DELF_RESTARTS": str(restarts),
    }
    return subprocess.Popen(
        ["bash", str(PROJECT_ROOT / "scripts" / "run_8p_train.sh"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def settings_of_workers(data, folder, **changes):
    """Options of short steps; the launcher says where checkpoints go."""
    values = {"log_step": 1, "batch_size": 2, **changes}
    return [o for o in options(data, folder, **values) if not o.startswith("--save_ckpt=")]


def together(data, folder, stage, **changes):
    """Return what two workers say and leave behind."""
    path = data / "imagenet.h5"
    checkpoint = [str(path)] if stage == "attn" else []
    settings = settings_of_workers(data, folder, max_iters=STEPS, **changes)
    process = launch(folder, stage, *checkpoint, *settings)
    output, _ = process.communicate(timeout=300)
    log = (folder / f"train_parallel_{stage}.log").read_text()
    assert process.returncode == 0, log + output
    assert log.splitlines()[-1] == "TRAINING ENDED WELL"
    return log, folder / "train_parallel0" / "ckpt"


def alone(data, folder, stage, **changes):
    """Return what one worker says and leaves behind."""
    values = {"log_step": 1, "max_iters": STEPS, "train_state": stage, **changes}
    if stage == "attn":
        values["checkpoint_path"] = data / "imagenet.h5"
    result = run(*options(data, folder, **values))
    assert result.returncode == 0, result.stderr
    return result.stdout, folder / "ckpt"


def assert_same(ours, theirs, stage, but=()):
    (our_log, our_folder), (their_log, their_folder) = ours, theirs
    assert [entry[:2] for entry in losses(our_log)] == [entry[:2] for entry in losses(their_log)]
    np.testing.assert_allclose(
        [entry[2] for entry in losses(our_log)],
        [entry[2] for entry in losses(their_log)],
        rtol=1e-4,
    )
    mine, other = (read_checkpoint(f / LAST.format(stage)) for f in (our_folder, their_folder))
    assert mine.keys() == other.keys()
    for name in mine.keys() - {PREFIX + "record"}:
        if not name.endswith(but or ("nothing",)):
            np.testing.assert_allclose(mine[name], other[name], 1e-3, 1e-5, err_msg=name)


@pytest.mark.slow
def test_two_workers_do_what_one_does_with_twice_the_batch(training_data, tmp_path):
    """With the loaded statistics: those of a batch of b are not those of 2b."""
    fixed = {"train_bn_statistics": False}
    two = together(training_data, tmp_path / "two", "tuning", **fixed)
    one = alone(training_data, tmp_path / "one", "tuning", batch_size=4, **fixed)
    assert len(losses(one[0])) == STEPS
    assert_same(two, one, "tuning")
    accuracies = [re.findall("accuracy is (.*)", log) for log, _ in (two, one)]
    assert accuracies[0] == accuracies[1] and len(accuracies[0]) == 2
    # one writer: the second worker's folder holds its log only
    assert [path.name for path in (tmp_path / "two" / "train_parallel1").iterdir()] == [
        "train_tuning.log"
    ]


@pytest.mark.slow
def test_two_workers_do_what_one_does_in_two_parts(training_data, tmp_path):
    """Batches of b are normalised on their own on both sides, so this holds with moving statistics.

    The running statistics themselves differ: two parts move them twice a step.
    """
    two = together(training_data, tmp_path / "two", "attn")
    one = alone(training_data, tmp_path / "one", "attn", batch_size=2, accumulation_steps=2)
    assert_same(two, one, "attn", but=("moving_mean", "moving_variance"))


@pytest.mark.slow
def test_a_job_that_lost_a_worker_goes_on_by_itself_and_by_the_same_command(
    training_data, tmp_path
):
    changes = {"save_ckpt_step": 1, "max_iters": 60, "validate_step": 0}
    settings = settings_of_workers(training_data, tmp_path, **changes)
    command = ("attn", str(training_data / "imagenet.h5"), *settings)
    process = launch(tmp_path, *command, restarts=1)
    log = tmp_path / "train_parallel_attn.log"
    kill_worker(1, process, log, "epoch: 2 step: 1,")
    children = kill_worker(0, process, log, "going on after step", "epoch: 10 step: 1,")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    for rank in (0, 1):
        assert f"error: worker {rank} was ended by SIGKILL" in output + log.read_text()
    assert log.read_text().count("the job is started again") == 1
    assert log.read_text().splitlines()[-1] == "TRAINING FAILED, exit code 1"
    assert not [child for child in children if is_alive(child.pid)]

    process = launch(tmp_path, *command)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert "going on after step" in log.read_text()
    assert (tmp_path / "train_parallel0" / "ckpt" / "checkpoint_delf_attn-20_3.ckpt").exists()


def kill_worker(rank, process, log, *said):
    """Kill a worker once all that is said stands in the log; return the job's processes."""
    deadline = time.monotonic() + 200
    while not (log.exists() and all(words in log.read_text() for words in said)):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    (worker,) = (
        child
        for child in children
        if environment_of(child).get("MS_ROLE") == "MS_WORKER"
        and environment_of(child)["RANK_ID"] == str(rank)
    )
    worker.send_signal(signal.SIGKILL)
    return children


def environment_of(process):
    try:
        return process.environ()
    except psutil.Error:
        return {}


@pytest.mark.slow
def test_a_mistake_is_said_with_the_worker_that_met_it(training_data, tmp_path):
    settings = options(training_data, tmp_path, batch_size=200)
    process = launch(tmp_path, "tuning", *settings)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert re.search("error: worker [01]: .*lower batch_size", output)
    assert "Traceback" not in output
