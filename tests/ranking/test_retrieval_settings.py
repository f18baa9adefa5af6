from __future__ import annotations

from dataclasses import replace

import pytest

from model_utils.config import load_config
from src.common.errors import UserError
from src.ranking.settings import RetrievalSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("neighbours", 0),
        ("shortlist", -1),
        ("inlier_weight", float("nan")),
        ("expansion_images", -2),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(UserError, match=name):
        RetrievalSettings(**{name: value})


def test_settings_of_the_configuration():
    assert RetrievalSettings.from_config(load_config([])) == RetrievalSettings()
    plain = load_config(["--plain_ranking=True", "--shortlist=7", "--num_neighbors=12"])
    expected = replace(RetrievalSettings.plain(), neighbours=12)
    assert RetrievalSettings.from_config(plain) == expected
    changed = RetrievalSettings.from_config(
        load_config(["--shortlist=7", "--inlier_threshold=5", "--ransac_trials=10"])
    )
    assert (changed.shortlist, changed.verify.threshold, changed.verify.max_trials) == (7, 5, 10)
