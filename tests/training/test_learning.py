"""Training learns: on real photos it comes near to a linear classifier of the same features."""

from __future__ import annotations

import csv

import cv2
import mindspore as ms
import numpy as np
import pytest

from model_utils.environment import PROJECT_ROOT
from src.delf_model import ResNet50
from src.network.weight_files import read_weights
from src.network.weights import load_weights
from src.shards.build import BuildSettings, build_image_dataset
from src.training.loop import train
from tests.helpers.landmarks import Landmarks
from tests.helpers.training import settings_of

PHOTOS = PROJECT_ROOT.parent / "shared" / "data" / "gldv2_mini" / "train"
WEIGHTS = PROJECT_ROOT / ".cache" / "resnet50_imagenet_with_top.h5"
LANDMARKS, OF_EACH, SIZE = 5, 40, 97

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PHOTOS.is_dir(), reason="the shared photos are not beside the project"),
    pytest.mark.skipif(not WEIGHTS.is_file(), reason="the ImageNet weights have not been fetched"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shards of a few landmarks, a quarter of their photos for validation."""
    folder = tmp_path_factory.mktemp("learning")
    with open(PHOTOS / "train_clean.csv", newline="") as file:
        rows = list(csv.DictReader(file))[:LANDMARKS]
    lines = [f"{row['landmark_id']},{' '.join(row['images'].split()[:OF_EACH])}" for row in rows]
    (folder / "clean.csv").write_text("\n".join(["landmark_id,images", *lines]) + "\n")
    build_image_dataset(
        BuildSettings(
            folder / "clean.csv",
            PHOTOS,
            folder / "mindrecord",
            validation_split_size=0.25,
            num_workers=1,
        )
    )
    return folder


def pooled(folder, split, network, unit):
    """The frozen network's mean feature of each photo's middle square, and its label."""
    features, labels = [], []
    for label, content in Landmarks.rows_of(folder / "mindrecord", split).values():
        photo = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        side = min(photo.shape[:2])
        top, left = ((length - side) // 2 for length in photo.shape[:2])
        square = photo[top : top + side, left : left + side]
        square = cv2.resize(square, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        pixels = (square.astype(np.float32).transpose(2, 0, 1)[None] - 128) / 128
        cells = network(ms.Tensor(np.ascontiguousarray(pixels))).asnumpy()[0]
        if unit:
            cells = cells / np.linalg.norm(cells, axis=0)
        features.append(cells.mean((1, 2)))
        labels.append(label)
    return np.float64(features), np.array(labels)


def probe(folder, conv5, unit):
    """The accuracy of a ridge regression on the labels, by NumPy."""
    network = ResNet50(conv5=conv5)
    weights = {
        name.removeprefix("backbone."): value
        for name, value in read_weights(WEIGHTS).items()
        if name.startswith("backbone.")
    }
    load_weights(network, weights, str(WEIGHTS))
    network.set_train(False)
    x, labels = pooled(folder, "train", network, unit)
    seen, wanted = pooled(folder, "validation", network, unit)
    classes = np.unique(labels)
    centre = x.mean(0)
    x, seen = x - centre, seen - centre
    kernel = x @ x.T
    ridge = 1e-2 * np.trace(kernel) / len(kernel)
    targets = (labels[:, None] == classes) - 1 / len(classes)
    scores = seen @ x.T @ np.linalg.solve(kernel + ridge * np.eye(len(kernel)), targets)
    return float((classes[scores.argmax(1)] == wanted).mean())


@pytest.mark.parametrize(("stage", "steps", "rate"), [("attn", 80, 0.02), ("tuning", 40, 0.005)])
def test_a_stage_comes_near_to_a_linear_probe(cpu, folder, tmp_path, stage, steps, rate):
    is_tuning = stage == "tuning"
    linear = probe(folder, conv5=is_tuning, unit=not is_tuning)
    assert linear > 0.6, "the photos tell their landmarks apart"
    start = {"imagenet_checkpoint": WEIGHTS, "frozen_stages": 3, "train_bn_statistics": False}
    if not is_tuning:
        start = {"checkpoint_path": WEIGHTS}
    result = train(
        settings_of(
            folder,
            tmp_path,
            train_state=stage,
            batch_size=8,
            image_size=SIZE,
            max_iters=steps,
            initial_lr=rate,
            log_step=50,
            save_ckpt_step=1000,
            validate_step=steps,
            **start,
        )
    )
    print(stage, "probe", linear, "trained", result.accuracy)
    # One of 50 photos is 0.02, and by chance a fifth would be right.
    assert result.accuracy >= linear - 0.15
