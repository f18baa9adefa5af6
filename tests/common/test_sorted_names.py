"""Names that are mapped are a list of names."""

import random

import numpy as np
import pytest

from src.common.atomic_files import write_npz
from src.common.npy_format import map_npz, read_npz
from src.common.sorted_names import SortedNames, place_of


def test_they_are_the_list_they_were_made_of():
    rng = random.Random(0)
    letters = "abzäß中𝄞\udc80 /"
    names = sorted({"".join(rng.choices(letters, k=rng.randint(1, 8))) for _ in range(500)})
    ours = SortedNames.of(names)
    assert [*ours] == names == [ours[place] for place in range(len(names))]
    assert ours == names and ours[3:9:2] == names[3:9:2] and ours[-1] == names[-1]
    for name in (*names, "nowhere", "", "\U0010ffff"):
        assert place_of(ours, name) == (names.index(name) if name in names else None)
        assert (name in ours) == (name in names)
    assert place_of(ours, None) is None
    with pytest.raises(IndexError):
        ours[len(names)]
    assert [*SortedNames.of([])] == []


def test_arrays_that_are_mapped_are_those_that_are_read(tmp_path):
    path = tmp_path / "a.npz"
    arrays = {
        "rows": np.arange(12, dtype=np.int64).reshape(4, 3),
        "columns": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "bytes": np.frombuffer(b"abc", np.uint8),
        "none": np.zeros((0, 5), np.uint8),
    }
    write_npz(path, arrays)
    mapped, read = map_npz(path), read_npz(path)
    for name, array in arrays.items():
        np.testing.assert_array_equal(mapped[name], array)
        np.testing.assert_array_equal(read[name], array)
        assert mapped[name].dtype == array.dtype
    content = path.read_bytes()
    for place in range(0, len(content), 7):  # wherever a bit flips: told, or of no matter
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            found = map_npz(path)
        except ValueError:
            continue
        for name in arrays.keys() & found.keys():
            np.testing.assert_array_equal(found[name], arrays[name])
    for cut in (0, 10, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError):
            map_npz(path)
    np.savez_compressed(path, a=np.zeros(100))
    with pytest.raises(ValueError, match="compressed"):
        map_npz(path)
