"""Keeping an index up to date: as good as a new one, at any moment, with others looking on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.feature_io import Manifest, feature_path, write_manifest
from src.index import build as build_feature_dataset
from src.index.build import build_index, remove_images, update_index
from src.index.choice import IndexSettings
from src.index.files import read_description
from src.index.folder import load_index
from tests.index.test_build_feature_dataset import contents, write_folder

FIRST = {"a": 30, "b": 0, "c": 50, "d": 17}
LATER = {"a": 30, "aa": 25, "c": 50, "e": 0, "f": 12}
ALL = {"a": 30, "aa": 25, "b": 0, "c": 50, "d": 17, "e": 0, "f": 12}
SMALL_LISTS = IndexSettings("ivf", lists=4, probes=4)


def list_images(folder, names):
    """Let the manifest of a feature folder list some of its images."""
    images = tuple((name, f"{name}.jpg") for name in sorted(names))
    write_manifest(folder, Manifest(images, {"pca_dim": 8}))


@pytest.fixture
def folder(tmp_path):
    """A feature folder with the images of `ALL`, of which it lists those of `FIRST`."""
    write_folder(tmp_path / "features", ALL)
    list_images(tmp_path / "features", FIRST)
    return tmp_path


def replace_features(folder, name, count=9):
    write_folder(folder / "other", {name: count}, seed=77)
    shutil.copy(feature_path(folder / "other", name), feature_path(folder / "features", name))


def answers(index_folder, k=40):
    """What a search sees of an index."""
    index = load_index(index_folder)
    rng = np.random.default_rng(3)
    queries = rng.normal(size=(25, index.dimension)).astype(np.float32)
    rows = rng.permutation(len(index.descriptors))[:20]
    return [
        np.array(index.names),
        index.offsets,
        index.image_of,
        index.extents,
        *index.nearest(queries, k),
        index.descriptors[:],
        np.asarray(index.locations),
        index.locations[rows],
        index.descriptors[rows[:, None], 1],
        *(index.descriptors[a:b] for a, b in zip(index.offsets[:-1], index.offsets[1:])),
    ]


def assert_same_answers(one, two):
    for found, expected in zip(answers(one), answers(two)):
        if found.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, atol=1e-5)
        else:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [IndexSettings(), SMALL_LISTS])
def test_an_index_brought_up_to_date_answers_as_a_new_one(folder, kind):
    features, index = folder / "features", folder / "index"
    build_index(features, index, kind)
    list_images(features, LATER)
    replace_features(folder, "a")
    changes = update_index(features, index, kind)
    assert changes.added == ("aa", "e", "f")
    assert changes.replaced == ("a",)
    assert changes.removed == ("b", "d")
    build_index(features, folder / "fresh", kind)
    assert_same_answers(index, folder / "fresh")
    assert read_description(index)["settings"] == read_description(folder / "fresh")["settings"]
    build_index(features, index, kind)  # complete: the same features and settings


@pytest.mark.parametrize("kind", [IndexSettings(), SMALL_LISTS])
@settings(max_examples=8, deadline=None)
@given(steps=st.lists(st.sets(st.sampled_from(sorted(ALL)), min_size=1), min_size=1, max_size=8))
def test_any_sequence_of_updates(tmp_path_factory, kind, steps):
    folder = tmp_path_factory.mktemp("any")
    write_folder(folder / "features", ALL)
    build_index(folder / "features", folder / "index", kind)
    for names in steps:
        names = names | {"c"}  # something to search
        update_index(folder / "features", folder / "index", kind, names)
        assert load_index(folder / "index").names == tuple(sorted(names))
    build_index(folder / "features", folder / "fresh", kind, names)
    assert_same_answers(folder / "index", folder / "fresh")


def test_nothing_new_changes_nothing(folder):
    build_index(folder / "features", folder / "index")
    before = contents(folder / "index")
    assert not update_index(folder / "features", folder / "index")
    assert contents(folder / "index") == before


def test_without_an_index_one_is_built(folder):
    changes = update_index(folder / "features", folder / "index")
    assert changes.added == tuple(sorted(FIRST))
    build_index(folder / "features", folder / "fresh")
    assert contents(folder / "index") == contents(folder / "fresh")


def test_an_update_reads_and_writes_only_what_is_new(folder, monkeypatch):
    features, index = folder / "features", folder / "index"
    build_index(features, index, SMALL_LISTS)
    kept = {p.name: p.stat().st_ino for p in index.iterdir() if p.name != "index.json"}
    kept.pop("images-1.npz")
    list_images(features, {**FIRST, "f": 12})
    read = []
    whole = build_feature_dataset.read_features
    monkeypatch.setattr(
        build_feature_dataset, "read_features", lambda path: read.append(path.stem) or whole(path)
    )
    monkeypatch.setattr(build_feature_dataset, "train", None)  # would be called in vain
    update_index(features, index, SMALL_LISTS)
    assert read == ["f"]
    now = {p.name: p.stat().st_ino for p in index.iterdir()}
    assert kept.items() <= now.items()
    assert set(now) - set(kept) == {"images-2.npz", "index.json", "lists-2-0.bin"}


def test_lists_do_not_become_ever_more_files(folder):
    features, index = folder / "features", folder / "index"
    names = [f"new_{number:02d}" for number in range(14)]
    write_folder(features, {**dict.fromkeys(names, 3), **FIRST})
    list_images(features, FIRST)
    build_index(features, index, SMALL_LISTS)
    for number in range(len(names)):
        list_images(features, [*FIRST, *names[: number + 1]])
        update_index(features, index, SMALL_LISTS)
        files = sorted(path.name for path in index.glob("lists-*"))
        assert files == sorted(read_description(index)["search"]["lists_files"])
        assert len(files) <= build_feature_dataset.MAX_LISTS_FILES
    build_index(features, folder / "fresh", SMALL_LISTS)
    assert_same_answers(index, folder / "fresh")


def test_most_neighbours_are_found_after_many_updates(tmp_path):
    names = [f"image_{number:02d}" for number in range(20)]
    write_folder(tmp_path / "features", dict.fromkeys(names, 150))
    kind = IndexSettings("ivf_sq8", lists=32)
    for count in (12, 15, 18, 20):
        update_index(tmp_path / "features", tmp_path / "index", kind, names[:count])
    build_index(tmp_path / "features", tmp_path / "flat")
    queries = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    exact = load_index(tmp_path / "flat").nearest(queries, 60)[1]
    found = load_index(tmp_path / "index").nearest(queries, 60)[1]
    assert np.mean([len(set(a) & set(b)) / 60 for a, b in zip(exact, found)]) > 0.9


def test_removed_images_are_never_found(folder):
    features = folder / "features"
    for kind in (IndexSettings(), SMALL_LISTS):
        index = folder / f"index-{kind.kind}"
        build_index(features, index, kind)
        gone = load_index(index)
        wanted = gone.descriptors[gone.offsets[3] : gone.offsets[4]]
        changes = remove_images(index, ["d"])
        assert (changes.removed, changes.rebuilt) == (("d",), None)
        left = load_index(index)
        assert left.names == ("a", "b", "c")
        squares, rows = left.nearest(wanted, 80)
        assert set(rows.ravel()) <= set(range(80))
        assert squares[:, 0].min() > 1e-3
        with pytest.raises(UserError, match="holds no image d, x"):
            remove_images(index, ["x", "d"])
        with pytest.raises(UserError, match="nothing to search"):
            remove_images(index, ["a", "c"])
        assert load_index(index).names == ("a", "b", "c")
        # what was taken out comes back by an update
        assert update_index(features, index, kind).added == ("d",)


def test_an_index_of_mostly_unused_rows_is_written_anew(folder):
    index = folder / "index"
    build_index(folder / "features", index, SMALL_LISTS)
    changes = remove_images(index, ["c"])
    assert "50 of 97 rows are no longer used" in changes.rebuilt
    assert read_description(index)["rows"] == 47
    assert {path.name for path in index.iterdir()} == {
        "descriptors-2.bin", "images-2.npz", "index.json", "lists-2-0.bin", "locations-2.bin",
        "trained-2.faiss",
    }  # fmt: skip
    build_index(folder / "features", folder / "fresh", SMALL_LISTS, names=["a", "b", "d"])
    assert_same_answers(index, folder / "fresh")


def test_an_index_that_has_outgrown_its_kind_is_built_anew(tmp_path):
    counts = {f"image_{number}": 100 for number in range(9)}
    write_folder(tmp_path / "features", counts)
    kind = IndexSettings(exact_features=150)
    names = sorted(counts)

    def update(count):
        return update_index(tmp_path / "features", tmp_path / "index", kind, names[:count])

    update(1)
    assert read_description(tmp_path / "index")["search"]["plan"]["kind"] == "flat"
    assert update(2).rebuilt is None  # another kind would be chosen, but it has not grown by much
    assert "300 features instead of 100" in update(3).rebuilt
    assert read_description(tmp_path / "index")["search"]["plan"]["kind"] == "ivf"
    assert update(6).rebuilt is None
    assert "700 features instead of 300" in update(7).rebuilt


def test_what_does_not_fit_is_refused(folder):
    features, index = folder / "features", folder / "index"
    build_index(features, index)
    before = contents(index)
    with pytest.raises(UserError, match=r'index: .*"lists": 4'):
        update_index(features, index, SMALL_LISTS)
    write_folder(folder / "others", {"x": 5}, settings={"pca_dim": 20})
    with pytest.raises(UserError, match=r"features: \{.pca_dim.: 8\} there, \{.pca_dim.: 20\}"):
        update_index(folder / "others", index)
    write_folder(folder / "long", {"x": 5}, dimension=6, settings={"pca_dim": 8})
    with pytest.raises(UserError, match=r"6 in x, 8 in index"):
        update_index([features, folder / "long"], index)
    feature_path(features, "c").unlink()
    with pytest.raises(UserError, match=r"c\.npz"):
        update_index(features, index)
    assert contents(index) == before


def test_a_search_that_has_the_index_open_is_not_disturbed(folder):
    features, index = folder / "features", folder / "index"
    for kind in (IndexSettings(), SMALL_LISTS):
        shutil.rmtree(index, ignore_errors=True)
        list_images(features, FIRST)
        build_index(features, index, kind)
        queries = np.random.default_rng(3).normal(size=(9, 8)).astype(np.float32)
        opened = load_index(index)
        expected = opened.nearest(queries, 30)
        descriptors = opened.descriptors[:].copy()
        late = load_index(index)  # its first search comes after the files are gone
        list_images(features, ALL)
        update_index(features, index, kind)
        remove_images(index, ["a", "c"])
        for search in (opened, late):
            assert search.names == tuple(sorted(FIRST))
            for found, wanted in zip(search.nearest(queries, 30), expected):
                np.testing.assert_array_equal(found, wanted)
            np.testing.assert_array_equal(search.descriptors[:], descriptors)


def test_opening_while_the_index_is_replaced(folder, monkeypatch):
    from src.index import folder as index_folder

    build_index(folder / "features", folder / "index", SMALL_LISTS)
    whole = index_folder.check_files

    def replaced_meanwhile(*arguments):
        monkeypatch.setattr(index_folder, "check_files", whole)
        remove_images(folder / "index", ["c"])  # written anew: all files are others
        whole(*arguments)

    monkeypatch.setattr(index_folder, "check_files", replaced_meanwhile)
    assert load_index(folder / "index").names == ("a", "b", "d")


# ---------------------------------------------------------------- killed, locked, full

PROGRAM = """
import os, signal, sys
sys.path.insert(0, {root!r})
from src.index import build as program
from src.index import files as index_files
from src.index import folder as index_folder
steps = 0
def step(what, when):
    def wrapped(*arguments, **named):
        global steps
        steps += 1
        if steps == {number}: os.kill(os.getpid(), signal.SIGKILL)
        result = what(*arguments, **named)
        steps += 1
        if steps == {number}: os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapped
for name in ("read_features", "train", "write_lists", "write_description", "measure_probes"):
    setattr(program, name, step(getattr(program, name), name))
index_files.write_json = step(index_files.write_json, "json")
index_files.remove_left_overs = step(index_files.remove_left_overs, "clean")
os.truncate = step(os.truncate, "truncate")
program.{call}
print("done")
"""


def run_killed(call, number):
    """Run a call in a program of its own that kills itself before or after its n-th step."""
    program = PROGRAM.format(root=str(PROJECT_ROOT), call=call, number=number)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("number", [1, 3, 4, 8, 13, 17, 18, 19])
def test_a_killed_build_leaves_no_index_and_the_next_one_is_as_new(folder, number):
    index = folder / "index"
    settings = "program.IndexSettings('ivf', lists=4)"
    call = f"build_index({str(folder / 'features')!r}, {str(index)!r}, {settings})"
    killed = run_killed(call, number)
    if "done" not in killed.stdout:
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    build_index(folder / "features", folder / "fresh", IndexSettings("ivf", lists=4))
    if (index / "index.json").exists():
        assert_same_answers(index, folder / "fresh")
    else:
        with pytest.raises(UserError, match="no index"):
            load_index(index)
    build_index(folder / "features", index, IndexSettings("ivf", lists=4))
    (index / "index.lock").unlink(missing_ok=True)  # of one killed when all was done; harmless
    assert contents(index) == contents(folder / "fresh")


@pytest.mark.parametrize("number", [1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 13])
def test_a_killed_update_leaves_the_old_or_the_new_index(folder, number):
    features, index = folder / "features", folder / "index"
    build_index(features, index, SMALL_LISTS)
    shutil.copytree(index, folder / "old")
    list_images(features, LATER)
    build_index(features, folder / "new", SMALL_LISTS)
    settings = "program.IndexSettings('ivf', lists=4, probes=4)"
    killed = run_killed(f"update_index({str(features)!r}, {str(index)!r}, {settings})", number)
    if "done" not in killed.stdout:
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    names = load_index(index).names
    assert names in (tuple(sorted(FIRST)), tuple(sorted(LATER)))
    assert_same_answers(index, folder / ("old" if names == tuple(sorted(FIRST)) else "new"))
    update_index(features, index, SMALL_LISTS)
    assert_same_answers(index, folder / "new")
    known = read_description(index)["files"]
    found = {path.name: path.stat().st_size for path in index.iterdir()}
    del found["index.json"]
    assert found == {name: file["bytes"] for name, file in known.items()}


def test_two_programs_do_not_write_one_index(folder):
    index = folder / "index"
    build_index(folder / "features", index)
    program = (
        f"import sys; sys.path.insert(0, {str(PROJECT_ROOT)!r})\n"
        "from pathlib import Path; import time\n"
        "from src.index.files import writing\n"
        f"with writing(Path({str(index)!r})):\n"
        "    print('locked', flush=True); time.sleep(600)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match="another process is writing the index"):
            remove_images(index, ["d"])
        assert load_index(index).names == tuple(sorted(FIRST))  # reading needs no lock
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    remove_images(index, ["d"])  # the lock ends with its process
    assert not (index / "index.lock").exists()


def test_a_folder_that_cannot_be_written(folder):
    (folder / "file").write_text("")
    with pytest.raises(UserError, match="cannot make the folder"):
        build_index(folder / "features", folder / "file" / "index")
    build_index(folder / "features", folder / "index")
    (folder / "index" / "index.lock").mkdir()  # stands for any reason; root may write anywhere
    with pytest.raises(UserError, match="cannot write in"):
        remove_images(folder / "index", ["a"])


def test_a_full_disk_leaves_the_index_as_it_was(folder):
    """In a program whose files may not become larger than the index has to be."""
    features, index = folder / "features", folder / "index"
    build_index(features, index)
    before = contents(index)
    list_images(features, ALL)
    limit = (index / "descriptors-1.bin").stat().st_size + 100
    program = (
        "import resource, signal, sys\n"
        f"sys.path.insert(0, {str(PROJECT_ROOT)!r})\n"
        "from src.index.build import update_index\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        f"update_index({str(features)!r}, {str(index)!r})\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode != 0
    assert "File too large" in run.stderr
    assert contents(index) == before


def test_interrupting_the_command_keeps_the_index(tmp_path):
    names = [f"image_{number:03d}" for number in range(300)]
    write_folder(tmp_path / "features", dict.fromkeys(names, 200))
    build_index(tmp_path / "features", tmp_path / "index", names=names[:5])
    before = contents(tmp_path / "index")
    command = [sys.executable, str(PROJECT_ROOT / "src" / "build_feature_dataset.py"), "--update",
               f"--features_path={tmp_path / 'features'}", f"--index_path={tmp_path / 'index'}",
               "--index_kind=auto"]  # fmt: skip
    rows = tmp_path / "index" / "descriptors-1.bin"
    size = rows.stat().st_size
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and rows.stat().st_size == size:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    if process.returncode == 130:
        assert "interrupted" in errors
        assert contents(tmp_path / "index") == before
    else:  # it was faster
        assert process.returncode == 0
        assert load_index(tmp_path / "index").image_count == 300


def test_mistakes_end_with_one_line_and_code_2(folder):
    build_index(folder / "features", folder / "index")
    path = folder / "index" / "locations-1.bin"
    os.truncate(path, 10)
    program = str(PROJECT_ROOT / "src" / "build_feature_dataset.py")
    run = subprocess.run(
        [sys.executable, program, f"--index_path={folder / 'index'}", "--remove", "d"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    errors = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "locations-1.bin has 10 bytes, not" in errors[0]
    assert "Traceback" not in run.stderr


def test_what_describes_the_index_is_written_down(folder):
    build_index(folder / "features", folder / "index", IndexSettings("ivf", lists=4))
    content = json.loads((folder / "index" / "index.json").read_text())
    assert content["search"]["plan"] == {
        "kind": "ivf", "lists": 4, "code": "Flat", "code_bytes": 32
    }  # fmt: skip
    assert 1 <= content["search"]["probes"] <= 4
    assert content["search"]["recall"] >= 0.95
    assert content["settings"]["index"]["seed"] == 0
