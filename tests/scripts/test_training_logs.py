"""A second start of a training, while the first still runs and after it has ended."""

import shutil

import pytest

from tests.helpers.checkout import stand_in_checkout, the_error
from tests.helpers.processes import is_alive, wait_until


@pytest.fixture
def project(tmp_path):
    return stand_in_checkout(tmp_path / "my delf")


@pytest.mark.skipif(not shutil.which("flock"), reason="no flock")
@pytest.mark.parametrize("script", ["run_1p_train.sh", "run_8p_train.sh"])
def test_a_second_training_leaves_the_log_of_the_first_alone(project, tmp_path, script):
    leader = tmp_path / "leader"
    environment = {"TEST_LEADER": str(leader)}
    log = project.folder / f"train_{'parallel_' if '8p' in script else ''}tuning.log"
    first = project.run(script, "tuning", environment=environment)
    assert first.returncode == 0, first.stderr
    process = first.stdout.split(" as process ")[1].split(";")[0]
    written = log.read_text()
    assert written.splitlines()[1:] == ["epoch: 1 step: 1"]

    refused = the_error(project.run(script, "tuning", "--seed=1", environment=environment))
    assert refused == (
        f"error: a training that writes {log} still runs (process {process}); wait for its end, "
        "stop it, or set DELF_LOG_ROOT to the folder of another log"
    )
    assert log.read_text() == written and is_alive(int(process))
    # Another stage has another log, and another folder another one as well.
    elsewhere = {"DELF_LOG_ROOT": str(tmp_path / "elsewhere"), "DELF_WAIT": "1"}
    other = project.run(script, "tuning", environment=elsewhere)
    assert other.returncode == 0, other.stderr
    (project.folder / "w.ckpt").touch()
    attention = project.run(script, "attn", "w.ckpt", environment={"DELF_WAIT": "1"})
    assert attention.returncode == 0, attention.stderr

    leader.touch()
    assert wait_until(lambda: not is_alive(int(process)))
    ended = [*written.splitlines(), "the loss went down", "TRAINING ENDED WELL"]
    assert log.read_text().splitlines() == ended
    # The next one writes behind it, and sees its own lines only.
    again = project.run(script, "tuning", environment={"DELF_WAIT": "1"})
    assert again.returncode == 0, again.stderr
    lines = log.read_text().splitlines()
    assert lines[:4] == ended and len(lines) == 7
    assert lines[4].startswith("== ") and again.stdout.splitlines() == lines[5:]


def test_where_there_is_no_flock_nothing_is_lost(project, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    needed = "basename bash cat cksum date dirname grep mkdir nohup sh sleep tail uname wc"
    for name in needed.split():
        (programs / name).symlink_to(shutil.which(name))
    environment = {"PATH": str(programs), "DELF_WAIT": "1"}
    for runs in (1, 2):
        result = project.run("run_1p_train.sh", "tuning", environment=environment)
        assert result.returncode == 0, result.stderr
        lines = (project.folder / "train_tuning.log").read_text().splitlines()
        assert lines.count("TRAINING ENDED WELL") == runs
