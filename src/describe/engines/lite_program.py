"""Describing photos by the C++ inference program: preprocessing → ascend310_infer → postprocessing.

Three processes hand over through pipes. Whoever is slowest holds the others back, and when one ends
the others meet a closed pipe and end too. Nothing is written but the features.
"""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_utils.environment import PROJECT_ROOT
from src.common.atomic_files import PathLike
from src.common.cpus import cpu_count
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.engines.chain_part import ChainPart
from src.describe.level_stream import BrokenStreamError, ResultFrame, read_results
from src.describe.stopwatch import Stopwatch
from src.describe.tasks import PhotoTask
from src.postprocess import PhotoOutputs

LOG = logging.getLogger(__name__)

PROGRAM_FOLDER = PROJECT_ROOT / "ascend310_infer"
PROGRAM = PROGRAM_FOLDER / "out" / "delf_infer"
#: Where users of the 310 scripts look for it, in the current folder.
TIME_FILE = str(Path("time_Result", "test_perform_static.txt"))
_USAGE, _BROKEN_INPUT = 2, 4  # exit codes of the program (inc/errors.h)


@dataclass(frozen=True)
class LiteProgram:
    """The engine that runs the C++ program.

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
        has_attention: whether its scores are those of a trained attention.
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
    has_attention: bool = True
    name: str = "lite"

    def processes(self, devices: Sequence[int]) -> tuple[int, ...]:
        """See `Engine`: on a CPU the program uses all cores by itself."""
        return tuple(devices[:1]) if self.device_target == "CPU" else tuple(devices)

    def outputs(
        self,
        images_path: PathLike,
        tasks: Sequence[PhotoTask],
        config: DelfConfig,
        device_id: int = 0,
        stopwatch: Stopwatch | None = None,
    ) -> Iterator[PhotoOutputs]:
        """See `Engine`. The part "network" is the time waited for the program.

        Raises:
            UserError: a part of the chain failed or was killed; names the photo it was at.
        """
        stopwatch = stopwatch or Stopwatch()
        if not tasks:
            return
        if self.time_file:
            Path(self.time_file).parent.mkdir(parents=True, exist_ok=True)
        with _chain(self, images_path, tasks, config, device_id) as (sender, runner):
            done = 0
            try:
                results = _in_order(read_results(runner.output), tasks)
                while True:
                    with stopwatch.part("network"):  # and all that goes on beside it
                        photo = next(results, None)
                    if photo is None:
                        break
                    done += 1
                    yield photo
            except BrokenStreamError as error:
                at = tasks[done].name if done < len(tasks) else None
                raise UserError(_cause(sender, runner, at, error)) from None
            if runner.wait() or sender.wait():
                raise UserError(_cause(sender, runner, None, None))

    def settings(self) -> dict[str, Any]:
        """See `Engine`."""
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
    if sys.platform != "linux":
        raise UserError(
            "the C++ program is built on Linux only (it needs g++, CMake and the MindSpore Lite "
            "runtime); give --engine=openvino"
        )
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


def _in_order(
    results: Iterator[ResultFrame | None], tasks: Sequence[PhotoTask]
) -> Iterator[PhotoOutputs]:
    """Pass on the frames; raise `BrokenStreamError` unless they are those of the tasks."""
    next(results)  # the program has loaded the model
    for task in tasks:
        frame = next(results, None)
        if frame is None or frame.name != task.name:
            found = "the end" if frame is None else frame.name
            raise BrokenStreamError(f"the program answered with {found} instead of {task.name}")
        context = frame.context
        if frame.outputs is None:
            yield PhotoOutputs.unreadable(frame.name, context["reason"])
        else:
            size = context["height"], context["width"]
            origin, whole = tuple(context["origin"]), tuple(context["photo"])
            yield PhotoOutputs(frame.name, frame.outputs, size, origin, photo_size=whole)
    if next(results, None) is not None:
        raise BrokenStreamError("the program answered more than it was asked")


@contextlib.contextmanager
def _chain(
    program: LiteProgram,
    images_path: PathLike,
    tasks: Sequence[PhotoTask],
    config: DelfConfig,
    device_id: int,
) -> Iterator[tuple[ChainPart, ChainPart]]:
    """Start the two other processes; none is left behind."""
    command = [
        program.program,
        f"--model={program.model}",
        f"--device_target={program.device_target}",
        f"--device_id={device_id}",
        f"--config={program.config}",
        f"--precision={program.precision}",
        f"--threads={program.threads or cpu_count()}",
        f"--time_file={program.time_file}",
    ]
    sender = ChainPart("preprocessing", _sender_command(images_path, config), subprocess.PIPE)
    parts = [sender]
    try:
        try:
            runner = ChainPart("the inference program", command, sender.output)
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


def _cause(
    sender: ChainPart, runner: ChainPart, at: str | None, error: BrokenStreamError | None
) -> str:
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
