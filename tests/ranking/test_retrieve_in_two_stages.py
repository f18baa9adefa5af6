"""Many queries of an index in two stages, by processes: what each says, whoever asks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from src.describe.merge import merge
from src.feature_io import read_features
from src.index.build import build_index
from src.index.choice import IndexSettings
from src.index.folder import load_index
from src.ranking.all_queries import retrieve
from src.ranking.one_query import rank_images
from src.ranking.settings import RetrievalSettings
from tests.helpers.features import features_of, write_features_folder

SETTINGS = RetrievalSettings(
    neighbours=12, search_kind="two_stage", candidate_images=6, query_rotations="0"
)


def test_processes_rank_as_one_does_and_packed_distractors_are_among_the_images(tmp_path):
    rng = np.random.default_rng(0)

    def some(names, whole):
        return {
            name: replace(
                features_of(rng.uniform(0, 500, (30, 2)), rng.normal(size=(30, 8))),
                global_descriptor=(one := each + 0.05 * rng.normal(size=4)) / np.linalg.norm(one),
            )
            for name, each in zip(names, whole)
        }

    photos = some([f"p{n:02}" for n in range(12)], np.repeat(np.eye(4)[:3], 4, axis=0))
    others = some([f"far{n:02}" for n in range(20)], np.tile(np.eye(4)[3], (20, 1)))
    features = write_features_folder(tmp_path / "features", photos)
    parts = [
        write_features_folder(tmp_path / f"part{n}", dict(list(others.items())[n::2]))
        for n in range(2)
    ]
    merge(parts[:1], tmp_path / "packed")
    folders = [features, tmp_path / "packed", parts[1]]
    build_index(folders, tmp_path / "index", IndexSettings("two_stage"))
    queries = {f"q {name}": name for name in ("p00", "p05", "p11")}
    ranks = retrieve(tmp_path / "index", features, queries, tmp_path / "out", SETTINGS, workers=2)
    index = load_index(tmp_path / "index")
    for row, name in zip(ranks, queries.values()):
        alone = rank_images(index, read_features(features / f"{name}.npz"), SETTINGS)
        np.testing.assert_array_equal(row, alone.ranks)
        first = {index.names[image] for image in row[:4]}
        number = int(name[1:]) // 4 * 4
        assert first == {f"p{n:02}" for n in range(number, number + 4)}
        assert len(row) == 32
    with np.load(tmp_path / "out" / "scores.npz") as scores:
        assert scores["scores"].shape == (3, 32)
