"""An evaluation with packed features, and with distractors that are features."""

import json
from pathlib import Path

import pytest

from src.common.packed_store import is_packed
from src.describe.merge import merge


def results(folder):
    return json.loads((folder / "mAP.json").read_text())


def test_packed_features_rank_as_files_do_and_distractors_may_be_features(tmp_path, run, buildings):
    files = run(distractors_path=buildings / "more")
    described = Path(results(tmp_path)["made"]["feature_folders"][1])
    merge([described], tmp_path / "store")
    run(feature_store="packed", work_path=tmp_path / "other", distractors_path=tmp_path / "store")
    made = results(tmp_path)["made"]["feature_folders"]
    assert made[1] == str(tmp_path / "store")
    assert all(is_packed(folder) for folder in made)
    packed = run(
        feature_store="packed", work_path=tmp_path / "other", distractors_path=tmp_path / "store"
    )
    for name, metrics in files.metrics.items():
        assert packed.metrics[name].average_precisions == pytest.approx(
            metrics.average_precisions, nan_ok=True, abs=0.1
        )
