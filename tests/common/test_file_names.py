"""Names of files that are made after what a person has named."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.common.atomic_files import write_text
from src.common.file_names import file_name_for


@pytest.mark.parametrize(
    "name",
    ["all_souls_1", "oxc1_all_souls_000013", "IMG 20.5 (2)", "Châtelet", "一号", "-1", "x" * 100],
)  # fmt: skip
def test_short_plain_names_stay_as_they_are(name):
    assert file_name_for(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "../../up", "a\\b", "a\nb", "a\0b", "\udcff", "NUL", "com1.x",
     "a ", "a.", "a:b", "x" * 123, "é" * 60, "x" * 5000, "a-0123456789abcdef"],
)  # fmt: skip
def test_any_other_name_is_a_file_of_its_own_in_the_folder(tmp_path, name):
    made = file_name_for(name)
    assert made != name
    assert len(made.encode()) <= 100
    write_text(tmp_path / f"{made}.npz", "content")
    assert os.listdir(tmp_path) == [f"{made}.npz"]


@given(st.lists(st.text(max_size=150), min_size=2, max_size=2, unique=True))
def test_two_names_never_share_a_file(names):
    one, other = (file_name_for(name) for name in names)
    assert one != other
    # Not even when one is what is made of the other.
    assert file_name_for(one) != file_name_for(other)
    assert one == names[0] or file_name_for(one) != one


def test_names_that_differ_late_differ():
    names = ["x" * 122 + end for end in "ab"] + ["x" * 122]
    assert len({file_name_for(name) for name in names}) == 3
    assert all(file_name_for(name).startswith("x" * 60) for name in names)


def test_a_file_with_the_longest_name_of_all_is_written(tmp_path):
    for name in ("x" * 251 + ".npz", "é" * 125 + ".npz"):
        write_text(tmp_path / name, "content")
        assert (tmp_path / name).read_text() == "content"
    assert len(os.listdir(tmp_path)) == 2
