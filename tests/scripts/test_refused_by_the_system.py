"""What the operating system refuses ends every program with one line: which file, and why."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_utils.environment import PROJECT_ROOT
from tests.helpers.faults import read_only, small_disk
from tests.helpers.features import features_of, write_features_folder
from tests.helpers.files import digests

METRICS = "".join(f'{{"step": {step}, "loss": {1 / step}}}\n' for step in range(1, 9))
#: Of each program what it writes, in tens of kilobytes: a folder, or a file of this suffix.
PROGRAMS = {
    "curve.py": ("src/training/curve.py", "--metrics={data}/train_attn.jsonl", "--output={out}"),
    "delf_files.py": ("src/describe/delf_files.py", "--features={data}/feat", "--to_delf={out}"),
    "index": ("src/build_feature_dataset.py", "--features_path={data}/feat", "--index_path={out}"),
    "sample_world": ("sample_world/__main__.py", "--output_directory={out}", "--seed=3"),
    "oxford": (
        "src/downloads/data_sets.py",
        "oxford",
        "{out}",
        "--base_url=http://nowhere.invalid",
    ),
}
SUFFIX = {"curve.py": ".png"}
RENDERED = (
    *("--train_landmarks=2", "--train_photos=2", "--retrieval_landmarks=2", "--retrieval_photos=4"),
    *("--queries=1", "--distractors=1", "--width=160", "--height=120", "--num_workers=2"),
)
WITHOUT_RIGHTS = ("setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """What the programs read."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "train_attn.jsonl").write_text(METRICS)
    rng = np.random.default_rng(0)
    photos = {
        name: features_of(rng.uniform(0, 99, (300, 2)), rng.normal(size=(300, 40)))
        for name in ("a", "b")
    }
    write_features_folder(folder / "feat", photos)
    return folder


@contextlib.contextmanager
def arranged(fault: str, folder: Path, suffix: str):
    """Yield (the output to name, what to put before the command) so that it is refused."""
    out = folder / f"out{suffix}"
    with contextlib.ExitStack() as stack:
        before: tuple[str, ...] = ()
        if fault == "a file above it":
            (folder / "file").write_text("mine")
            out = folder / "file" / out.name
        elif fault == "the wrong kind":
            out.mkdir() if suffix else out.write_text("mine")
        elif fault == "a long name":
            out = folder / f"{'n' * 300}{suffix}"
        elif fault == "a read-only disk":
            stack.enter_context(read_only(folder))
        elif fault == "a full disk":
            stack.enter_context(small_disk(folder, 8192))
        elif fault == "a file-size limit":
            before = ("bash", "-c", 'ulimit -f 4; exec "$@"', "-")
        else:
            folder.chmod(0o555)
            if os.geteuid() == 0:
                before = WITHOUT_RIGHTS
        yield out, before


FAULTS = {
    "a file above it": ("Not a directory", "File exists"),
    "the wrong kind": ("Is a directory", "File exists", "is there already", "is a file"),
    "a long name": ("File name too long",),
    "a read-only disk": ("Read-only file system",),
    "a full disk": ("the disk is full",),
    "a file-size limit": ("File too large",),
    "no rights": ("Permission denied",),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_one_line_names_the_file_and_the_reason(program, fault, data, tmp_path):
    if program == "oxford" and fault in ("a full disk", "a file-size limit"):
        pytest.skip("it fetches nothing here")
    if fault == "no rights" and os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("root has all rights")
    (folder := tmp_path / "f").mkdir()
    with arranged(fault, folder, SUFFIX.get(program, "")) as (out, before):
        path, *options = (part.format(data=data, out=out) for part in PROGRAMS[program])
        command = [*before, sys.executable, str(PROJECT_ROOT / path), *options]
        command += RENDERED if program == "sample_world" else ()
        there = digests(folder) if fault == "the wrong kind" else {}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
        assert (digests(folder) if fault == "the wrong kind" else {}) == there
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "INFO" not in line]
    assert line.startswith("error: ") and str(folder) in line, line
    assert any(reason in line for reason in FAULTS[fault]), line


def scripts_in(folder: Path) -> Path:
    """Copy what `setup.sh` needs."""
    shutil.copytree(PROJECT_ROOT / "scripts", folder / "scripts")
    for path in PROJECT_ROOT.glob("requirements*.txt"):
        shutil.copy(path, folder)
    return folder / "scripts" / "setup.sh"


def set_up(script: Path) -> str:
    done = subprocess.run(
        ["bash", str(script)],
        capture_output=True,
        text=True,
        env={**os.environ, "DELF_PYTHON": sys.executable},
        timeout=300,
    )
    assert done.returncode == 2 and not done.stdout, done.stderr
    *said, line = done.stderr.splitlines()
    assert line.startswith("error: ") and str(script.parents[1]) in line, done.stderr
    assert all(line.startswith("Making a virtual environment") for line in said), done.stderr
    return line


def test_setup_says_what_is_refused(tmp_path):
    (folder := tmp_path / "project").mkdir()
    script = scripts_in(folder)
    (folder / ".venv").write_text("mine")
    assert "is a file; move it away" in set_up(script)
    assert (folder / ".venv").read_text() == "mine"
    (folder / ".venv.lock").unlink(missing_ok=True)
    (folder / ".venv.lock").symlink_to(folder / "requirements.txt")
    before = (folder / "requirements.txt").read_bytes()
    assert "symbolic link" in set_up(script)
    assert (folder / "requirements.txt").read_bytes() == before


def test_setup_on_a_disk_that_takes_nothing(tmp_path):
    (folder := tmp_path / "project").mkdir()
    scripts_in(folder)
    with read_only(folder):
        assert "Read-only file system" in set_up(folder / "scripts" / "setup.sh")
    with small_disk(folder, 300_000):
        assert "No space left on device" in set_up(scripts_in(folder))


@pytest.mark.parametrize("at", ["file", "file/logs", "logs"])
def test_the_logs_of_a_training_cannot_be_written(checkout, tmp_path, at):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "logs" / "train_tuning.log").mkdir(parents=True)
    done = checkout.run(
        "run_1p_train.sh", "tuning", environment={"DELF_LOG_ROOT": str(tmp_path / at)}
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and str(tmp_path / at) in line
    assert (tmp_path / "file").read_text() == "mine"
