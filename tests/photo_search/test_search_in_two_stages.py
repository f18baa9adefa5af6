"""A folder searched in two stages, its features packed, by the whole network."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from model_utils.config import load_config
from src.common.packed_store import is_packed
from src.describe.whitening import write_whitening
from src.photo_search.__main__ import search
from src.photo_search.settings import SearchSettings
from tests.helpers.infer import textured
from tests.helpers.whole_network import whitening_for, write_whole_checkpoint

SIDE = 160


@pytest.fixture(scope="module")
def weights(cpu, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    checkpoint = write_whole_checkpoint(folder)
    write_whitening(folder / "whitening.npz", whitening_for(checkpoint))
    return checkpoint


@pytest.fixture
def photos(tmp_path):
    """Two views of each of four things, and a query: a third view of the first."""
    for thing in range(4):
        picture = Image.fromarray(textured(SIDE + 32, SIDE + 32, seed=thing))
        for view in range(2):
            path = tmp_path / "photos" / f"{thing}{'ab'[view]}.png"
            path.parent.mkdir(exist_ok=True)
            picture.crop((16 * view, 0, SIDE + 16 * view, SIDE)).save(path)
        if not thing:
            picture.crop((0, 16, SIDE, SIDE + 16)).save(tmp_path / "query.png")
    return tmp_path / "photos"


@pytest.fixture
def ask(photos, weights, tmp_path):
    options = {
        "work_path": tmp_path / "work",
        "checkpoint_path": weights,
        "whitening_path": weights.with_name("whitening.npz"),
        "max_level_side": 192,
        "use_pca": False,
        "max_feature_num": 60,
        "query_rotations": 0,
    }

    def asked(**more):
        config = load_config([f"--{name}={value}" for name, value in {**options, **more}.items()])
        (found,) = search(SearchSettings.from_config(config), photos, [tmp_path / "query.png"], 8)
        return [(result.name, result.inliers) for result in found.results]

    return asked


def kept(tmp_path, pattern):
    (path,) = (tmp_path / "work").glob(f"*/{pattern}")
    return path


def test_it_finds_what_a_search_of_all_features_finds_and_mends_itself(ask, photos, tmp_path):
    local = ask(search_kind="two_stage")
    two = ask(index_kind="two_stage", feature_store="packed", work_path=tmp_path / "work")
    assert {name for name, _ in two[:2]} == {"0a.png", "0b.png"}
    assert two == local
    index = kept(tmp_path, "index-*")
    assert json.loads((index / "index.json").read_text())["format"] == 4
    # What is damaged is made again, and the same is found.
    vectors = index / "vectors" / "vectors-1.bin"
    vectors.write_bytes(bytes(len(vectors.read_bytes())))
    assert ask(index_kind="two_stage") == two
    # A photo that comes is described alone, and found.
    Image.open(tmp_path / "query.png").save(photos / "new.png")
    assert ask(index_kind="two_stage")[0][0] == "new.png"


def test_packed_features_that_are_damaged_are_described_again(ask, tmp_path):
    found = ask(index_kind="two_stage", feature_store="packed")
    features = kept(tmp_path, "features-*")
    assert is_packed(features)
    (records,) = features.glob("*.records")
    content = bytearray(records.read_bytes())
    content[-1] ^= 1
    records.write_bytes(bytes(content))
    again = ask(index_kind="two_stage", feature_store="packed")
    assert again == found
