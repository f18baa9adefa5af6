"""Another process beside the test's own, that says where it stands: for locks."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

from model_utils.environment import PROJECT_ROOT


class OtherProcess:
    """Context in which another process runs a program; it is killed at the end.

    The program finds `sys`, `Path` and the project's packages, and its arguments in `sys.argv`.
    """

    def __init__(self, program: str, *arguments: object):
        self.killed = False
        head = "import sys\nfrom pathlib import Path\n"
        self._process = subprocess.Popen(
            [sys.executable, "-c", head + textwrap.dedent(program), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=PROJECT_ROOT,
            text=True,
        )

    @classmethod
    def holding(cls, lock: str, *arguments: object) -> OtherProcess:
        """Start a process that holds a lock, and return when it does.

        Args:
            lock: an import of what makes the lock, and the call of it, on two lines.
            arguments: what the call finds in `sys.argv`, from 1.
        """
        imports, call = lock.strip().split("\n")
        other = cls(
            f"{imports}\nwith {call}: print('held', flush=True); sys.stdin.read()", *arguments
        )
        other.says("held")
        return other

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def says(self, line: str) -> None:
        """Wait for the next line of its output, which must be this one."""
        said = self.line()
        assert said == line, said or self._process.stderr.read()

    def line(self) -> str:
        """Wait for the next line of its output and return it."""
        return self._process.stdout.readline().rstrip("\n")

    def finish(self) -> tuple[int, str]:
        """Close its input, wait for its end, and return its exit code and error output."""
        errors = self._process.communicate(timeout=60)[1]
        return self._process.returncode, errors

    def kill(self) -> None:
        """End it without a chance to clean up."""
        self.killed = True
        self._process.kill()
        self._process.wait()

    def kill_soon(self, seconds: float = 0.4) -> None:
        """End it in a moment, while the test waits for what it holds; `killed` tells whether."""
        timer = threading.Timer(seconds, self.kill)
        timer.daemon = True
        timer.start()

    def __enter__(self) -> OtherProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            pipe.close()
