"""The words of the command that show something of photos: attention, duplicates."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from delf import PhotoSearch, attention_command, command, duplicates_command, single
from delf.arguments import parsed, word_parser
from model_utils.config import divided
from src.common.errors import UserError
from src.describe.engines import choice
from src.photo_search.duplicates import TABLE_NAME
from src.photo_search.opening import open_collection
from tests.helpers.search import CountingEngine, configuration, photo


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two photos and a copy of one; searched by the small network."""
    monkeypatch.setitem(choice.ENGINES, "mindspore", CountingEngine)
    folder = tmp_path / "album"
    for seed in (1, 2):
        photo(folder / f"{seed}.png", seed)
    (folder / "copy.png").write_bytes((folder / "1.png").read_bytes())
    return folder


def test_a_command_line_is_divided_into_options_and_settings():
    given = ["a b.jpg", "--output=x=y.jpg", "--work_path=my work", "--quiet", "--top=2"]
    assert divided(given, ["output"]) == (
        ["a b.jpg", "--output=x=y.jpg", "--quiet"],
        ["--work_path=my work", "--top=2"],
    )


def test_photos_behind_two_dashes_may_be_called_like_a_setting():
    parser = word_parser("match", "")
    parser.add_argument("photos", nargs=2)
    given, settings = parsed(parser, ["--seed=a=b", "--", "--seed=1.jpg", "-2.jpg"], [])
    assert given.photos == ["--seed=1.jpg", "-2.jpg"]
    assert settings == {"seed": "a=b"}


def test_the_attention_of_a_photo_is_drawn(photos, tmp_path, monkeypatch, capsys):
    settings = configuration(tmp_path / "work")
    describer = open_collection(settings, photos).describer
    monkeypatch.setattr(single, "_describer", lambda _: (describer.without_pca(), None))
    output = tmp_path / "seen.png"
    attention_command.main([str(photos / "1.png"), f"--output={output}"])
    assert capsys.readouterr().out == f"35 features; see {output}\n"
    assert np.ptp(np.asarray(Image.open(output))) > 200
    with pytest.raises(UserError, match=r"seen\.txt is no name of a picture; it must end in one"):
        attention_command.main([str(photos / "1.png"), "--output=seen.txt"])
    with pytest.raises(UserError, match=r"there is no photo .*none\.png"):
        attention_command.main([str(photos / "none.png"), f"--output={output}"])
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(UserError, match=r"broken\.png"):
        attention_command.main([str(tmp_path / "broken.png"), f"--output={output}"])


def test_duplicates_are_written_where_they_are_wanted(photos, tmp_path, monkeypatch, capsys):
    settings = configuration(tmp_path / "work")
    monkeypatch.setattr("delf.photos.settings_of", lambda given: None)
    monkeypatch.setattr("delf.photos.SearchSettings.from_config", lambda _: settings)
    with pytest.raises(UserError, match=r"--output=.*lies in .*album.*give a folder elsewhere"):
        duplicates_command.main([str(photos), f"--output={photos / 'out'}"])
    output = tmp_path / "out"
    duplicates_command.main([str(photos), f"--output={output}"])
    assert capsys.readouterr().out.splitlines() == [
        "1 group of 2 photos among 3 (same file: 1).",
        f"Page: {output / 'index.html'}",
        f"Table: {output / TABLE_NAME}",
    ]
    with open(output / TABLE_NAME, newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["1.png", "copy.png"]
    duplicates_command.main([str(photos)])
    page = capsys.readouterr().out.splitlines()[1].removeprefix("Page: ")
    assert page.startswith(str(tmp_path / "work"))


def test_nothing_is_fetched_for_what_is_refused(photos, tmp_path, monkeypatch, capsys):
    """The weights are 95 MB; that a folder is not there is seen before."""

    def fetched():
        raise AssertionError("weights are fetched")

    monkeypatch.setattr("delf.settings.weights_at_hand", fetched)
    nowhere, here = str(tmp_path / "nowhere"), str(photos / "1.png")
    for given in (
        lambda: PhotoSearch(nowhere),
        lambda: single.describe(nowhere),
        lambda: single.match(here, nowhere),
        lambda: single.attention(nowhere, tmp_path / "seen.png"),
        lambda: command._search([nowhere]),
        lambda: command._search([str(photos), nowhere]),
    ):
        with pytest.raises(UserError, match=r"does not exist|there is no"):
            given()
    with pytest.raises(SystemExit):
        command._search([])
    assert capsys.readouterr().err.endswith("the following arguments are required: photos\n")
