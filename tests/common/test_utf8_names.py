"""The bytes of a name mean the same photo in every environment."""

import os
import subprocess
import sys

from model_utils.environment import PROJECT_ROOT

PROGRAM = """
import os, sys
from src.common.errors import UserError, run_command

def main():
    print(ascii(sys.argv[1:]), ascii(sorted(os.listdir(sys.argv[1]))))
    raise UserError("no \\u0141\\xf3d\\u017a here")

run_command(main)
"""


def run(folder, **environment):
    command = [sys.executable, "-c", PROGRAM, str(folder), "Łódź"]
    return subprocess.run(
        [os.fsencode(word) for word in command],
        cwd=PROJECT_ROOT,
        env={**os.environ, **environment},
        capture_output=True,
    )


def test_names_are_utf8_where_the_environment_is_not(tmp_path):
    (tmp_path / "Łódź.jpg").write_bytes(b"")
    as_usual = run(tmp_path, PYTHONUTF8="1")
    elsewhere = run(tmp_path, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", LC_ALL="C")
    assert ascii("Łódź.jpg").encode() in as_usual.stdout
    assert elsewhere.stdout == as_usual.stdout
    assert as_usual.stderr == "error: no Łódź here\n".encode()
    # What the terminal has no letters for is an escape, not a traceback.
    assert elsewhere.stderr == b"error: no \\u0141\\xf3d\\u017a here\n"
    assert (as_usual.returncode, elsewhere.returncode) == (2, 2)
