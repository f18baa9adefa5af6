"""What a process of the chain says on its way."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np

from model_utils.environment import PROJECT_ROOT
from src.describe.engines.chain_part import ChainPart


def test_what_preprocessing_had_to_guess_is_logged(tmp_path, caplog):
    """Its standard error is read for its last words, and would be lost otherwise."""
    cv2.imwrite(str(tmp_path / "a.png"), np.full((64, 64), 1000, np.uint16))
    command = [sys.executable, str(PROJECT_ROOT / "src" / "preprocess.py")]
    part = ChainPart("it", [*command, f"--images_path={tmp_path}"], subprocess.DEVNULL)
    try:
        assert part.output.read()
        assert part.wait() == 0
        part.reason()  # waits for all that it says
    finally:
        part.end()
    (record,) = caplog.records
    assert record.getMessage().startswith(f"image {tmp_path}/a.png: no tag tells black and white")
