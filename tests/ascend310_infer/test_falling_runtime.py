"""Whatever a model makes of the runtime ends with one line and exit code 2."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.engines.lite_program import PROGRAM, PROGRAM_FOLDER, LiteProgram, build_program
from src.describe.tasks import list_tasks
from tests.helpers.infer import run_program, write_photos

# Stands in for delf_network: does what the model's name says, where it says.
STAND_IN = """
#include <sys/resource.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
#include "inc/watch.h"

int main(int, char **argv) {
  const std::string model = argv[1];
  const auto asks = [&model](const char *what) { return model.find(what) != std::string::npos; };
  rlimit cores;
  getrlimit(RLIMIT_CORE, &cores);
  if (cores.rlim_max != 0) { return 9; }
  delf::Watch().Enter(delf::Phase::kLoading);
  if (asks("photo")) {
    delf::Watch().Enter(delf::Phase::kWaiting);
    delf::Watch().Compute("notre dame");
  }
  if (asks("waiting")) { delf::Watch().Enter(delf::Phase::kWaiting); sleep(3); }
  if (asks("hang")) { pause(); }
  if (asks("memory")) {
    std::vector<char *> taken;
    while (true) {
      taken.push_back(static_cast<char *>(malloc(1 << 20)));
      memset(taken.back(), 1, 1 << 20);
      usleep(100);
    }
  }
  if (asks("abort")) { abort(); }
  if (asks("crash")) { raise(SIGSEGV); }
  if (asks("divide")) { raise(SIGFPE); }
  if (asks("killed")) { raise(SIGKILL); }
  if (asks("exit")) { exit(asks("zero") ? 0 : 255); }
  delf::Watch().Enter(delf::Phase::kEnded);
  return 4;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program with the stand-in beside it."""
    build_program()
    folder = tmp_path_factory.mktemp("stand_in")
    shutil.copy(PROGRAM, folder)
    command = [os.environ.get("CXX", "g++"), "-std=c++17", f"-I{PROGRAM_FOLDER}", "-x", "c++", "-"]
    command += [str(PROGRAM_FOLDER / "src" / "watch.cc"), "-o", str(folder / "delf_network")]
    subprocess.run(command, input=STAND_IN, text=True, check=True)
    return folder / PROGRAM.name


ENDS = {
    "crash": "crashed (Segmentation fault)",
    "abort": "crashed (Aborted)",
    "divide": "crashed (Floating point exception)",
    "exit": "ended without a word",
    "exit-zero": "ended without a word",
    "hang": "did not answer within 1 s",
    "memory": "took more than 64 MB of memory",
}


@pytest.mark.parametrize("when", ["loading", "photo"])
@pytest.mark.parametrize("end", ENDS)
def test_a_fall_is_one_line_with_the_model(program, end, when):
    model = f"models/{end}-{when}.mindir"
    limits = [f"--patience={1 if end == 'hang' else 60}", "--memory_mb=64"]
    done = run_program(f"--model={model}", *limits, program=program)
    at = " at photo notre dame" if when == "photo" else ""
    assert done.stderr.decode() == (
        f"error: the runtime {ENDS[end]} with the model {model}{at}; if the model is damaged or of "
        "another release, export it again with export.py\n"
    )
    assert (done.returncode, done.stdout) == (2, b"")


def test_waiting_for_a_photo_is_no_silence(program):
    done = run_program("--model=waiting", "--patience=1", program=program)
    assert (done.returncode, done.stderr) == (4, b"")  # its own end, its own last word


def test_whoever_kills_it_is_no_crash(program):
    assert run_program("--model=killed", program=program).returncode == -9


def test_a_program_without_its_other_half_says_so(program, tmp_path):
    alone = Path(shutil.copy(program, tmp_path))
    done = run_program("--model=m", program=alone)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert "delf_network" in line and "build.sh" in line


@pytest.mark.parametrize("end", ["crash-loading", "abort-photo"])
def test_the_engine_ends_with_that_line(program, tmp_path, end):
    write_photos(tmp_path / "photos")
    tasks = list_tasks(tmp_path / "photos")
    engine = LiteProgram(end, "0" * 12, (1, 3, -1, -1), program=str(program))
    with pytest.raises(UserError) as caught:
        list(engine.outputs(tmp_path / "photos", tasks, DelfConfig(max_level_side=96)))
    assert str(caught.value).startswith("the runtime crashed (") and end in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_no_pipe_nor_folder_nor_device_is_a_model(tmp_path):
    build_program()
    pipe = tmp_path / "pipe.mindir"
    os.mkfifo(pipe)
    for model in (pipe, tmp_path, "/dev/zero", tmp_path / "none"):
        done = run_program(f"--model={model}")
        assert done.returncode == 2
        assert done.stderr.decode() == f"error: the model {model} cannot be read\n"
