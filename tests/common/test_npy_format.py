"""Arrays are read as NumPy reads them, or refused before memory is asked for."""

import io
import zipfile

import numpy as np
import pytest

from src.common.npy_format import parse_npy, read_npz


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
        np.array(5, np.int64),
        np.zeros((0, 40), np.float16),
        np.array(["a", "longer"]),
        np.array([b"x" * 64]),
        np.array([True, False]),
    ],
    ids=str,
)
def test_arrays_are_read_as_numpy_reads_them(array):
    found = parse_npy(npy(array))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype and found.shape == array.shape and found.flags.writeable


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"(2, 3)", b"(1000000000000, 3)", "declares"),
        (b"(2, 3)", b"(-2, 3)", "shape"),
        (b"(2, 3)", b"(2, 3", "."),
        (b"'<f4'", b"'|O'", "not numbers or texts"),
        (b"'<f4'", b"'<c8'", "not numbers or texts"),
        (b"'<f4'", b"'<U0'", "not numbers or texts"),
        (b"'<f4'", b"[('a', '<f4')]", "header"),
    ],
)
def test_headers_that_lie_are_refused(old, new, said):
    content = npy(np.arange(6, dtype=np.float32).reshape(2, 3))
    start = 10 + int.from_bytes(content[8:10], "little")
    header = content[10:start].replace(old, new)
    changed = content[:8] + len(header).to_bytes(2, "little") + header + content[start:]
    with pytest.raises(ValueError, match=said):
        parse_npy(changed)


def test_a_small_archive_that_unpacks_to_gigabytes_is_refused():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(300 * 2**20))
    assert len(content.getvalue()) < 2**20
    with pytest.raises(ValueError, match="would become"):
        read_npz(content)
