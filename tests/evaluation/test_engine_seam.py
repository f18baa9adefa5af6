"""An engine nobody has heard of goes through a whole evaluation: the interface is all it needs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_utils.config import load_config
from src.describe.engines import choice
from src.describe.tasks import read_cropped
from src.evaluation.retrieval import evaluate_retrieval
from src.evaluation.settings import EvaluationSettings
from src.extract_utils_np import LevelOutput, pyramid_level_sizes, resize_levels
from src.feature_io import read_manifest
from src.postprocess import PhotoOutputs
from tests.helpers.ground_truth import write_query


class BatchingEngine:
    """Reads all photos before it answers, as an engine of batches may; shares no code of ours.

    Its features are the mean colours of the sixteen squares of a cell.
    """

    name, has_attention = "batching", True

    def __init__(self, fingerprint):
        self.fingerprint = fingerprint

    def settings(self):
        return {"name": self.name, "precision": "float32"}

    def processes(self, devices):
        return tuple(devices[:1])

    def outputs(self, images_path, tasks, config, device_id=0, stopwatch=None):
        photos = [(task, read_cropped(Path(images_path, task.file), task.box)) for task in tasks]
        for task, (image, origin, *_) in photos:
            levels = [self._level(level) for _, level in resize_levels(image, config)]
            assert len(levels) == len(pyramid_level_sizes(*image.shape[:2], config))
            yield PhotoOutputs(task.name, levels, image.shape[:2], origin)

    @staticmethod
    def _level(level):
        rows, columns = (-(-side // 32) for side in level.shape[:2])
        padding = ((0, rows * 32 - level.shape[0]), (0, columns * 32 - level.shape[1]), (0, 0))
        squares = np.pad(level, padding, mode="edge").reshape(rows, 8, 4, columns, 8, 4, 3)
        features = squares.mean(axis=(2, 5)).transpose(0, 2, 1, 3, 4).reshape(rows, columns, 192)
        return LevelOutput(features.astype(np.float32), features.std(axis=2).astype(np.float32))


@pytest.mark.parametrize(
    "fillers", [("", "", "", ""), ("é" * 116, "x" * 123, "ü" * 123, "y" * 246)]
)
def test_a_toy_engine_goes_through_a_whole_evaluation(tmp_path, monkeypatch, fillers):
    """With short names, and with labels and names as long as a file's may be."""
    label, *photos = fillers
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for building in range(3):
        blocks = np.random.default_rng(building).integers(0, 256, (10, 14, 3)).astype(np.uint8)
        whole = Image.fromarray(blocks).resize((448, 320), Image.Resampling.NEAREST)
        for view in range(3):
            part = whole.crop((32 * view, 0, 320 + 32 * view, 320))
            part.save(tmp_path / "photos" / f"{photos[view]}b{building}_{view}.png")
    for building in range(3):
        names = [f"{photos[view]}b{building}_{view}" for view in range(3)]
        write_query(tmp_path / "gt", f"{label}q_{building}", names[0], names[:2], names[2:])
    monkeypatch.setitem(
        choice.ENGINES, "batching", lambda _, known: BatchingEngine(known.fingerprint)
    )
    monkeypatch.setattr(choice, "read_known_weights", lambda _: choice.KnownWeights("toy", True))
    config = load_config(
        ["--images_path=photos", "--gt_path=gt", "--checkpoint_path=none", "--fit_pca_on=photos",
         "--work_path=work", "--map_output=mAP.txt", "--image_scales=1.0", "--pca_dim=16",
         "--retrieval_workers=1"]
    )  # fmt: skip
    settings = EvaluationSettings.from_config(config)
    engine = dataclasses.replace(settings.describe.engine, name="batching")
    describe = dataclasses.replace(settings.describe, engine=engine, pca_path="auto")
    result = evaluate_retrieval(dataclasses.replace(settings, describe=describe))
    assert result.metrics["medium"].mean_average_precision == 1.0
    made = json.loads((tmp_path / "mAP.json").read_text())["made"]
    manifest = read_manifest(made["feature_folders"][0])
    assert manifest.settings["engine"] == {"name": "batching", "precision": "float32"}
    first = (tmp_path / "mAP.txt").read_text().splitlines()[0]
    assert first == f"# {made['pca']}"
    assert "fitted on 9 photos" in first and "THOSE OF THIS EVALUATION" in first
    assert (tmp_path / "mAP_page" / "index.html").exists()
