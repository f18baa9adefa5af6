"""An index in two stages whose global descriptors are in a Milvus ranks as one with a folder."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from src.index.build import build_index, update_index
from src.index.choice import IndexSettings
from src.index.folder import load_index
from src.index.stores.settings import StoreSettings
from src.ranking.one_query import rank_images
from src.ranking.settings import RetrievalSettings
from tests.helpers.features import features_of, write_features_folder

RANKING = RetrievalSettings(neighbours=6, candidate_images=5, query_rotations="0")


def photos(names):
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(len(names), 8)).astype(np.float16).astype(np.float32)
    return {
        name: replace(
            features_of(rng.uniform(0, 500, (20, 2)), rng.normal(size=(20, 8))),
            global_descriptor=each / np.linalg.norm(each),
        )
        for name, each in zip(names, whole)
    }


def test_it_ranks_as_with_a_folder_and_follows_its_features(milvus, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    made = photos([f"p{n:02}" for n in range(25)])
    features = write_features_folder(tmp_path / "features", made)
    in_milvus = IndexSettings("two_stage", store=StoreSettings("milvus", milvus_uri=milvus.uri))
    build_index(features, tmp_path / "milvus", in_milvus)
    build_index(features, tmp_path / "folder", IndexSettings("two_stage"))
    for name in ("p03", "p24"):
        one, other = (
            rank_images(load_index(tmp_path / each), made[name], RANKING)
            for each in ("milvus", "folder")
        )
        np.testing.assert_array_equal(one.ranks, other.ranks)
        np.testing.assert_array_equal(one.inliers, other.inliers)
    # A collection of its own: two indexes with photos of one name do not mix.
    others = write_features_folder(tmp_path / "others", dict([*made.items()][::5]))
    build_index(others, tmp_path / "second", in_milvus)
    assert len(load_index(tmp_path / "milvus").store.nearest(np.ones((1, 8)), 25)[0].names) == 25
    changes = update_index(others, tmp_path / "milvus", in_milvus)
    assert len(changes.removed) == 20 and not changes.added
    found = rank_images(load_index(tmp_path / "milvus"), made["p05"], RANKING)
    assert load_index(tmp_path / "milvus").names[found.ranks[0]] == "p05"
