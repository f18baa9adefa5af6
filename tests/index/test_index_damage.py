"""Damage to the files of an index: found before it gets into a result, never signed for.

Blocks are made small here, so that small files have many of them.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import shutil
import zlib

import numpy as np
import pytest

from src.common.errors import UserError
from src.feature_io import Features, feature_path, write_features
from src.index import files as index_files
from src.index import summed_files
from src.index.build import build_index, remove_images, update_index
from src.index.files import read_description
from src.index.folder import load_index
from src.index.summed_files import DamagedError
from tests.helpers.index import ALL_KINDS, answers, as_old_format, list_some, write_folder

COUNTS = {"a": 60, "aa": 45, "b": 0, "c": 110, "d": 37, "e": 70, "f": 142, "g": 60}
FIRST = ("a", "b", "c", "d", "e", "f")
BLOCK = 512


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    for module in (index_files, summed_files):
        monkeypatch.setattr(module, "BLOCK_BYTES", BLOCK)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Feature folder, and an index of each kind: built, then brought up to date."""
    folder = tmp_path_factory.mktemp("made")
    write_folder(folder / "features", COUNTS)
    with pytest.MonkeyPatch.context() as patch:
        for module in (index_files, summed_files):
            patch.setattr(module, "BLOCK_BYTES", BLOCK)
        for kind, settings in ALL_KINDS.items():
            list_some(folder / "features", FIRST)
            build_index(folder / "features", folder / kind, settings)
            list_some(folder / "features", COUNTS)
            update_index(folder / "features", folder / kind, settings)
    return folder


@pytest.fixture
def copy_of(made, tmp_path):
    """Return a copy of the index of a kind."""
    return lambda kind: shutil.copytree(made / kind, tmp_path / kind)


def saw(folder):
    """What a search sees, or the one line that it ends with."""
    try:
        return b"".join(np.ascontiguousarray(part).tobytes() for part in answers(folder))
    except UserError as error:
        return str(error)


def is_one_line_about(said, folder):
    return isinstance(said, str) and str(folder) in said and "\n" not in said and "build" in said


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_flipped_bit_anywhere_in_any_file_never_gives_another_answer(copy_of, kind):
    index = copy_of(kind)
    whole = saw(index)
    assert isinstance(whole, bytes)
    rng = np.random.default_rng(0)
    for path in sorted(index.iterdir()):
        content = bytearray(path.read_bytes())
        for place in rng.choice(len(content), 25, replace=False).tolist():
            flipped = bytearray(content)
            flipped[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(flipped)
            said = saw(index)
            assert said == whole or is_one_line_about(said, index), (path.name, place)
            if path.name != "index.json":  # all of the others is looked at
                assert said != whole, (path.name, place)
        path.write_bytes(content)
    assert saw(index) == whole


DAMAGES = {
    "not numbers": lambda block, _: np.full(len(block) // 4, np.nan, np.float32).tobytes(),
    "all ones": lambda block, _: b"\xff" * len(block),
    "all zeros": lambda block, _: bytes(len(block)),
    "the block after it": lambda _, after: after,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("kind", "part"), [("flat", "descriptors"), ("ivf", "lists"),
                                            ("ivf", "descriptors"), ("ivf_pq", "lists"),
                                            ("ivf_sq8", "locations")])  # fmt: skip
def test_a_damaged_stretch_is_named_when_it_is_looked_at(copy_of, kind, part, damage):
    index = copy_of(kind)
    path = max(index.glob(f"{part}-*"), key=lambda path: path.stat().st_size)
    content = path.read_bytes()
    start = BLOCK * (len(content) // BLOCK // 2)
    end = start + BLOCK
    changed = DAMAGES[damage](content[start:end], content[end : end + BLOCK])
    path.write_bytes(content[:start] + changed + content[end:])
    opened = load_index(index)  # at once, whatever the size: nothing of it is looked at yet
    with pytest.raises(DamagedError, match=f"{path.name} .* byte {start} to {end}.*build it again"):
        if part == "locations":
            opened.locations[:]
        elif kind == "flat" or part == "lists":
            opened.nearest(np.ones((3, 8), dtype=np.float32), 5)
        else:
            opened.descriptors[np.arange(len(opened.descriptors))]


def test_what_is_not_damaged_is_still_read(made, tmp_path):
    index = tmp_path / "index"
    build_index(made / "features", index)
    path = index / "descriptors-1.bin"
    expected = load_index(index).descriptors[:].copy()
    content = bytearray(path.read_bytes())
    content[5 * BLOCK + 7] ^= 16
    path.write_bytes(content)
    opened = load_index(index)
    row = BLOCK // 32  # rows in a block
    np.testing.assert_array_equal(opened.descriptors[: 5 * row], expected[: 5 * row])
    np.testing.assert_array_equal(opened.descriptors[[0, 6 * row]], expected[[0, 6 * row]])
    for key in (5 * row, slice(4 * row, 6 * row), [0, 5 * row]):
        with pytest.raises(DamagedError):
            opened.descriptors[key]


def test_files_that_go_away_or_shrink_while_the_index_is_open(copy_of):
    index = copy_of("flat")
    opened = load_index(index)
    for name in ("descriptors-1.bin", "locations-1.bin"):
        os.truncate(index / name, 3 * BLOCK)
    with pytest.raises(DamagedError, match=r"descriptors-1.bin has been cut"):
        opened.nearest(np.ones((3, 8), dtype=np.float32), 5)
    with pytest.raises(DamagedError, match=r"locations-1.bin has been cut"):
        opened.locations[:]


@pytest.mark.parametrize("key", ["probes", "rows", "files", "digest", "format", "block_bytes"])
def test_a_description_that_says_something_else(copy_of, key):
    index = copy_of("ivf")
    path = index / "index.json"
    content = json.loads(path.read_text())
    if key == "probes":
        content["search"]["probes"] -= 1
    elif key == "files":
        content["files"]["descriptors-1.bin"]["sums"] = content["files"]["locations-1.bin"]["sums"]
    else:
        content[key] = {"format": 2, "digest": "0" * 64}.get(key, 2 * BLOCK)
    path.write_text(json.dumps(content))
    assert is_one_line_about(saw(index), index)


def test_a_description_that_is_cut_or_cannot_be_written(copy_of, monkeypatch):
    index = copy_of("ivf")
    path = index / "index.json"
    whole, seen = path.read_bytes(), saw(index)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(index_files, "write_json", full)
        with pytest.raises(OSError, match="No space left"):
            remove_images(index, ["a"])
    assert path.read_bytes() == whole
    assert saw(index) == seen
    for length in (0, 1, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:length])
        assert is_one_line_about(saw(index), index)


@pytest.mark.parametrize("wrong", [10**6, 524, 2**62, -1, -(2**63)])
def test_rows_are_in_range_not_by_sums_alone(copy_of, wrong):
    """As if they had been wrong already when they were summed."""
    index = copy_of("ivf")
    path = index / "lists-1-0.bin"
    content = bytearray(path.read_bytes())
    size = int(np.frombuffer(content[32:40], dtype=np.int64)[0])
    first, last = 64 + size * 32, 64 + size * 40
    content[first:last] = np.full(size, wrong, dtype=np.int64).tobytes()
    path.write_bytes(content)
    sign_again(index)
    said = saw(index)
    assert is_one_line_about(said, index)
    assert "rows that there are not in list 0" in said


def sign_again(index):
    """Write the sums and the digest of an index as it lies there."""
    content = json.loads((index / "index.json").read_text())
    del content["digest"]
    for name, known in content["files"].items():
        known["sums"] = base64.b64encode(sums_of(index / name).tobytes()).decode()
    index_files.write_description(index, content, content["files"])


def sums_of(path):
    """The sums of a file's blocks, of what lies on the disk."""
    content = path.read_bytes()
    starts = range(0, len(content), BLOCK)
    return np.array([zlib.crc32(content[s : s + BLOCK]) for s in starts], dtype="<u4")


def assert_sums_are_right(index):
    files = read_description(index)["files"]
    assert {path.name for path in index.iterdir()} == {*files, "index.json"}
    for name, known in files.items():
        assert known["bytes"] == (index / name).stat().st_size
        written = np.frombuffer(base64.b64decode(known["sums"]), dtype="<u4")
        np.testing.assert_array_equal(written, sums_of(index / name), err_msg=name)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_updates_merges_and_removals_keep_the_sums_right(tmp_path, kind):
    features, index = tmp_path / "features", tmp_path / "index"
    write_folder(features, {**COUNTS, **{f"n{number}": 5 for number in range(9)}})
    listed = list(FIRST)
    list_some(features, listed)
    build_index(features, index, ALL_KINDS[kind])
    assert_sums_are_right(index)
    for number in range(9):  # more files of lists than a search looks into: they are merged
        listed.append(f"n{number}")
        list_some(features, listed)
        assert update_index(features, index, ALL_KINDS[kind]).rebuilt is None
        assert_sums_are_right(index)
    remove_images(index, ["d"])
    assert_sums_are_right(index)
    assert remove_images(index, ["c"]).rebuilt  # written anew
    assert_sums_are_right(index)


@pytest.mark.parametrize("change", ["add", "remove", "rebuild", "merge"])
@pytest.mark.parametrize("part", ["descriptors-1", "locations-1", "lists-1-0", "lists-2-0"])
def test_an_update_does_not_sign_for_damage_that_is_there(tmp_path, change, part):
    features, index = tmp_path / "features", tmp_path / "index"
    write_folder(features, {**COUNTS, **{f"n{number}": 5 for number in range(6)}})
    listed = [*FIRST, "g"]
    kind = ALL_KINDS["ivf"]
    list_some(features, FIRST)
    build_index(features, index, kind)
    list_some(features, listed)
    update_index(features, index, kind)
    for number in range(4 if change == "merge" else 0):
        listed.append(f"n{number}")
        list_some(features, listed)
        update_index(features, index, kind)
    path = index / f"{part}.bin"
    content = bytearray(path.read_bytes())
    content[BLOCK * (len(content) // BLOCK // 2) + 9] ^= 1
    path.write_bytes(content)
    try:
        if change == "rebuild":
            remove_images(index, ["a", "c"])
        elif change == "remove":
            remove_images(index, ["a"])
        else:
            list_some(features, [*listed, "n5"])
            update_index(features, index, kind)
    except DamagedError as error:
        assert path.name in str(error)
    if part.startswith("lists") and change == "rebuild":
        assert isinstance(saw(index), bytes)  # lists are made anew, of descriptors that are whole
    elif part == "lists-2-0" and change == "merge":
        assert path.name in saw(index)
    else:
        assert is_one_line_about(saw(index), index)


# ---------------------------------------------------------------- indexes of before


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_an_index_of_before_is_read_and_gets_sums_when_it_is_updated(copy_of, made, kind):
    index = copy_of(kind)
    whole = saw(index)
    as_old_format(index)
    assert "sums" not in (index / "index.json").read_text()
    assert saw(index) == whole
    changes = update_index(made / "features", index, ALL_KINDS[kind])
    assert not changes
    assert_sums_are_right(index)
    assert saw(index) == whole
    again = (index / "index.json").stat().st_mtime_ns
    update_index(made / "features", index, ALL_KINDS[kind])
    assert (index / "index.json").stat().st_mtime_ns == again
    as_old_format(index)
    remove_images(index, ["d"])
    assert_sums_are_right(index)
    update_index(made / "features", index, ALL_KINDS[kind])
    assert_sums_are_right(index)
    assert load_index(index).names == tuple(sorted(COUNTS))


@pytest.mark.parametrize(
    ("part", "damage"),
    [("descriptors", "nan"), ("locations", "nan"), ("lists", "row"), ("lists", "twice")],
)
def test_what_can_be_told_of_an_index_of_before(copy_of, made, part, damage):
    index = copy_of("ivf")
    path = index / f"{part}-1{'-0' * (part == 'lists')}.bin"
    content = bytearray(path.read_bytes())
    at = len(content) // 8 * 4
    if part == "lists":
        sizes = np.frombuffer(content[32:64], dtype=np.int64)
        at = 64 + int(sizes[0]) * 32
    value = {
        "nan": np.float32(np.nan).tobytes(),
        "row": np.int64(10**9).tobytes(),
        "twice": bytes(content[at + 8 : at + 16]),
    }[damage]
    content[at : at + len(value)] = value
    path.write_bytes(content)
    as_old_format(index)
    if damage != "twice":  # this takes to look through all of the lists
        assert is_one_line_about(saw(index), index)
    with pytest.raises(DamagedError, match=r"lists|descriptors|locations"):
        update_index(made / "features", index, ALL_KINDS["ivf"])
    assert read_description(index)["format"] == 2


def test_descriptors_across_many_blocks_may_be_empty_or_single(tmp_path):
    """A block ends where it will: in a row, in a list, exactly at the end of a file."""
    for rows in (1, BLOCK // 32, BLOCK // 32 + 1, 2 * BLOCK // 32):
        folder = tmp_path / str(rows)
        written = write_folder(folder / "features", {"a": rows})
        write_features(feature_path(folder / "features", "b"), Features.empty(8))
        build_index(folder / "features", folder / "index")
        np.testing.assert_array_equal(
            load_index(folder / "index").descriptors[:], written["a"].descriptors
        )
        assert_sums_are_right(folder / "index")
