"""Ground truth of Revisited Oxford and Paris: reading, faults, indices, setups."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.common.errors import UserError
from src.evaluation.revisited import (
    SETUPS,
    database_images,
    find_gnd,
    read_gnd,
    revisited_ground_truth,
)

BOX = [10, 20.5, 300, 400]


def entry(easy=(), hard=(), junk=(), bbx=BOX):
    return {"bbx": bbx, "easy": list(easy), "hard": list(hard), "junk": list(junk)}


def content(**changed):
    return {
        "imlist": ["d", "a", "c", "b"],
        "qimlist": ["q1", "q2"],
        "gnd": [entry([0, 2], [1], [3]), entry([], [3], [])],
        **changed,
    }


def write(folder, value, name="gnd_small.pkl"):
    path = folder / name
    path.write_bytes(pickle.dumps(value))
    return path


def ground_truth(path, photos, distractors=()):
    gnd = read_gnd(path)
    database = database_images(gnd, photos)
    index = sorted([*database, *distractors])
    return revisited_ground_truth(gnd, database, index), index


def names(index, array):
    return [index[i] for i in array]


def test_positions_in_imlist_become_indices_of_the_index(tmp_path):
    path = write(tmp_path, content())
    truth, index = ground_truth(path, ["a", "b", "c", "d", "q1", "q2"])
    assert index == ["a", "b", "c", "d"]  # the queries are not searched
    first, second = truth.queries
    assert (first.label, first.name, first.box) == ("q1", "q1", (10.0, 20.5, 300.0, 400.0))
    assert (first.easy.tolist(), first.hard.tolist(), first.junk.tolist()) == ([2, 3], [0], [1])
    assert (second.easy.tolist(), second.hard.tolist()) == ([], [1])
    assert (truth.image_count, truth.missing) == (4, ())


def test_photos_outside_of_imlist_are_not_searched(tmp_path):
    path = write(tmp_path, content())
    _, index = ground_truth(path, ["a", "b", "c", "d", "other", "q1", "q2"])
    assert index == ["a", "b", "c", "d"]


def test_distractors_move_the_indices(tmp_path):
    path = write(tmp_path, content())
    truth, index = ground_truth(path, ["a", "b", "c", "d", "q1", "q2"], ["aa", "z"])
    assert index == ["a", "aa", "b", "c", "d", "z"]
    assert names(index, truth.queries[0].easy) == ["c", "d"]
    assert truth.image_count == 6


def test_lost_photos_are_counted_and_a_distractor_does_not_stand_in_for_one(tmp_path, caplog):
    path = write(tmp_path, content())
    with caplog.at_level("WARNING"):
        truth, index = ground_truth(path, ["a", "b", "d", "q1", "q2"], ["c"])
    assert truth.missing == ("c",)
    assert "1 of 4 image(s)" in caplog.text
    assert names(index, truth.queries[0].easy) == ["d"]


def test_a_query_in_imlist_is_not_searched(tmp_path):
    path = write(tmp_path, content(qimlist=["q1", "a"]))
    truth, index = ground_truth(path, ["a", "b", "c", "d", "q1"])
    assert index == ["b", "c", "d"]
    assert truth.queries[0].hard.tolist() == []
    assert truth.missing == ()


def test_a_missing_query_is_named(tmp_path):
    path = write(tmp_path, content())
    with pytest.raises(UserError, match=r"image q2 of query q2 .*gnd_small\.pkl"):
        ground_truth(path, ["a", "b", "c", "d", "q1"])


def test_photos_of_another_data_set(tmp_path):
    path = write(tmp_path, content())
    with pytest.raises(UserError, match="none of the 4 database images"):
        ground_truth(path, ["x", "q1", "q2"])


def test_queries_that_share_a_photo_have_labels_of_their_own(tmp_path):
    gnd = [entry([0], bbx=[i, 0, 9, 9]) for i in range(4)]
    path = write(tmp_path, content(qimlist=["q", "q", "p", "q-1"], gnd=gnd))
    queries = read_gnd(path).queries
    assert [query.name for query in queries] == ["q", "q", "p", "q-1"]
    assert [query.label for query in queries] == ["q-2", "q-3", "p", "q-1"]
    assert [query.box[0] for query in queries] == [0, 1, 2, 3]


def test_numpy_arrays_are_read_too(tmp_path):
    plain = content()
    arrays = {
        "imlist": np.array(plain["imlist"]),
        "qimlist": plain["qimlist"],
        "gnd": [
            {"bbx": np.array(item["bbx"], dtype=np.float32)}
            | {kind: np.array(item[kind], dtype=np.int64) for kind in ("easy", "hard", "junk")}
            for item in plain["gnd"]
        ],
    }
    assert (
        read_gnd(write(tmp_path, arrays)).queries
        == read_gnd(write(tmp_path, plain, "gnd_plain.pkl")).queries
    )


def test_setups_of_the_benchmark(tmp_path):
    path = write(tmp_path, content())
    truth, index = ground_truth(path, ["a", "b", "c", "d", "q1", "q2"])
    judged = {
        name: tuple(names(index, part) for part in (j.positives, j.junk))
        for name, j in ((name, judge(truth.queries[0])) for name, judge in SETUPS.items())
    }
    assert judged == {
        "easy": (["c", "d"], ["a", "b"]),
        "medium": (["a", "c", "d"], ["b"]),
        "hard": (["a"], ["b", "c", "d"]),
    }


def test_an_image_in_two_lists_is_ignored_where_one_of_them_is(tmp_path):
    path = write(tmp_path, content(gnd=[entry([0, 1], [1, 2], [2]), entry([0])]))
    truth, index = ground_truth(path, ["a", "b", "c", "d", "q1", "q2"])
    judged = {name: judge(truth.queries[0]) for name, judge in SETUPS.items()}
    assert names(index, judged["easy"].positives) == ["d"]
    assert names(index, judged["medium"].positives) == ["a", "d"]
    assert names(index, judged["hard"].positives) == []


def endless():
    """A small list that would take the age of the world to print."""
    inner = [0]
    for _ in range(100):
        inner = [inner, inner]
    return inner


FAULTS = {
    "not imlist, qimlist": [1, 2],
    "has no 'imlist'": {"qimlist": [], "gnd": []},
    "has no 'gnd'": {"imlist": ["a"], "qimlist": ["q"]},
    "imlist is not a list": content(imlist="abcd"),
    "qimlist is not a list": content(qimlist=["q1", 2]),
    "qimlist is not a list of image names": content(qimlist=["q1", "../../etc/x"]),
    "one entry for each of 2": content(gnd=[entry([0])]),
    "one entry for each of 3": content(qimlist=["x", "y", "z"]),
    "no query": content(qimlist=[], gnd=[]),
    "imlist names a twice": content(imlist=["a", "b", "a", "c"]),
    "query q2 has no 'bbx'": content(gnd=[entry([0]), {"easy": [], "hard": [], "junk": []}]),
    "query q1 has no 'easy'": content(gnd=[{"bbx": BOX, "ok": [0], "junk": []}, entry([0])]),
    "query q1 has no 'bbx'": content(gnd=[[0], [1]]),
    "bbx of query q2 is not a box": content(gnd=[entry([0]), entry([0], bbx=[1, 2, 3])]),
    "bbx of query q1 is not a box": content(gnd=[entry([0], bbx=[9, 0, 9, 5]), entry([0])]),
    "bbx of query q1 is not": content(gnd=[entry([0], bbx=[0, 0, float("nan"), 5]), entry([0])]),
    "bbx of query q1 is": content(gnd=[entry([0], bbx=["0", "0", "1", "1"]), entry([0])]),
    "easy of query q1 holds 4": content(gnd=[entry([0, 4]), entry([0])]),
    "hard of query q2 holds -1": content(gnd=[entry([0]), entry([0], [-1])]),
    "junk of query q1 holds 1.5": content(gnd=[entry([0], [], [1.5]), entry([0])]),
    "junk of query q1 holds True": content(gnd=[entry([0], [], [True]), entry([0])]),
    "easy of query q1 holds a int": content(gnd=[entry([10**5000]), entry([0])]),
    "hard of query q1 holds a list": content(gnd=[entry([0], [endless()]), entry([0])]),
    "bbx of query q1 is not a": content(gnd=[entry(bbx=[0, 0, 10**400, 1]), entry([0])]),
    "imlist is not a list of": content(imlist=["a" * 300]),
    "easy of query q1 is not a list": content(gnd=[{**entry(), "easy": 3}, entry([0])]),
}


@pytest.mark.parametrize("message", FAULTS)
def test_faults_are_named_in_one_line(tmp_path, message):
    path = write(tmp_path, FAULTS[message])
    with pytest.raises(UserError) as caught:
        read_gnd(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["bbx", "easy", "hard", "junk"]), inner, max_size=4)
    ),
    max_leaves=12,
)
names_like = st.lists(st.sampled_from("abcq"), max_size=4) | plain
entries_like = st.fixed_dictionaries(
    {
        "bbx": st.lists(st.integers(0, 9) | plain, min_size=4, max_size=4) | plain,
        **{k: st.lists(st.integers(-1, 4) | plain, max_size=3) for k in ("easy", "hard", "junk")},
    }
)


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({
    "imlist": names_like, "qimlist": names_like, "gnd": st.lists(entries_like, max_size=4) | plain
}))  # fmt: skip
def test_any_plain_data_are_read_or_refused(tmp_path_factory, value):
    path = write(tmp_path_factory.mktemp("gnd"), value)
    try:
        truth, index = ground_truth(path, ["a", "b", "c", "q"])
    except UserError as error:
        assert "\n" not in str(error)
        return
    for query in truth.queries:
        for judge in SETUPS.values():
            judged = judge(query)
            assert set(names(index, [*judged.positives, *judged.junk])) <= set(value["imlist"])


def test_a_hostile_ground_truth_runs_nothing(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'mark'}",)

    path = write(tmp_path, content(gnd=[Bomb(), entry([0])]))
    with pytest.raises(UserError, match=r"asks for posix\.system"):
        read_gnd(path)
    assert not (tmp_path / "mark").exists()


def test_the_pickle_of_a_folder(tmp_path):
    with pytest.raises(UserError, match="holds 0 gnd_"):
        find_gnd(tmp_path)
    path = write(tmp_path, content())
    write(tmp_path, content(), "other.pkl")
    assert find_gnd(tmp_path) == find_gnd(path) == path
    write(tmp_path, content(), "gnd_two.pkl")
    with pytest.raises(UserError, match=r"holds 2 .*gnd_small\.pkl, gnd_two\.pkl"):
        find_gnd(tmp_path)
    with pytest.raises(UserError, match="there is no ground truth"):
        find_gnd(tmp_path / "gone")
