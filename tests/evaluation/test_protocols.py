"""Which protocol is taken, which images are searched, and which query is cropped."""

import pickle

import pytest
from PIL import Image

from src.common.errors import UserError
from src.evaluation.protocols import choose_protocol, list_distractors, read_benchmark
from tests.evaluation.test_revisited import content, write
from tests.helpers.ground_truth import write_query

PHOTOS = ["a", "b", "c", "d", "q"]


def photos(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (4, 4)).save(folder / f"{name}.png")
    return str(folder)


@pytest.fixture
def lists(tmp_path):
    write_query(tmp_path / "gt", good=["a", "q"], ok=["b"], junk=["d"])
    return tmp_path / "gt"


def test_auto_goes_by_the_ground_truth(tmp_path, lists):
    pickles = tmp_path / "pickles"
    pickles.mkdir()
    gnd = write(pickles, content())
    assert choose_protocol("auto", lists).name == "levels"
    assert choose_protocol("auto", gnd).name == "revisited"
    assert choose_protocol("auto", pickles).name == "revisited"
    write(lists, content())
    assert choose_protocol("auto", lists).name == "levels"
    assert choose_protocol("revisited", lists).name == "revisited"


def test_ground_truth_of_another_protocol_is_refused(tmp_path, lists):
    gnd = write(tmp_path, content())
    for protocol in ("levels", "classic"):
        with pytest.raises(UserError, match=f"the {protocol} protocol needs a folder"):
            choose_protocol(protocol, gnd)
    with pytest.raises(UserError, match="the revisited protocol needs a gnd_"):
        choose_protocol("revisited", lists)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no \*_query.txt file and no gnd_"):
        choose_protocol("auto", tmp_path / "empty")
    with pytest.raises(UserError, match="there is no ground truth"):
        choose_protocol("auto", tmp_path / "gone")


@pytest.mark.parametrize(
    ("protocol", "cropped"), [("auto", False), ("levels", False), ("classic", True)]
)
def test_queries_are_cropped_as_the_protocol_does_or_as_one_says(lists, protocol, cropped):
    assert read_benchmark(lists, PHOTOS, protocol=protocol).crop is cropped
    assert read_benchmark(lists, PHOTOS, protocol=protocol, crop=False).crop is False
    assert read_benchmark(lists, PHOTOS, protocol=protocol, crop=True).crop is True


def test_distractors_of_the_oxford_layout_move_the_indices(lists):
    benchmark = read_benchmark(lists, PHOTOS, ["aa", "z"], "classic")
    assert benchmark.images == ("a", "aa", "b", "c", "d", "q", "z")
    (query,) = benchmark.ground_truth.queries
    found = {
        kind: [benchmark.images[i] for i in getattr(query, kind)] for kind in ("good", "ok", "junk")
    }
    assert found == {"good": ["a", "q"], "ok": ["b"], "junk": ["d"]}
    assert benchmark.images[query.image] == "q"
    assert benchmark.ground_truth.image_count == 7
    assert benchmark.distractors == 2


def test_a_distractor_does_not_stand_in_for_a_lost_photo(tmp_path):
    write_query(tmp_path / "gt", good=["a", "lost"])
    benchmark = read_benchmark(tmp_path / "gt", PHOTOS, ["lost"])
    assert benchmark.ground_truth.missing == ("lost",)
    assert benchmark.ground_truth.queries[0].good.tolist() == [0]


def test_revisited_searches_neither_queries_nor_other_photos(tmp_path):
    gnd = write(tmp_path, content())
    benchmark = read_benchmark(gnd, ["a", "b", "c", "d", "other", "q1", "q2"], ["z"])
    assert benchmark.images == ("a", "b", "c", "d", "z")
    assert benchmark.crop
    assert benchmark.query_photos == {"q1": "q1", "q2": "q2"}


def test_distractor_folders(tmp_path):
    one = photos(tmp_path / "one", "x", "y")
    two = photos(tmp_path / "two", "z")
    assert list_distractors("", "photos", PHOTOS) == {}
    assert list_distractors(f"{one}, {two},", "photos", PHOTOS) == {one: ["x", "y"], two: ["z"]}


def test_distractors_that_cannot_be(tmp_path):
    (tmp_path / "empty").mkdir()
    clash = photos(tmp_path / "clash", "x", "q")
    one, two = photos(tmp_path / "one", "x"), photos(tmp_path / "two", "x", "y")
    cases = {
        str(tmp_path / "empty"): "no image in",
        str(tmp_path / "gone"): "does not exist",
        clash: "1 photos of the distractors .*clash have names of photos in photos, such as q",
        f"{one},{two}": "names of photos in .*one, such as x",
        f"{one},{one}": "names of photos in .*one, such as x",
    }
    for text, message in cases.items():
        with pytest.raises(UserError, match=message):
            list_distractors(text, "photos", PHOTOS)


def test_no_query_has_positives(tmp_path):
    gnd = tmp_path / "gnd_none.pkl"
    entries = [{"bbx": [0, 0, 1, 1], "easy": [], "hard": [], "junk": [0]}]
    gnd.write_bytes(pickle.dumps({"imlist": ["a"], "qimlist": ["q"], "gnd": entries}))
    benchmark = read_benchmark(gnd, PHOTOS)
    judged = [
        judge(benchmark.ground_truth.queries[0]) for judge in benchmark.protocol.setups.values()
    ]
    assert [j.positives.size for j in judged] == [0, 0, 0]
