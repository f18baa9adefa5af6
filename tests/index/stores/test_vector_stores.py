"""What every store does, asked of each: a folder, flat and in lists, and a Milvus."""

import itertools

import numpy as np
import pytest

from src.common.errors import UserError
from src.index.stores.interface import Only
from src.index.stores.opening import open_store
from src.index.stores.settings import StoreSettings

DIMENSION = 16
STORES = ["flat", "ivf_sq8", "ivf_rabitq", "milvus"]
NUMBERS = itertools.count()


def unit(rng, count, dimension=DIMENSION):
    vectors = rng.normal(size=(count, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16).astype(np.float32)


@pytest.fixture(params=STORES)
def opened(request, tmp_path):
    """Return what opens one and the same store as often as it is called."""
    if request.param == "milvus":
        uri = request.getfixturevalue("milvus").uri
        settings = StoreSettings("milvus", milvus_uri=uri)
    else:
        settings = StoreSettings(kind=request.param, recall=1.0)  # all lists, where it takes them
    number = next(NUMBERS)  # a Milvus is shared by the tests: each has its own settings

    def open_one(made_with=None, dimension=DIMENSION):
        wanted = {"test": number} if made_with is None else made_with
        return open_store(settings, tmp_path / "store", wanted, dimension)

    return open_one


def numbered(first, last):
    return [f"photo {i:03d}" for i in range(first, last)]


def expected(names, vectors, query, k):
    """Return the k best by a loop that knows nothing of stores."""
    scored = sorted((-round(float(v @ query), 6), name) for name, v in zip(names, vectors))
    return [name for _, name in scored[:k]]


def test_the_nearest_are_those_of_a_plain_comparison(opened):
    rng = np.random.default_rng(1)
    names, vectors, queries = numbered(0, 300), unit(rng, 300), unit(rng, 7)
    with opened() as store:
        store.add(names[:100], vectors[:100], names[:100])
        store.add(names[100:], vectors[100:], names[100:])
        store.flush()
    with opened() as store:
        assert store.count() == 300
        found = store.nearest(queries, 12)
    for query, one in zip(queries, found):
        assert list(one.names) == expected(names, vectors, query, 12)
        wanted = [float(vectors[names.index(name)] @ query) for name in one.names]
        np.testing.assert_allclose(one.scores, wanted, atol=2e-6)


def test_what_is_not_flushed_is_found_as_well(opened):
    rng = np.random.default_rng(2)
    names, vectors = numbered(0, 300), unit(rng, 300)
    with opened() as store:
        store.add(names[:250], vectors[:250], names[:250])
        store.flush()
        store.add(names[250:], vectors[250:], names[250:])
        (one,) = store.nearest(vectors[299:], 1)
        assert one.names == ("photo 299",)
        assert store.count() == 300


def test_equal_photos_are_ranked_by_name_whatever_their_order(opened):
    same = unit(np.random.default_rng(3), 1)
    names = ["c", "a", "d", "b"]
    with opened() as store:
        store.add(names, np.repeat(same, 4, axis=0), names)
        store.flush()
        (one,) = store.nearest(same, 3)
    assert one.names == ("a", "b", "c")


def test_a_name_that_is_there_gets_the_new_vector(opened):
    rng = np.random.default_rng(4)
    old, new = unit(rng, 3), unit(rng, 1)
    with opened() as store:
        store.add(["a", "b", "c"], old, ["1", "1", "1"])
        store.flush()
        assert store.absent(["a", "b", "d"], ["1", "2", "1"]) == [1, 2]
        store.add(["b"], new, ["2"])
        store.flush()
        assert store.absent(["a", "b"], ["1", "2"]) == []
        assert store.count() == 3
        (one,) = store.nearest(new, 3)
    assert one.names[0] == "b" and one.scores[0] == pytest.approx(float(new[0] @ new[0]), abs=2e-6)
    assert sorted(one.names) == ["a", "b", "c"]


def test_what_is_removed_is_not_found_and_can_come_back(opened):
    rng = np.random.default_rng(5)
    names, vectors = numbered(0, 250), unit(rng, 250)
    with opened() as store:
        store.add(names, vectors, names)
        store.flush()
        assert store.remove([names[7], "nobody", names[9], names[7]]) == 2
        store.flush()
    with opened() as store:
        assert store.count() == 248
        assert set(store.names()) == set(names) - {names[7], names[9]}
        (one,) = store.nearest(vectors[7:8], 250)
        assert len(one.names) == 248 and names[7] not in one.names
        store.add([names[7]], vectors[7:8], ["again"])
        (one,) = store.nearest(vectors[7:8], 1)
        assert one.names == (names[7],)


def test_a_filter_counts_before_the_nearest_are_chosen(opened):
    rng = np.random.default_rng(6)
    names, vectors = numbered(0, 240), unit(rng, 240)
    query = vectors[3]
    with opened() as store:
        store.add(names[:200], vectors[:200], names[:200], "archive")
        store.add(names[200:], vectors[200:], names[200:], 'the "new" ones')
        store.flush()

        def asked(only):
            return list(store.nearest(query[None], 5, only)[0].names)

        assert asked(Only(parts=('the "new" ones',))) == expected(
            names[200:], vectors[200:], query, 5
        )
        assert asked(Only(names=(names[50], names[3], "nobody"))) == [names[3], names[50]]
        rest = names[:3] + names[4:]
        others = np.delete(vectors, 3, axis=0)
        assert asked(Only(without=(names[3],))) == expected(rest, others, query, 5)
        assert asked(Only(parts=("archive",), names=(names[210],))) == []
        assert asked(Only(names=())) == []
        assert asked(Only(parts=("nowhere",))) == []


@pytest.mark.parametrize("name", ['a "b" \\ c', "Ω/глав/写真 1", "it's; -- drop", "a\tb", "a{b}%s"])
def test_names_are_kept_as_they_are(opened, name):
    vectors = unit(np.random.default_rng(7), 2)
    with opened() as store:
        store.add([name, "other"], vectors, ["1", "1"])
        store.flush()
        assert store.absent([name], ["1"]) == []
        assert store.nearest(vectors[:1], 1)[0].names == (name,)
        assert store.nearest(vectors[:1], 1, Only(without=(name,)))[0].names == ("other",)
        assert store.remove([name]) == 1
        assert list(store.names()) == ["other"]


def test_other_lengths_and_bad_numbers_are_refused_in_a_line(opened):
    rng = np.random.default_rng(8)
    with opened() as store:
        with pytest.raises(UserError, match="have 8 dimensions, those of the store 16"):
            store.add(["a"], unit(rng, 1, 8), ["1"])
        with pytest.raises(UserError, match="descriptor of bad is not finite"):
            store.add(["good", "bad"], np.array([[0.1] * 16, [np.nan] * 16]), ["1", "1"])
        with pytest.raises(UserError, match="more than 1024 bytes"):
            store.add(["x" * 1025], unit(rng, 1), ["1"])
        assert store.count() == 0
        store.add(["a"], unit(rng, 1), ["1"])
        with pytest.raises(UserError, match="have 8 dimensions, those of the store 16"):
            store.nearest(unit(rng, 1, 8), 1)


def test_a_store_says_what_it_is(opened):
    with opened() as store:
        store.add(["a", "b"], unit(np.random.default_rng(9), 2), ["1", "1"])
        store.flush()
        said = store.describe()
    assert said["photos"] == 2 and said["dimension"] == DIMENSION
    assert (
        said["store"] in ("faiss", "milvus") and said["search"].lower() == "flat"
    )  # too few for lists


def test_more_is_found_than_there_is_no_more(opened):
    with opened() as store:
        store.add(["a", "b"], unit(np.random.default_rng(10), 2), ["1", "1"])
        store.flush()
        assert len(store.nearest(unit(np.random.default_rng(11), 3), 16_000)[2].names) == 2


def test_both_rank_alike(milvus, tmp_path):
    """A thousand photos, a tenth of them twice: the same names in the same order.

    Scores are rounded to six digits by both; where the seventh lies on the border they may differ
    by one of the sixth, and photos whose scores are so near may change places.
    """
    rng = np.random.default_rng(12)
    names, vectors = numbered(0, 1000), unit(rng, 1000, 64)
    vectors[900:] = vectors[:100]
    queries = unit(rng, 20, 64)
    answers = []
    for settings in (StoreSettings(), StoreSettings("milvus", milvus_uri=milvus.uri)):
        with open_store(settings, tmp_path / "store", {"alike": 1}, 64) as store:
            store.add(names, vectors, names)
            store.flush()
            answers.append(store.nearest(queries, 200))
    for ours, theirs in zip(*answers):
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=0, atol=1.5e-6)
        by_name = dict(zip(theirs.names, theirs.scores))
        last = theirs.scores[-1]
        for name, score in zip(ours.names, ours.scores):
            assert abs(by_name.get(name, last) - score) < 1.5e-6
        moved = sum(a != b for a, b in zip(ours.names, theirs.names))
        assert moved <= 4  # of 200
