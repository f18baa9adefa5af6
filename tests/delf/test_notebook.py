"""The notebook for a new user runs from a fresh folder, and shows what it says it shows."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys

import nbformat
import numpy as np
import psutil
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from PIL import Image

from model_utils.environment import PROJECT_ROOT
from src.downloads.weights import WEIGHTS_NAME

NOTEBOOK = PROJECT_ROOT / "docs" / "notebooks" / "first_steps.ipynb"
PICTURES = ("features", "attention", "matches", "results", "precision_recall", "training")
QUERY = "clocktower_000000"


class KernelOfThisPython(AsyncKernelManager):
    """A kernel that needs no kernel specification to be installed."""

    def format_kernel_cmd(self, extra_arguments=None):
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", self.connection_file]
        return [*command, *(extra_arguments or [])]


@pytest.fixture(scope="module")
def weights():
    """The ImageNet weights in the clone, fetched where they are not there yet."""
    path = PROJECT_ROOT / WEIGHTS_NAME
    if not path.exists():
        program = PROJECT_ROOT / "src" / "downloads" / "pretrained.py"
        command = [sys.executable, str(program), "--weights_only", f"--output={path}"]
        made = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if made.returncode:
            said = f"the ImageNet weights could not be had: {made.stderr[-300:]}"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(said)


@pytest.fixture(scope="module")
def executed(weights, tmp_path_factory):
    """The notebook with its outputs, and the folder that it wrote into."""
    work = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=900,
        allow_errors=True,
        kernel_manager_class=KernelOfThisPython,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    client.execute(env={**os.environ, "DELF_NOTEBOOK_WORK": str(work)})
    left = [child.cmdline() for child in psutil.Process().children(recursive=True)]
    assert not [command for command in left if "ipykernel_launcher" in command]
    for checkpoint in (work / "ckpt").glob("*.ckpt"):  # 400 MB that nobody looks at
        checkpoint.unlink()
    return notebook, work


def cell(notebook, tag):
    (found,) = [c for c in notebook.cells if tag in c.metadata.get("tags", ())]
    return found


@pytest.mark.slow
def test_no_cell_fails_and_all_is_written_into_its_folder(executed):
    notebook, work = executed
    outputs = [output for c in notebook.cells if c.cell_type == "code" for output in c.outputs]
    failed = [output.traceback for output in outputs if output.output_type == "error"]
    assert not failed, "\n".join(failed[0])
    written = {path.name for path in work.iterdir()}
    assert {"world", "search", "evaluation", "mAP.txt", "shards", "ckpt"} <= written


@pytest.mark.slow
@pytest.mark.parametrize("tag", PICTURES)
def test_every_kind_of_picture_is_shown(executed, tag):
    shown = [output.get("data", {}) for output in cell(executed[0], tag).outputs]
    pictures = [
        data[kind] for data in shown for kind in ("image/png", "image/jpeg") if kind in data
    ]
    assert len(pictures) == 1
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[0]))).convert("RGB"))
    assert min(pixels.shape[:2]) >= 200
    assert pixels.std() > 10 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50  # not blank


@pytest.mark.slow
def test_the_querys_own_landmark_comes_first(executed):
    notebook, work = executed
    printed = "".join(o.text for o in cell(notebook, "results").outputs if "text" in o)
    hits = re.findall(r"^(\d+)\. (\w+): (\d+)%, ", printed, re.M)
    assert [int(rank) for rank, _, _ in hits] == list(range(1, len(hits) + 1))
    truth = {
        name: set((work / "world/retrieval/gt" / f"clocktower_1_{name}.txt").read_text().split())
        for name in ("good", "ok", "junk")
    }
    assert QUERY in truth["good"]
    positives = (truth["good"] | truth["ok"]) - {QUERY}
    ranked = [name for _, name, _ in hits if name not in truth["junk"]]
    assert len(positives) == 3 and set(ranked[:3]) == positives
    confidence = {name: int(percent) for _, name, percent in hits}
    assert max(confidence, key=confidence.get) in positives


def test_it_is_kept_without_outputs_and_without_places_of_a_machine():
    text = NOTEBOOK.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    for found in notebook.cells:
        if found.cell_type == "code":
            assert not found.outputs and found.execution_count is None
    assert not re.search(r"[\"'(\s](/(home|root|tmp|work|Users)/|[A-Z]:\\)", text)
