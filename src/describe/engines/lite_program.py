"""Describing photos by the C++ inference program: preprocessing → ascend310_infer → postprocessing.

Three processes hand over through pipes. Whoever is slowest holds the others back, and when one ends
the others meet a closed pipe and end too. Nothing is written but the features.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Callable

from model_utils.environment import PROJECT_ROOT
from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.level_stream import BrokenStreamError, ResultFrame, read_results
from src.describe.pca import Pca
from src.describe.tasks import PhotoTask
from src.postprocess import Described, receive_features

LOG = logging.getLogger(__name__)

PROGRAM_FOLDER = PROJECT_ROOT / "ascend310_infer"
PROGRAM = PROGRAM_FOLDER / "out" / "delf_infer"
#: Where users of the 310 scripts look for it, in the current folder.
TIME_FILE = str(Path("time_Result", "test_perform_static.txt"))
_USAGE, _BROKEN_INPUT = 2, 4  # exit codes of the program (inc/errors.h)
_PIPE_BYTES = 1 << 20
_PATIENCE = 10.0  # seconds for the other processes to end by themselves


@dataclass(frozen=True)
class InferProgram:
    """How the program is run.

    Attributes:
        model: the MindIR.
        fingerprint: identifies its weights, see `network_weights.fingerprint`.
        input_shape: [N, 3, H, W] of its input; -1 for any.
        device_target: "CPU" or "Ascend".
        config: MindSpore Lite configuration file; "" for none.
        precision: Ascend's precision mode; "" for the runtime's default.
        threads: on CPU; 0 for all cores.
        time_file: where it writes the mean time a photo took; "" for nowhere.
        program: the executable.
    """

    model: str
    fingerprint: str
    input_shape: tuple[int, ...]
    device_target: str = "CPU"
    config: str = ""
    precision: str = ""
    threads: int = 0
    time_file: str = ""
    program: str = str(PROGRAM)

    def settings(self) -> dict[str, object]:
        """Return what the features depend on besides the weights, as JSON values."""
        config = Path(self.config).read_text(encoding="utf-8") if self.config else ""
        return {
            "name": "MindSpore Lite",
            "device": self.device_target,
            "input": list(self.input_shape),
            "precision": self.precision,
            "config": config,
        }


def build_program() -> None:
    """Build the program where that has not been done; the first time fetches the runtime.

    Raises:
        UserError: it cannot be built; the line is the build's own.
    """
    done = subprocess.run(
        ["bash", str(PROGRAM_FOLDER / "build.sh")],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    for line in lines[: -1 if done.returncode else None]:
        LOG.info("%s", line)
    if done.returncode:
        reason = lines[-1] if lines else f"build.sh ended with exit code {done.returncode}"
        raise UserError(reason.removeprefix("error: "))


def describe_by_program(
    program: InferProgram,
    images_path: PathLike,
    tasks: Sequence[PhotoTask],
    config: DelfConfig,
    pca: Pca | None = None,
    device_id: int = 0,
    when_ready: Callable[[], None] = lambda: None,
) -> Iterator[Described]:
    """Yield the features of photos, in order, while the next ones are under way.

    Args:
        program: what to run.
        images_path: folder of the photos.
        tasks: the photos.
        config: the settings.
        pca: the projection, where `config.use_pca` is set.
        device_id: which Ascend.
        when_ready: called when the program has loaded the model.

    Raises:
        UserError: a part of the chain failed or was killed; names the photo it was at.
    """
    if program.time_file:
        Path(program.time_file).parent.mkdir(parents=True, exist_ok=True)
    with _chain(program, images_path, tasks, config, device_id) as (sender, runner):
        done = 0
        try:
            results = read_results(runner.output)
            next(results)
            when_ready()
            for described in receive_features(_in_order(results, tasks), config, pca):
                done += 1
                yield described
        except BrokenStreamError as error:
            at = tasks[done].name if done < len(tasks) else None
            raise UserError(_cause(sender, runner, at, error)) from None
        if runner.wait() or sender.wait():
            raise UserError(_cause(sender, runner, None, None))


def _in_order(
    results: Iterator[ResultFrame | None], tasks: Sequence[PhotoTask]
) -> Iterator[ResultFrame]:
    """Pass on the frames; raise `BrokenStreamError` unless they are those of the tasks."""
    for task in tasks:
        frame = next(results, None)
        if frame is None or frame.name != task.name:
            found = "the end" if frame is None else frame.name
            raise BrokenStreamError(f"the program answered with {found} instead of {task.name}")
        yield frame
    if next(results, None) is not None:
        raise BrokenStreamError("the program answered more than it was asked")


class _Part:
    """A process of the chain, and the last lines it said."""

    def __init__(self, what: str, command: Sequence[str], stdin: IO[bytes] | int):
        self.what = what
        # Away from the terminal's Ctrl-C: whoever started the chain ends it.
        self._process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={"GLOG_v": "3", **os.environ},
        )
        self._said: deque[str] = deque(maxlen=20)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._widen(self._process.stdout)

    @property
    def output(self) -> IO[bytes]:
        """What it writes."""
        return self._process.stdout

    @property
    def input(self) -> IO[bytes]:
        """What it reads, where that is a pipe of ours."""
        return self._process.stdin

    def wait(self, seconds: float | None = _PATIENCE) -> int | None:
        """Return its exit code once it has ended, None when it does not end in time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode

    def reason(self) -> str:
        """Say how it ended: its own line where it left one."""
        self._listener.join(1.0)
        code = self._process.returncode
        if code is not None and code < 0:
            how = signal.Signals(-code).name
            memory = ", perhaps for lack of memory" if -code == signal.SIGKILL else ""
            return f"{self.what} was ended by {how}{memory}"
        for line in reversed(self._said):
            if line.startswith("error: "):
                return line[len("error: ") :]
        return f"{self.what} ended with exit code {code}{self._last_words()}"

    def end(self) -> None:
        """End it if it runs, and let go of its pipes."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._listener.join(1.0)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _listen(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stderr:
                self._said.append(line.decode(errors="replace").rstrip())

    def _last_words(self) -> str:
        return f" ({self._said[-1]})" if self._said else ""

    @staticmethod
    def _widen(pipe: IO[bytes]) -> None:
        """Let a pipe hold a level at a time where the system allows it."""
        with contextlib.suppress(ImportError, AttributeError, OSError):
            import fcntl

            fcntl.fcntl(pipe, getattr(fcntl, "F_SETPIPE_SZ", 1031), _PIPE_BYTES)  # 3.9: no name


@contextlib.contextmanager
def _chain(
    program: InferProgram,
    images_path: PathLike,
    tasks: Sequence[PhotoTask],
    config: DelfConfig,
    device_id: int,
) -> Iterator[tuple[_Part, _Part]]:
    """Start the two other processes; none is left behind."""
    command = [
        program.program,
        f"--model={program.model}",
        f"--device_target={program.device_target}",
        f"--device_id={device_id}",
        f"--config={program.config}",
        f"--precision={program.precision}",
        f"--threads={program.threads}",
        f"--time_file={program.time_file}",
    ]
    sender = _Part("preprocessing", _sender_command(images_path, config), subprocess.PIPE)
    parts = [sender]
    try:
        try:
            runner = _Part("the inference program", command, sender.output)
        except OSError as error:
            raise UserError(
                f"the inference program {program.program} cannot be started ({error.strerror}); "
                "build it with `bash ascend310_infer/build.sh`"
            ) from None
        parts.append(runner)
        sender.output.close()  # the runner has it: it alone must keep the sender going
        with contextlib.suppress(BrokenPipeError):
            sender.input.write(json.dumps(tasks).encode())
            sender.input.close()
        yield sender, runner
    finally:
        for part in parts:
            part.end()


def _sender_command(images_path: PathLike, config: DelfConfig) -> list[str]:
    command = [sys.executable, str(PROJECT_ROOT / "src" / "preprocess.py"), "--tasks_from_stdin"]
    command += ["--images_path", str(images_path)]
    command += ["--image_scales", *map(repr, config.image_scales)]
    for name in ("max_level_side", "min_level_side"):
        command += [f"--{name}", str(getattr(config, name))]
    return command


def _cause(sender: _Part, runner: _Part, at: str | None, error: BrokenStreamError | None) -> str:
    """Say in one line which part failed first, how, and at which photo."""
    runner_code, sender_code = runner.wait(), sender.wait(1.0)
    starved = runner_code == _BROKEN_INPUT and sender_code is not None
    if starved or (not runner_code and sender_code):
        reason = sender.reason()
    elif runner_code:
        reason = runner.reason()
    else:
        reason = str(error)
    if runner_code == _USAGE:  # the model, the device: nothing that a second run mends
        return reason
    where = "" if at is None or at in reason else f" at photo {at}"
    return f"{reason}{where}; what was complete is kept, run the same command again"
