"""The order of the photos decides nothing: neither in the list nor by their names."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.feature_io import Features, feature_path, read_features, read_manifest
from src.index.build import build_index
from src.index.choice import IndexSettings
from src.index.folder import Index, load_index
from src.ranking.one_query import RankedQuery, rank_images
from tests.helpers.features import write_features_folder
from tests.helpers.retrieval import ALONE, PLAIN, SMALL, VOTES, world

#: Exact kinds: an approximate one may well find others where its lists have other centres.
KINDS = [IndexSettings("flat"), IndexSettings("ivf", lists=3, probes=3)]
HOW = {"default": SMALL, "alone": ALONE, "votes": VOTES, "plain": PLAIN}
QUERIES = ("tower_b", "bridge_a", "other_3")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> dict[str, Features]:
    """Two buildings, others, and two that show nothing, which always tie."""
    folder = world(tmp_path_factory.mktemp("photos"))
    names = read_manifest(folder).names
    known = {name: read_features(feature_path(folder, name)) for name in names}
    return {**known, "nothing either": known["nothing"]}


def grouped(index: Index, result: RankedQuery, called: dict[str, str]) -> list[set[str]]:
    """The photos, best first, those of one score together, by what they show."""
    ordered = groupby(result.ranks.tolist(), key=lambda image: result.scores[image])
    return [{called[index.names[image]] for image in images} for _, images in ordered]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_any_permutation_of_the_photos_gives_the_same_ranks(kind, photos, tmp_path_factory):
    """The photos change their names, and with them their places in the index.

    Those of one score, and only those, may change places among themselves: the first name is first.
    (No two features are the same here: of two equal neighbours at the end of the k, one votes.)
    """
    names = sorted(photos)

    def ranked(order: list[str]):
        folder = tmp_path_factory.mktemp("order")
        called = {f"{place:03d}": name for place, name in enumerate(order)}
        renamed = {place: photos[name] for place, name in called.items()}
        build_index(write_features_folder(folder / "f", renamed), folder / "i", kind)
        index = load_index(folder / "i")
        found = {}
        for query in QUERIES:
            for how, told in HOW.items():
                result = rank_images(index, photos[query], told)
                tied = [(-result.scores[image], image) for image in result.ranks]
                assert tied == sorted(tied)
                by_name = {called[index.names[i]]: i for i in range(index.image_count)}
                places = [by_name[name] for name in names]
                found[query, how] = (
                    grouped(index, result, called),
                    result.inliers[places].tolist(),
                    result.votes[places].tolist(),
                    result.scores[places],
                )
        return found

    wanted = ranked(names)
    assert wanted["tower_b", "default"][0][-1] == {"nothing", "nothing either"}

    @settings(max_examples=8, deadline=None)
    @given(st.permutations(names))
    def holds(order):
        for question, (*counts, scores) in ranked(order).items():
            assert counts == list(wanted[question][:-1]), question
            np.testing.assert_allclose(scores, wanted[question][-1], rtol=1e-5, atol=1e-6)

    holds()


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_order_of_the_list_changes_no_byte(data, photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("list")
    features = write_features_folder(folder / "f", photos)
    names = data.draw(st.permutations(sorted(photos)))
    build_index(features, folder / "sorted")
    build_index(features, folder / "drawn", names=names)
    contents = [
        {path.name: path.read_bytes() for path in (folder / one).iterdir()}
        for one in ("sorted", "drawn")
    ]
    assert contents[0] == contents[1]
