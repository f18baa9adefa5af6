"""Shapes of JSON files: what fits them, and where it does not."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from src.common.json_files import Count, parse_json, read_shape, shaped


@dataclass(frozen=True)
class Part:
    name: str
    size: Count


@dataclass(frozen=True)
class Whole:
    parts: dict[str, Part]
    pairs: tuple[tuple[str, int], ...]
    recall: float | None
    is_new: bool = False
    more: dict[str, Any] = field(default_factory=dict)


GOOD = {"parts": {"a": {"name": "x", "size": 3}}, "pairs": [["a", -1]], "recall": None}


def test_what_fits_becomes_the_dataclass(tmp_path):
    path = tmp_path / "whole.json"
    path.write_text('{"parts": {"a": {"name": "x", "size": 3}}, "pairs": [["a", -1]], "recall": 1}')
    wanted = Whole({"a": Part("x", 3)}, (("a", -1),), 1.0)
    assert read_shape(path, Whole) == wanted
    assert shaped({**GOOD, "of a later version": 1}, Whole).recall is None
    with pytest.raises(ValueError, match="unknown 'of a later version'"):
        shaped({**GOOD, "of a later version": 1}, Whole, strict=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parts": []}, "parts is a list, not an object"),
        ({"parts": {"a": 1}}, "parts.a is 1, not an object"),
        ({"parts": {"a": {"name": "x"}}}, "parts.a lacks size"),
        ({"parts": {"a": {"name": None, "size": 1}}}, "parts.a.name is null, not a text"),
        ({"parts": {"a": {"name": "x", "size": -1}}}, "parts.a.size is -1, not a count"),
        ({"parts": {"a": {"name": "x", "size": True}}}, "parts.a.size is true, not a whole number"),
        ({"pairs": "ab"}, 'pairs is "ab", not a list'),
        ({"pairs": [["a"]]}, r"pairs\[0\] is a list, not a list of 2"),
        ({"pairs": [["a", 1.5]]}, r"pairs\[0\]\[1\] is 1.5, not a whole number"),
        ({"recall": float("nan")}, "recall is NaN, not a number"),
        ({"is_new": 1}, "is_new is 1, not true or false"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        shaped({**GOOD, **change}, Whole)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 50_000, "nested too deep"),
        ('{"a":' * 50_000, "nested too deep"),
        ("9" * 5000, "too large"),
        (str(2**63), "too large"),
        ("-" + "9" * 5000, "too large"),
        (b"\xff", "utf-8"),
        ("{", "Expecting"),
    ],
)
def test_texts_that_are_no_json_of_ours(text, said):
    with pytest.raises(ValueError, match=said):
        parse_json(text)
