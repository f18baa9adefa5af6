"""Ctrl-C in the first moments of a program, and where it was ignored when the program began."""

import signal
import subprocess
import sys

import pytest

from model_utils.environment import PROJECT_ROOT
from src.common.leaving import EXIT_INTERRUPTED, INTERRUPTED

PROGRAMS = sorted(
    path.relative_to(PROJECT_ROOT).as_posix()
    for folder in ("", "src", "src/*", "model_utils", "sample_world", "benchmarks")
    for path in PROJECT_ROOT.glob(f"{folder}/*.py" if folder else "*.py")
    if path.name != "setup.py" and 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
)

# Runs a program, and presses Ctrl-C when it begins to import a module.
PRESSING = """
import os, runpy, signal, sys
program, module = sys.argv[1:3]
sys.argv[:] = [program, "--help"]
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.path.insert(0, os.path.dirname(program))
runpy.run_path(program, run_name="__main__")
"""


def run(code, *arguments, ignored=False, held=False):
    """Run Python with Ctrl-C as a shell leaves it: its own, ignored, or held back."""

    def prepare():
        signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK if held else signal.SIG_UNBLOCK, {signal.SIGINT})

    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=PROJECT_ROOT,
        preexec_fn=prepare,
        timeout=120,
    )


def test_all_programs_are_known():
    assert {"train.py", "eval.py", "export.py", "src/preprocess.py"} <= set(PROGRAMS)
    assert {"model_utils/launch.py", "sample_world/__main__.py"} <= set(PROGRAMS)
    assert {"src/photo_search/__main__.py", "src/downloads/data_sets.py"} <= set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_while_a_program_is_loaded_ends_it_with_one_line(program):
    # The first that each of them imports, and the last before it reads its command line.
    for module in ("model_utils.environment", "src.common.errors"):
        done = run(PRESSING, PROJECT_ROOT / program, module)
        assert (done.returncode, done.stderr) == (EXIT_INTERRUPTED, f"{INTERRUPTED}\n"), module


def test_ctrl_c_that_was_pressed_before_is_answered_as_soon_as_it_can_be():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT)\n"
    code += "from src.common.leaving import leave_on_interrupt\nleave_on_interrupt()\nprint('on')"
    done = run(code, held=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"{INTERRUPTED}\n")


PROGRAM = """
import os, signal, sys, threading, time
from src.common.leaving import leave_on_interrupt
leave_on_interrupt()
from src.common.errors import run_command
from src.common.signals import StopRequest, uninterrupted

def press(number=signal.SIGINT):
    os.kill(os.getpid(), number)

def main():
    # As MindSpore does while it computes, which a thread of a library may meet, too.
    how = sys.argv[1]
    if how == "import":
        threading.Thread(target=lambda: (time.sleep(0.05), press())).start()
        import src.shards.build
        time.sleep(5)
    elif how == "held":
        with uninterrupted():
            press()
            print("whole", flush=True)
    elif how == "stop":
        with StopRequest("a checkpoint is written") as stop:
            press()
            print("asked", stop.is_made, flush=True)
            press(signal.SIGTERM)
            print("asked", stop.is_made, flush=True)
        return 3
    else:
        signal.signal(signal.SIGINT, lambda *_: press(signal.SIGTERM)) if how == "taken" else None
        press()
    print("went on", flush=True)

run_command(main)
"""


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [("plain", 130, []), ("taken", 130, []), ("held", 130, ["whole"]), ("import", 130, [])],
)
def test_ctrl_c_ends_a_program_with_one_line(how, code, said):
    done = run(PROGRAM, how)
    assert (done.returncode, done.stdout.split()) == (code, said)
    assert done.stderr == f"{INTERRUPTED}\n"


@pytest.mark.parametrize("how", ["plain", "taken", "held"])
def test_where_ctrl_c_was_ignored_it_stays_so(how):
    done = run(PROGRAM, how, ignored=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "went on"


def test_a_training_that_ignores_ctrl_c_stops_by_sigterm():
    done = run(PROGRAM, "stop", ignored=True)
    assert (done.returncode, done.stdout.splitlines()) == (3, ["asked False", "asked True"])


def test_processes_that_are_started_meanwhile_can_be_interrupted_again():
    """The environment of another Python: nothing is held back in what a program starts."""
    code = (
        "from src.common.leaving import leave_on_interrupt; leave_on_interrupt()\n"
        "import subprocess, sys\n"
        "sys.exit(subprocess.run(['sh', '-c', 'kill -INT $$; sleep 5']).returncode != -2)"
    )
    assert run(code, held=True).returncode == 0
