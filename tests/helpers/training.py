"""A few small photos to train on with the real network, and how train.py is run on them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from model_utils.config import load_config
from model_utils.environment import PROJECT_ROOT
from src.shards.build import BuildSettings, build_image_dataset
from src.training.settings import TrainingSettings
from tests.helpers.processes import hear_ctrl_c
from tests.helpers.weights import keras_resnet50, write_keras_h5

CLASSES, PHOTOS = 3, 6


def make_training_data(folder: Path) -> Path:
    """Shards of three classes told apart by colour: 12 photos to train, 6 to validate."""
    generator = np.random.default_rng(0)
    rows = ["landmark_id,images"]
    for label in range(CLASSES):
        names = []
        for number in range(PHOTOS):
            name = f"{label}{number:x}".ljust(16, "0")
            photo = generator.integers(0, 60, (48, 64, 3), dtype=np.uint8)
            photo[..., label] += 150
            path = folder / "train" / name[0] / name[1] / name[2] / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), photo)
            names.append(name)
        rows.append(f"{10 * label},{' '.join(names)}")
    (folder / "train_clean.csv").write_text("\n".join(rows) + "\n")
    settings = BuildSettings(
        folder / "train_clean.csv",
        folder / "train",
        folder / "mindrecord",
        validation_split_size=1 / 3,
        num_workers=1,
    )
    build_image_dataset(settings)
    write_keras_h5(folder / "imagenet.h5", keras_resnet50())
    return folder


def options(data: Path, folder: Path, **changes: object) -> list[str]:
    """Return the command line of a short training into a folder."""
    values = {
        "traindata_path": data / "mindrecord" / "train.mindrecord000",
        "imagenet_checkpoint": data / "imagenet.h5",
        "save_ckpt": folder / "ckpt",
        "save_summary": folder / "summary",
        "batch_size": 4,
        "image_size": 33,
        "max_iters": 7,
        "log_step": 2,
        "save_ckpt_step": 2,
        "keep_checkpoint_max": 2,
        "validate_step": 4,
        "initial_lr": 0.01,
        "device_target": "CPU",
        **changes,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def settings_of(data: Path, folder: Path, **changes: object) -> TrainingSettings:
    """Return what train.py reads of that command line."""
    return TrainingSettings.from_config(load_config(options(data, folder, **changes)))


def start(*arguments: str, **environment: str) -> subprocess.Popen:
    """Start train.py with its output in pipes, and some environment of its own."""
    return subprocess.Popen(
        [sys.executable, str(PROJECT_ROOT / "train.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        preexec_fn=hear_ctrl_c,
    )


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run train.py to its end."""
    process = start(*arguments, **environment)
    stdout, stderr = process.communicate(timeout=600)
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def losses(log: str) -> list[tuple[int, int, float]]:
    """Return epoch, step and loss of each line of a log that holds a loss."""
    found = re.findall(r"^epoch: (\d+) step: (\d+), loss is ([\d.e-]+)$", log, re.M)
    return [(int(epoch), int(step), float(loss)) for epoch, step, loss in found]
