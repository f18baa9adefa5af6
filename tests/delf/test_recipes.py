"""Each recipe is read as it stands, says its command, and is in the table; versions agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import delf
from model_utils.config import load_config

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted([*ROOT.glob("recipes/*.yaml"), *ROOT.glob("scripts/*.yaml")])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_and_is_in_the_table(recipe):
    values = yaml.safe_load(recipe.read_text())
    config = vars(load_config([], config_path=str(recipe)))
    assert values and values.keys() <= config.keys()
    for name, value in values.items():
        if not str(value).startswith(".."):
            assert config[name] == value
    table = (ROOT / "recipes" / "README.md").read_text()
    (row,) = [line for line in table.splitlines() if f"{recipe.name})" in line]
    assert "`" in row.split("|")[2]
    if recipe.parent.name == "recipes":
        assert f"--config_path=recipes/{recipe.name}" in recipe.read_text()
        assert f"--config_path=recipes/{recipe.name}" in row


def test_versions_agree():
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert newest == citation["version"] == delf.__version__
