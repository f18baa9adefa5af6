"""Queries do not add up: nothing is left of one but its result, which is as large as it says."""

import weakref

import pytest

from src.ranking import workers
from src.ranking.one_query import rank_images
from src.ranking.query_matches import QueryMatches
from src.ranking.results import QueryTask
from src.ranking.workers import rank_in_processes
from tests.helpers.retrieval import SMALL

QUERIES = ("tower_a", "bridge_b", "other_1")
#: Bytes of an image in the result of a query: `RankedQuery`'s arrays.
RESULT = 4 + 8 + 4 + 4 + 1 + 4


def owner(array):
    """The array whose memory an array is in."""
    while array.base is not None:
        array = array.base
    return array


def arrays_of(result):
    return [value for value in vars(result).values() if hasattr(value, "nbytes")]


@pytest.mark.parametrize("ask", [rank_images, lambda *asked: QueryMatches(*asked)(0)])
def test_nothing_is_left_of_a_query(index, query_of, ask):
    left = []
    for name in QUERIES:
        features = query_of(name)
        left += [weakref.ref(features.descriptors), weakref.ref(features.locations)]
        found = ask(index, features, SMALL)
        left += [weakref.ref(owner(array)) for array in arrays_of(found)]
        del features, found
        assert not [one() for one in left if one() is not None]


def test_of_many_queries_their_results_are_left(made, index, tmp_path, monkeypatch):
    real, read = workers.read_features, []

    def watched(path):
        features = real(path)
        read.append(weakref.ref(features.descriptors))
        return features

    monkeypatch.setattr(workers, "read_features", watched)
    features = made / "features"
    tasks = [
        QueryTask(f"q{n}", features / f"{QUERIES[n % 3]}.npz", tmp_path / f"{n}.npz", {})
        for n in range(12)
    ]
    results = []
    for _, result in rank_in_processes(tasks, made / "index", tmp_path, SMALL, 1):
        results.append(result)
        assert sum(one() is not None for one in read) <= 1  # the last one's, at most
    owners = {id(one): one for result in results for one in map(owner, arrays_of(result))}
    assert len(read) == len(results) == 12
    assert sum(one.nbytes for one in owners.values()) == 12 * RESULT * index.image_count
