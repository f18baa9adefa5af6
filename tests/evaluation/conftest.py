"""A small world to evaluate, with a small network that needs no weights.

The photos of a building are windows on one picture, moved by whole cells of the network, so that
what they share has equal features: the right photos come first, in the order of what they share.
"""

import pickle

import numpy as np
import pytest
from PIL import Image

from model_utils.config import load_config
from src.delf_config import DelfConfig
from src.describe.recipe import Describer
from src.evaluation import retrieval as evaluation
from src.evaluation.retrieval import evaluate_retrieval
from src.evaluation.settings import EvaluationSettings
from tests.helpers.ground_truth import write_query
from tests.helpers.toy_engine import FakeEngine

SIDE = 256
#: (dx, dy) of each photo of a building in its picture; 0 is the query.
MOVES = {0: (0, 0), 1: (32, 0), 2: (0, 64), 3: (96, 32), 4: (224, 224)}


def photo(picture, move, path):
    x, y = move
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture[y : y + SIDE, x : x + SIDE]).save(path)


def noise(seed, side=2 * SIDE):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def buildings(tmp_path_factory):
    """Two buildings of five photos, two other photos, and ground truth of both kinds."""
    folder = tmp_path_factory.mktemp("world")
    for building in "ab":
        picture = noise(ord(building))
        for number, move in MOVES.items():
            photo(picture, move, folder / "images" / f"{building}{number}.png")
    for number in range(2):
        photo(noise(100 + number), (0, 0), folder / "images" / f"other{number}.png")
        photo(noise(200 + number), (0, 0), folder / "more" / f"far{number}.png")
        photo(noise(300 + number), (0, 0), folder / "even_more" / f"farther{number}.png")
    box = "0 0 192 192"
    write_query(folder / "gt", "a_1", "oxc1_a0", ["a0", "a1"], ["a2", "a3"], ["a4"], box)
    write_query(folder / "gt", "a_2", "a0", ["a0", "a1"], ["a2", "a3"], ["a4"], "64 64 256 256")
    write_query(folder / "gt", "b_1", "b0", ["b0", "b1", "lost"], ["b2", "b3"], ["b4"], box)
    images = [f"{building}{number}" for building in "ba" for number in (4, 3, 2, 1)]
    gnd = {
        "imlist": [*images, "other0", "lost", "other1"],
        "qimlist": ["b0", "a0", "a0"],
        "gnd": [
            {"bbx": [0, 0, 192, 192], "easy": [3], "hard": [1, 2], "junk": [0]},
            {"bbx": [0, 0, 192, 192], "easy": [7], "hard": [5, 6], "junk": [4, 9]},
            {"bbx": [64, 64, 256, 256], "easy": [7], "hard": [], "junk": [4]},
        ],
    }
    (folder / "gnd_world.pkl").write_bytes(pickle.dumps(gnd))
    return folder


@pytest.fixture
def run(tmp_path, buildings, monkeypatch, caplog):
    """Evaluates with settings by name, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")  # as the programs log
    settings = DelfConfig(image_scales=(1.0,), use_pca=False, max_feature_num=100)
    describer = Describer(FakeEngine(), settings, "fake.ckpt")
    monkeypatch.setattr(evaluation, "choose_describer", lambda settings: describer)

    def evaluate(gt="gt", **options):
        arguments = {
            "images_path": buildings / "images",
            "gt_path": buildings / gt,
            "checkpoint_path": "fake.ckpt",
            "work_path": "work",
            "map_output": "mAP.txt",
            "retrieval_workers": 1,
            **options,
        }
        config = load_config([f"--{name}={value}" for name, value in arguments.items()])
        return evaluate_retrieval(EvaluationSettings.from_config(config))

    return evaluate
