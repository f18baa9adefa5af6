"""Standard output belongs to the results, whatever the libraries of a runtime print there."""

import shutil
import subprocess

import pytest

from src.describe.engines.lite_program import PROGRAM, build_program
from tests.helpers.infer import QUIET, answer, photo_frame, run_program, stream_of, textured

# Prints as CANN does: while it is loaded, from a thread of its own, and at the end.
TALKER = """
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void say(const char *what) { printf("[CANN] %s\\n", what); fflush(stdout); }
static void *chat(void *unused) { for (;;) { say("busy"); usleep(500); } return unused; }
__attribute__((constructor)) static void begin(void) {
  pthread_t thread;
  say("begin");
  pthread_create(&thread, 0, chat, 0);
}
__attribute__((destructor)) static void end(void) { say("end"); }
"""


@pytest.fixture(scope="module")
def talker(tmp_path_factory):
    """A library that prints to standard output."""
    build_program()
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("talker") / "talker.so"
    command = [compiler, "-x", "c", "-", "-shared", "-fPIC", "-pthread", "-o", str(library)]
    subprocess.run(command, input=TALKER, text=True, check=True)
    return {**QUIET, "LD_PRELOAD": str(library)}


def test_what_libraries_print_goes_to_standard_error(any_size_mindir, talker):
    stream = stream_of(*(photo_frame(str(i), textured(70, 90, i)) for i in range(4)))
    quiet = run_program(f"--model={any_size_mindir}", stream=stream)
    done = run_program(f"--model={any_size_mindir}", stream=stream, env=talker)
    assert done.returncode == 0
    assert [name for _, name, _ in answer(done.stdout)] == ["0", "1", "2", "3"]
    assert done.stdout == quiet.stdout
    said = done.stderr.decode().splitlines()
    assert {"[CANN] begin", "[CANN] busy", "[CANN] end"} <= set(said)
    usage = run_program("--help", env=talker)
    assert usage.stdout.startswith(b"usage: delf_infer") and b"CANN" not in usage.stdout


@pytest.mark.parametrize("option", ["--model={}", "--help"])
def test_without_standard_output_it_ends_with_one_line(any_size_mindir, talker, option):
    command = f'exec "$0" {option.format(any_size_mindir)} >&-'
    done = subprocess.run(
        ["sh", "-c", command, str(PROGRAM)], input=stream_of(), capture_output=True, env=QUIET
    )
    assert done.returncode == 5
    (line,) = done.stderr.decode().splitlines()
    assert line == "error: the results cannot be written: Bad file descriptor"


def test_nobody_needs_to_listen_to_standard_error(any_size_mindir, talker):
    command = 'exec env LD_PRELOAD="$2" "$0" --model="$1" 2>&-'
    done = subprocess.run(
        ["sh", "-c", command, str(PROGRAM), str(any_size_mindir), talker["LD_PRELOAD"]],
        input=stream_of(photo_frame("p", textured(40, 40))),
        stdout=subprocess.PIPE,
        env=QUIET,
    )
    assert done.returncode == 0
    assert len(answer(done.stdout)) == 1
