"""Which protocol is taken, which images are searched, and which query is cropped."""

import pickle
import unicodedata

import pytest
from PIL import Image

from src.common.errors import UserError
from src.dataset import judge_classic
from src.evaluation.protocols import choose_protocol, list_distractors, read_benchmark
from tests.evaluation.test_revisited import content, entry, write
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
    with pytest.raises(UserError, match="1 of the 2 images listed"):
        read_benchmark(tmp_path / "gt", PHOTOS, ["lost"])
    benchmark = read_benchmark(tmp_path / "gt", PHOTOS, ["lost"], missing_images="ignore")
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


def without_positives(folder):
    gnd = folder / "gnd_none.pkl"
    entries = [{"bbx": [0, 0, 1, 1], "easy": [], "hard": [], "junk": [0]}]
    gnd.write_bytes(pickle.dumps({"imlist": ["a"], "qimlist": ["q"], "gnd": entries}))
    return gnd


def only_itself(folder):
    write_query(folder / "gt", good=["q"], junk=["a"])
    return folder / "gt"


@pytest.mark.parametrize(
    ("make", "protocol"),
    [
        (without_positives, "revisited"),
        (only_itself, "levels"),
        (only_itself, "classic"),
    ],
)
@pytest.mark.parametrize("missing_images", ["refuse", "ignore"])
def test_a_ground_truth_without_positives_is_refused(tmp_path, make, protocol, missing_images):
    """By the levels each would score 100 %, by the others none at all."""
    with pytest.raises(UserError, match="nothing to judge"):
        read_benchmark(make(tmp_path), PHOTOS, protocol=protocol, missing_images=missing_images)


def test_a_setup_without_positives_is_none_of_the_others_business(tmp_path):
    """Terrassa has no hard images at all."""
    gnd = write(tmp_path, content(gnd=[entry([0, 1]), entry([2])]))
    benchmark = read_benchmark(gnd, ["a", "b", "c", "d", "q1", "q2"])
    judged = [benchmark.protocol.setups["hard"](q) for q in benchmark.ground_truth.queries]
    assert [j.positives.size for j in judged] == [0, 0]


@pytest.mark.parametrize("protocol", ["levels", "classic"])
def test_a_folder_of_the_queries_alone_is_refused(tmp_path, protocol):
    write_query(tmp_path / "gt", "x_1", "q", good=["q", "a"], ok=["b", "c"], junk=["d"])
    write_query(tmp_path / "gt", "y_1", "p", good=["e", "f"], ok=["p"])
    with pytest.raises(UserError, match=r"6 of the 8 images listed .* \(75%\).*10% may be missing"):
        read_benchmark(tmp_path / "gt", ["p", "q"], protocol=protocol)
    with pytest.raises(UserError, match="nothing to judge"):
        read_benchmark(tmp_path / "gt", ["p", "q"], protocol=protocol, missing_images="ignore")


def test_one_image_in_ten_of_a_pickle_is_refused(tmp_path):
    images = [f"i{number}" for number in range(40)]
    gnd = write(tmp_path, {"imlist": images, "qimlist": ["q"], "gnd": [entry([0, 1], [2, 3])]})
    with pytest.raises(UserError, match=r"36 of the 40 images listed .*gnd_small"):
        read_benchmark(gnd, ["q", *images[::10]])
    kept = read_benchmark(gnd, ["q", *images[::10]], missing_images="ignore")
    assert len(kept.ground_truth.missing) == 36
    # a small share of all that are listed, but half of those that are right
    with pytest.raises(UserError, match=r"2 of the 4 mentions of a positive image"):
        read_benchmark(gnd, ["q", *images[2:]])
    assert len(read_benchmark(gnd, ["q", *images[:36]]).images) == 36


def test_a_query_that_has_lost_its_positives_does_not_count(tmp_path, caplog):
    """It would find itself and nothing else: a perfect score."""
    many = [f"i{number}" for number in range(30)]
    write_query(tmp_path / "gt", "x_1", "q", good=many, ok=[])
    write_query(tmp_path / "gt", "x_2", "q", good=["q", "gone"], ok=["i0"])
    write_query(tmp_path / "gt", "x_3", "q", good=[], ok=["gone"])
    benchmark = read_benchmark(tmp_path / "gt", [*many, "n", "q"])
    setups = {**benchmark.protocol.setups, "classic": judge_classic}
    sizes = {
        name: [judge(query).positives.size for query in benchmark.ground_truth.queries]
        for name, judge in setups.items()
    }
    assert sizes == {
        "easy": [31, 0, 0],  # not that ok takes the place of a good list that is lost
        "medium": [31, 2, 0],
        "hard": [0, 1, 0],
        "classic": [30, 2, 0],
    }
    assert "1 of 3 queries have lost all their positive images" in caplog.text


def test_names_with_suffixes_and_in_another_normal_form(tmp_path):
    """macOS writes the ö of a file's name as two characters, lists have one."""
    on_disk = [unicodedata.normalize("NFD", name) for name in ("Köln 1", "Köln 2", "Köln 3", "q")]
    listed = [f"{unicodedata.normalize('NFC', name)}.JPG" for name in on_disk[:3]]
    assert listed[0][:-4] != on_disk[0]
    entries = [entry([0], [1], [2])]
    gnd = write(tmp_path, {"imlist": listed, "qimlist": ["q.jpeg"], "gnd": entries})
    benchmark = read_benchmark(gnd, on_disk)
    assert benchmark.images == tuple(on_disk[:3])
    (query,) = benchmark.ground_truth.queries
    assert (query.label, query.name, benchmark.ground_truth.missing) == ("q", "q", ())
    assert [query.easy.tolist(), query.hard.tolist(), query.junk.tolist()] == [[0], [1], [2]]
    with pytest.raises(UserError, match=r"imlist names .* twice"):
        twice = {"imlist": ["a.jpg", "a"], "qimlist": ["q"], "gnd": [entry([0])]}
        read_benchmark(write(tmp_path, twice), PHOTOS)


def test_a_distractor_may_not_have_the_name_of_a_photo_in_another_normal_form(tmp_path):
    folder = photos(tmp_path / "more", unicodedata.normalize("NFD", "Köln"))
    with pytest.raises(UserError, match="have names of photos"):
        list_distractors(folder, "photos", [unicodedata.normalize("NFC", "Köln")])


def test_an_order_that_cannot_be_wrong_is_told(tmp_path, caplog):
    write_query(tmp_path / "gt", good=["a"], ok=["b"], junk=["c", "d"])
    read_benchmark(tmp_path / "gt", PHOTOS, protocol="classic")
    assert "no photo is a wrong answer" in caplog.text
