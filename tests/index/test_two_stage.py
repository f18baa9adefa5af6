"""An index in two stages ranks as one of local features does, and follows what it is made of."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest

from src.common.errors import UserError
from src.describe.merge import merge
from src.feature_io import DamagedFeaturesError, Features
from src.index import choice
from src.index.build import build_index, remove_images, update_index
from src.index.choice import IndexSettings
from src.index.folder import Index, load_index
from src.index.two_stage import TwoStageIndex
from src.ranking.one_query import rank_images
from src.ranking.query_matches import QueryMatches
from src.ranking.settings import RetrievalSettings
from tests.helpers.features import write_features_folder
from tests.helpers.things import photos_of_things, unit

TWO = IndexSettings("two_stage")
RANKING = RetrievalSettings(neighbours=12, search_kind="two_stage", query_rotations="0")


def photos(count=30, seed=0):
    """Photos of five things."""
    return photos_of_things(count, 5, "ü", seed)


@pytest.fixture
def world(tmp_path):
    made = photos()
    return made, write_features_folder(tmp_path / "features", made)


def assert_same_ranking(one, other):
    for name in ("ranks", "inliers", "votes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)
    np.testing.assert_allclose(one.similarities, other.similarities, atol=1e-5)


@pytest.mark.parametrize("candidates", [8, 200])
def test_it_ranks_as_an_index_of_all_features_in_two_stages(world, tmp_path, candidates):
    made, features = world
    settings = replace(RANKING, candidate_images=candidates)
    build_index(features, tmp_path / "local", IndexSettings("flat"))
    build_index(features, tmp_path / "two", TWO)
    local, two = load_index(tmp_path / "local"), load_index(tmp_path / "two")
    assert isinstance(local, Index) and isinstance(two, TwoStageIndex)
    assert tuple(two.names) == local.names == tuple(two.names[i] for i in range(30))
    for name in ("ü03", "ü11"):
        found = [rank_images(each, made[name], settings) for each in (local, two)]
        assert_same_ranking(*found)
        image = int(found[1].ranks[1])
        points = [QueryMatches(each, made[name], settings)(image) for each in (local, two)]
        np.testing.assert_array_equal(points[0].locations_b, points[1].locations_b)
        assert points[1].inlier_count == found[1].inliers[image]


def test_features_may_be_packed_and_in_several_folders(world, tmp_path):
    made, features = world
    parts = [
        write_features_folder(tmp_path / name, dict(list(made.items())[start::2]))
        for start, name in enumerate(("even", "odd"))
    ]
    packed = [tmp_path / "packed even", parts[1]]
    merge([parts[0]], packed[0])
    build_index(features, tmp_path / "whole", TWO)
    build_index(packed, tmp_path / "parts", TWO)
    whole, both = load_index(tmp_path / "whole"), load_index(tmp_path / "parts")
    one, other = (rank_images(each, made["ü07"], RANKING) for each in (whole, both))
    np.testing.assert_array_equal(one.ranks[:6], other.ranks[:6])
    assert {whole.names[i] for i in other.ranks[:6]} == {f"ü{n:02}" for n in range(2, 30, 5)}


def test_it_follows_its_features(world, tmp_path):
    made, features = world
    index = tmp_path / "index"
    assert update_index(features, index, TWO).added == tuple(sorted(made))
    assert not update_index(features, index, TWO)
    others = photos(seed=1)
    now = {**made, "ü05": others["ü05"], "zz": replace(made["ü00"], attention=np.full(40, 2.0))}
    del now["ü09"]
    shutil.rmtree(features)
    write_features_folder(features, now)
    changes = update_index(features, index, TWO)
    assert (changes.added, changes.replaced, changes.removed) == (("zz",), ("ü05",), ("ü09",))
    build_index(features, tmp_path / "anew", TWO)
    updated, anew = load_index(index), load_index(tmp_path / "anew")
    assert list(updated.names) == list(anew.names) == sorted(now)
    for name in ("ü00", "ü05"):
        assert_same_ranking(*(rank_images(each, now[name], RANKING) for each in (updated, anew)))
    remove_images(index, ["zz", "ü01"])
    assert list(load_index(index).names) == sorted(set(now) - {"zz", "ü01"})
    with pytest.raises(UserError, match="no image ü01"):
        remove_images(index, ["ü01"])


def test_index_and_features_may_be_moved_together_or_apart(world, tmp_path):
    made, features = world
    work = tmp_path / "work"
    work.mkdir()
    features = features.rename(work / "features")
    build_index(features, work / "index", TWO)
    before = rank_images(load_index(work / "index"), made["ü00"], RANKING)
    moved = work.rename(tmp_path / "moved")
    assert_same_ranking(rank_images(load_index(moved / "index"), made["ü00"], RANKING), before)
    # Apart: the next call that names them says where they are.
    (tmp_path / "a" / "b").mkdir(parents=True)
    far = (moved / "features").rename(tmp_path / "a" / "b" / "features")
    with pytest.raises(DamagedFeaturesError):
        rank_images(load_index(moved / "index"), made["ü00"], RANKING)
    build_index(far, moved / "index", TWO)
    assert_same_ranking(rank_images(load_index(moved / "index"), made["ü00"], RANKING), before)


def test_a_collection_that_grows_and_shrinks_changes_its_kind(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(choice, "TWO_STAGE_IMAGES", 20)
    features, index = tmp_path / "features", tmp_path / "index"

    def kind_of(count, settings=IndexSettings()):  # noqa: B008
        shutil.rmtree(features, ignore_errors=True)
        write_features_folder(features, photos(count), {"made": "by a test", "global": "here"})
        changes = update_index(features, index, settings)
        assert len(load_index(index).names) == count
        return type(load_index(index)), changes.rebuilt

    assert kind_of(15) == (Index, None)
    assert kind_of(25) == (TwoStageIndex, "25 images are searched in two stages")
    assert not list(index.glob("descriptors*"))
    assert kind_of(18) == (TwoStageIndex, None)  # not at every photo that comes or goes
    assert kind_of(9) == (Index, "all features of 9 images can vote")
    assert not (index / "vectors").exists()
    shutil.rmtree(index)
    assert kind_of(25, IndexSettings(local=True))[0] is Index
    shutil.rmtree(index)
    assert kind_of(25, IndexSettings("flat"))[0] is Index


def test_what_cannot_be_asked_is_refused_in_one_line(world, tmp_path):
    made, features = world
    build_index(features, tmp_path / "index", TWO)
    index = load_index(tmp_path / "index")
    query = made["ü00"]
    for settings in (replace(RANKING, search_kind="local"), RetrievalSettings.plain()):
        with pytest.raises(UserError, match="index_kind=ivf"):
            rank_images(index, query, settings)
    with pytest.raises(UserError, match="the query has none"):
        rank_images(index, replace(query, global_descriptor=None), RANKING)
    nothing = rank_images(index, Features.empty(16), RANKING)
    np.testing.assert_array_equal(nothing.ranks, np.arange(30))
    assert not nothing.votes.any()
    with pytest.raises(UserError, match="dimensions"):
        rank_images(index, replace(query, descriptors=unit(np.ones((40, 8)))), RANKING)
    with pytest.raises(UserError, match="has a global descriptor"):
        without = {name: replace(made[name], global_descriptor=None) for name in list(made)[:3]}
        build_index(write_features_folder(tmp_path / "without", without), tmp_path / "no", TWO)


def test_damage_is_told_and_made_again(world, tmp_path):
    made, features = world
    index = tmp_path / "index"
    build_index(features, index, TWO)
    for name in ("names-1.bin", "photos-1.bin", "vectors/vectors-1.bin"):
        path = index / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(UserError, match="damaged"):
            rank_images(load_index(index), made["ü00"], RANKING)
        path.write_bytes(whole)
    description = json.loads((index / "index.json").read_text())
    (index / "index.json").write_text(json.dumps({**description, "images": 29}))
    with pytest.raises(UserError, match="something else than was written"):
        load_index(index)
    (index / "index.json").write_text(json.dumps(description))
    (features / "ü05.npz").write_bytes(b"PK")
    with pytest.raises(DamagedFeaturesError, match="ü05"):
        rank_images(load_index(index), made["ü00"], RANKING)


def test_a_build_that_was_ended_goes_on(world, tmp_path, monkeypatch):
    made, features = world
    index = tmp_path / "index"
    monkeypatch.setattr("src.index.two_stage_files.NameTable.write", _killed)
    with pytest.raises(KeyboardInterrupt):
        build_index(features, index, TWO)
    monkeypatch.undo()
    with pytest.raises(UserError, match="there is no index"):
        load_index(index)
    added = []
    real = "src.index.stores.faiss_folder.FaissFolder.add"
    monkeypatch.setattr(real, lambda self, names, *rest: added.extend(names))
    build_index(features, index, TWO)
    assert not added  # the store had them
    assert len(load_index(index).names) == len(made)


def _killed(*_):
    raise KeyboardInterrupt
