"""Photos whose names are as long as a disk takes them: matched and evaluated as all others."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from model_utils.config import load_config
from src.describe.engines import choice
from src.evaluation.retrieval import evaluate_retrieval
from src.evaluation.settings import EvaluationSettings, MatchTaskSettings
from src.evaluation.two_photos import match_two_photos
from src.feature_io import feature_path, read_features, write_features
from tests.helpers.ground_truth import write_query
from tests.helpers.toy_engine import FakeEngine

LONGEST = 251  # bytes, with the suffix 255


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Makes the settings of a step; the network is a toy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(choice.ENGINES, "mindspore", lambda *_: FakeEngine())
    monkeypatch.setattr(choice, "read_known_weights", lambda _: choice.KnownWeights("fake", True))

    def make(kind, *more):
        return kind.from_config(
            load_config(
                ["--images_path=photos", "--gt_path=gt", "--checkpoint_path=none",
                 "--engine=mindspore", "--pca_dim=4",
                 "--work_path=work", "--map_output=mAP.txt", "--image_scales=1.0",
                 "--list_images_path=list.txt", "--match_output=match.png",
                 "--retrieval_workers=1", "--use_pca=False", "--result_page=True", *more]
            )
        )  # fmt: skip

    return make


def photos(folder, names):
    """Save photos of coloured blocks, two and two alike."""
    folder.mkdir()
    for number, name in enumerate(names):
        blocks = np.random.default_rng(number // 2).integers(0, 256, (20, 28, 3)).astype(np.uint8)
        Image.fromarray(blocks).resize((224, 160), Image.Resampling.NEAREST).save(
            folder / f"{name}.png"
        )


@pytest.mark.parametrize("length", [123, LONGEST])
def test_two_photos_match(tmp_path, settings, length):
    names = ["a" * length, "a" * (length - 1) + "b"]
    photos(tmp_path / "photos", names)
    (tmp_path / "list.txt").write_text("\n".join(names))
    match = match_two_photos(settings(MatchTaskSettings))
    assert match.inlier_count > 10
    again = match_two_photos(settings(MatchTaskSettings))
    assert again.inlier_count == match.inlier_count
    assert len(list((tmp_path / "work").rglob("*.npz"))) == 2


@pytest.mark.parametrize("protocol", ["levels", "classic"])
def test_an_evaluation(tmp_path, settings, protocol):
    names = ["ä" * (LONGEST // 2), "ä" * (LONGEST // 2 - 1) + "b", "c" * 248, "d"]
    photos(tmp_path / "photos", names)
    write_query(tmp_path / "gt", "x" * 240, names[0], names[1:2])
    write_query(tmp_path / "gt", "x" * 239 + "y", names[2], names[3:])
    result = evaluate_retrieval(settings(EvaluationSettings, f"--protocol={protocol}"))
    assert {metrics.mean_average_precision for metrics in result.metrics.values()} >= {1.0}
    described = {path.parent.name for path in (tmp_path / "work").rglob("*.npz")}
    assert any(name.startswith("queries-") for name in described) == (protocol == "classic")


def test_features_of_a_long_name_made_before_are_found(tmp_path):
    name = "a" * 200
    short = feature_path(tmp_path, name)
    assert len(short.name) < 100
    write_features(short, read_features(_some(tmp_path)))
    older = tmp_path / f"{name}.npz"
    short.rename(older)
    assert feature_path(tmp_path, name) == older
    assert feature_path(tmp_path, f"b/{name}") != older
    assert feature_path(tmp_path, "plain.name é") == tmp_path / "plain.name é.npz"


def _some(folder):
    np.savez(
        folder / "some.npz",
        locations=np.zeros((1, 2)), scales=np.ones(1), descriptors=np.eye(1, 4),
        attention=np.ones(1),
    )  # fmt: skip
    return folder / "some.npz"
