"""Ctrl-C while a launcher gets ready."""

import os
import signal
import subprocess

import pytest

from tests.helpers.checkout import stand_in_checkout
from tests.helpers.processes import hear_ctrl_c

COMMANDS = [("run_search.sh", "src", "--checkpoint_path=x"), ("download_oxf.sh", "data")]
COMMANDS += [("run_eval_match_images.sh", "src", "README.md"), ("run_1p_train.sh", "tuning")]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return stand_in_checkout(tmp_path_factory.mktemp("stand_in") / "delf")


def run(project, script, *arguments, **environment):
    return subprocess.run(
        ["bash", str(project.folder / "scripts" / script), *arguments],
        cwd=project.folder,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
        timeout=60,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_ctrl_c_is_not_taken_for_a_broken_python(project, command):
    done = run(project, *command, TEST_CTRL_C="1")
    assert done.returncode in (130, -signal.SIGINT)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("command", COMMANDS[:3], ids=lambda command: command[0])
def test_python_begins_with_ctrl_c_held_back(project, command):
    if subprocess.run(["env", "--block-signal=HUP", "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this env cannot hold signals back")
    assert run(project, *command, TEST_HELD="1").stdout == "True\n"
