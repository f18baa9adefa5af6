"""Pickles from outside: plain data comes through, nothing in them runs, every fault is one line."""

import os
import pickle
import struct
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.common.errors import UserError
from src.common.restricted_pickle import load_plain_pickle

PLAIN = {
    "imlist": ["a", "ü", ""],
    "numbers": [0, -1, 2**70, 1.5, True, None],
    "tuple": (1, (2,)),
    "bytes": b"x",
    "empty": [[], {}, ()],
}


class Call:
    """Pickles as a call of something."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def written(folder, value, protocol=4):
    path = folder / "file.pkl"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
    return path


def refusal(path):
    with pytest.raises(UserError) as caught:
        load_plain_pickle(path)
    text = str(caught.value)
    assert path.name in text
    assert "\n" not in text
    assert len(text) < 500
    return text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_come_through(tmp_path, protocol):
    assert load_plain_pickle(written(tmp_path, PLAIN, protocol)) == PLAIN


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(5),
        np.arange(5).astype(">i4"),
        np.array([1.5, -2.25], dtype=np.float32),
        np.array([], dtype=np.int64),
        np.array(["all_souls_000013", "ü"]),
        np.array([True, False]),
        np.array(["a", 1], dtype=object),
        np.array([3, 2, 1], dtype=np.uint16)[::-1],
    ],
    ids=str,
)
def test_numpy_arrays_come_out_as_lists(tmp_path, array, protocol):
    read = load_plain_pickle(written(tmp_path, {"x": array, "again": array}, protocol))
    assert read == {"x": array.tolist(), "again": array.tolist()}
    assert [type(item) for item in read["x"]] == [type(item) for item in array.tolist()]


@pytest.mark.parametrize("number", [np.int64(7), np.float32(0.5), np.bool_(True), np.str_("x")])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_numpy_numbers_become_pythons(tmp_path, number, protocol):
    read = load_plain_pickle(written(tmp_path, [number], protocol))
    assert read == [number.item()]
    assert type(read[0]) is type(number.item())


def test_names_of_numpy_2(tmp_path):
    content = pickle.dumps(np.arange(3), 4).replace(b"\x15numpy.core", b"\x16numpy._core")
    content = content.replace(content[2:11], b"\x95" + struct.pack("<Q", len(content) - 11))
    assert load_plain_pickle(written(tmp_path, content)) == [0, 1, 2]


def test_a_pickle_of_python_2(tmp_path):
    # pickle.dumps({'imlist': ['a\xe9']}, 2) there
    content = b"\x80\x02}q\x00U\x06imlistq\x01]q\x02U\x02a\xe9q\x03as."
    assert load_plain_pickle(written(tmp_path, content)) == {"imlist": ["aé"]}


HOSTILE = {
    "os.system": lambda mark: Call(os.system, f"touch {mark}"),
    "eval": lambda mark: Call(eval, f"open({str(mark)!r}, 'w')"),
    "subprocess": lambda mark: Call(subprocess.check_call, ["touch", str(mark)]),
    "open": lambda mark: Call(open, str(mark), "w"),
    "hidden in gnd": lambda mark: {
        "imlist": ["a"],
        "gnd": [{"easy": [Call(os.system, f"touch {mark}")]}],
    },
    "as an attribute": lambda mark: Call(getattr, os, "system"),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pickles_run_nothing(tmp_path, kind, protocol):
    mark = tmp_path / "mark"
    try:
        content = pickle.dumps(HOSTILE[kind](mark), protocol)
    except (pickle.PicklingError, TypeError):  # os as a module cannot be pickled
        content = b"cos\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR."
    text = refusal(written(tmp_path, content))
    assert "it asks for" in text
    assert not mark.exists()


RAW = {
    "INST": b"(S'touch MARK'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch MARK'\no.",
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0ef2py.os.system\x93\x8c\x0atouch MARK\x85R.",
    "NEWOBJ of a permitted name": b"cnumpy\nndarray\n(I3\nt\x81.",
    "state of a permitted name": b"cnumpy\ndtype\n}S'__call__'\ncnumpy\nndarray\nsb.",
    "slots of a permitted name": b"cnumpy\ndtype\nN}S'__class__'\ncnumpy\nndarray\ns\x86b.",
    "call of an array type": b"cnumpy\nndarray\n(I9\ntR.",
    "extension": b"\x82\x01.",
    "persistent": b"Pspam\n.",
    "buffer from elsewhere": b"\x80\x05\x97.",
    "memo bomb": b"\x80\x02]r\xff\xff\xff\x7f.",
    "long length": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx.",
    # a list of twice a list of twice a list …, as the type of an array
    "endless type": b"\x80\x02]" + b"q\x00]h\x00ah\x00a" * 60 + b"q\x01cnumpy\ndtype\nh\x01\x85R.",
    "codec": b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",
}


@pytest.mark.parametrize("kind", RAW)
def test_hand_made_pickles_are_refused(tmp_path, kind):
    mark = tmp_path / "m"
    refusal(written(tmp_path, RAW[kind].replace(b"MARK", str(mark).encode())))
    assert not mark.exists()


class State:
    """Pickles as a NumPy array with a state of one's own."""

    def __init__(self, *state):
        self.state = state

    def __reduce__(self):
        function, arguments, _ = np.arange(3).__reduce__()
        return function, arguments, self.state


@pytest.mark.parametrize(
    "state",
    [
        (1, (10**9,), np.dtype("i8"), False, b"12345678"),
        (1, (-1,), np.dtype("i8"), False, b""),
        (1, (10**9, 0), np.dtype("i8"), False, b""),
        (1, (1,), np.dtype("O"), False, b"12345678"),
        (1, (2,), np.dtype("O"), False, [1]),
        (1, (1,), np.dtype([("a", "O")]), False, b"12345678"),
        (1, (1,), np.dtype("M8[s]"), False, b"12345678"),
        (1, (1,), None, False, b"12345678"),
        (1,),
        "x",
    ],
    ids=str,
)
def test_arrays_that_lie_are_refused(tmp_path, state):
    refusal(written(tmp_path, State(*state)))


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b".", b"no pickle", b"\x80\xff.", b"\x00"])
def test_something_else_is_refused(tmp_path, content):
    refusal(written(tmp_path, content))


def test_every_truncation_is_refused(tmp_path):
    for protocol in (0, 2, 4, 5):
        whole = pickle.dumps({**PLAIN, "array": np.arange(3)}, protocol)
        for length in range(len(whole)):
            refusal(written(tmp_path, whole[:length]))


def test_missing_file_and_folder(tmp_path):
    assert "there is no file" in refusal(tmp_path / "gone.pkl")
    assert "cannot read" in refusal(tmp_path)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bytes_never_surprise(tmp_path_factory, data):
    content = bytearray(pickle.dumps({"imlist": ["a", "b"], "x": np.arange(4)}, 4))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        load_plain_pickle(written(tmp_path_factory.mktemp("damaged"), bytes(content)))
    except UserError as error:
        assert "\n" not in str(error)
