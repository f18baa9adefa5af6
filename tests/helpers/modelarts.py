"""A bucket and a host of ModelArts, and the training processes on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from model_utils.config import Config
from model_utils.environment import PROJECT_ROOT
from model_utils.modelarts import modelarts_job
from tests.helpers.download import files_below

STAND_INS = Path(__file__).parent / "stand_ins"


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files, and the folders they lie in."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def run_job(config: Config, files: dict[str, bytes] | None = None) -> None:
    """Run a job here that writes some checkpoints."""
    with modelarts_job(config) as job:
        write_files(Path(job.config.save_ckpt), files or {})


class Host:
    """A bucket (three folders), the disk of a host, and what moxing was asked for."""

    def __init__(self, root: Path):
        self.bucket, self.cache, self.log = root / "bucket", root / "cache", root / "moxing.log"
        self.settings = {
            "enable_modelarts": True,
            "data_url": str(self.bucket / "data"),
            "checkpoint_url": str(self.bucket / "weights"),
            "train_url": str(self.bucket / "out"),
            "data_path": str(self.cache / "data"),
            "load_path": str(self.cache / "checkpoint_path"),
            "output_path": str(self.cache / "train"),
            "save_ckpt": "/code/ckpt/",
            "save_summary": "/code/summary_test",
            "batch_size": 32,
        }
        self.data = {f"mindrecord/train.mindrecord00{n}": b"%d" % n for n in range(5)}
        write_files(self.bucket / "data", self.data)
        write_files(self.bucket / "weights", {"resnet50.h5": b"weights"})
        self.processes: list[subprocess.Popen] = []

    def config(self, **changes: object) -> Config:
        return Config(**{**self.settings, **changes})

    def calls(self, what: str = "copied") -> list[str]:
        """The copies so far, by their source's or target's name in the bucket."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        copies = [line.split() for line in lines]
        in_bucket = [
            next(url for url in urls if url.startswith(str(self.bucket)))
            for word, *urls in copies
            if word == what
        ]
        return [str(Path(url).relative_to(self.bucket)) for url in in_bucket]

    def start(self, **environment: str) -> Process:
        return Process(self, environment)

    def out(self) -> dict[str, bytes]:
        return files_below(self.bucket / "out")


class Process:
    """A training process, told what to do."""

    def __init__(self, host: Host, environment: dict[str, str]):
        self._popen = subprocess.Popen(
            [sys.executable, str(STAND_INS / "training_process.py"), json.dumps(host.settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": f"{PROJECT_ROOT}{os.pathsep}{STAND_INS}",
                "MOXING_LOG": str(host.log),
                **environment,
            },
        )
        host.processes.append(self._popen)

    def begin(self, command: str) -> None:
        print(command, file=self._popen.stdin, flush=True)

    def wait_until_done(self) -> None:
        line = self._popen.stdout.readline()
        assert line == "done\n", self._popen.stderr.read()

    def do(self, *commands: str) -> None:
        for command in commands:
            self.begin(command)
            self.wait_until_done()

    def wait_for_message(self, part: str) -> None:
        assert any(part in line for line in self._popen.stderr)

    def finish(self, command: str) -> tuple[int, str]:
        """Give the last command; return exit code and standard error."""
        _, errors = self._popen.communicate(command + "\n", timeout=60)
        return self._popen.returncode, errors

    def kill(self) -> None:
        self._popen.kill()
        self._popen.wait()
