"""The weights for inference are the checkpoint, for whoever describes photos with it."""

import subprocess
import sys

import numpy as np
import pytest

from model_utils.environment import PROJECT_ROOT
from src.network.feature_weights import read_feature_weights
from src.network.weight_files import read_checkpoint, write_checkpoint
from src.network.weights import fingerprint

SCRIPT = PROJECT_ROOT / "src" / "network" / "inference_weights.py"


def run(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_what_describes_the_same_is_left(attention_checkpoint, tmp_path):
    output = tmp_path / "weights.ckpt"
    result = run("--checkpoint", attention_checkpoint, "--output", output)
    assert result.returncode == 0, result.stderr
    whole, kept = (read_checkpoint(path) for path in (attention_checkpoint, output))
    assert kept.keys() == {name for name in whole if not name.startswith("classifier.")}
    assert len(kept) == len(whole) - 2
    ours, theirs = (read_feature_weights(path) for path in (output, attention_checkpoint))
    assert fingerprint(ours) == fingerprint(theirs)


@pytest.mark.parametrize(
    ("checkpoint", "output", "message"),
    [
        ("none.ckpt", "w.ckpt", "none.ckpt does not exist"),
        ("other.ckpt", "w.ckpt", "other.ckpt holds no weights of this network"),
        ("other.ckpt", "w.h5", "a checkpoint ends in .ckpt"),
    ],
)
def test_mistakes_are_one_line(cpu, tmp_path, checkpoint, output, message):
    write_checkpoint(tmp_path / "other.ckpt", {"w": np.zeros(3, np.float32)})
    result = run("--checkpoint", tmp_path / checkpoint, "--output", tmp_path / output)
    assert result.returncode == 2
    assert message in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / output).exists()
