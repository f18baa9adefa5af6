"""Configurations that nobody writes end in a line, not in a crash of the reader."""

import pytest

from model_utils.config import load_config
from src.common.errors import UserError

MULTIPLYING = "a0: &a0 [1, 1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


NESTED = "a: " + "[" * 50_000 + "]" * 50_000


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        "a: " + "[" * 50_000 + "]" * 50_000,
        MULTIPLYING,
        "a: " + "9" * 5000,
        "? {}\n: 1",
    ],
    ids=["open", "nested", "multiplying", "digits", "key"],
)
def test_it_ends_in_a_line(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"own\.yaml is not valid YAML"):
        load_config(["--config_path", str(path)])
