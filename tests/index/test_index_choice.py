"""Which kind of index is chosen, and what is asked for."""

from __future__ import annotations

import pytest

from model_utils.config import load_config
from src.common.errors import UserError
from src.index.build import build_index
from src.index.choice import IndexSettings, choose_plan
from src.index.stores.settings import StoreSettings


def test_the_kind_follows_from_size_and_memory():
    def kind(rows, **values):
        return choose_plan(IndexSettings(**values), rows, 40).kind

    assert kind(50_000) == "flat"
    assert kind(50_001) == "ivf"
    assert kind(50_000, exact_features=10) == "ivf"
    assert [kind(5_000_000, memory=memory) for memory in (1200, 500, 300, 180)] == [
        "ivf", "ivf_fp16", "ivf_sq8", "ivf_pq"
    ]  # fmt: skip
    assert kind(20_000_000, memory=0) == "ivf"
    assert choose_plan(IndexSettings(), 5_000_000, 40).lists == 8192
    # 5 million descriptors of 40 bytes, numbers of 8 bytes, images of 4 bytes, the centres
    plan = choose_plan(IndexSettings("ivf_sq8"), 5_000_000, 40)
    assert plan.memory(5_000_000, 40) == 5_000_000 * 52 + 8192 * 160


def test_a_budget_that_nothing_fits_into_is_said(caplog):
    assert choose_plan(IndexSettings(memory=1), 5_000_000, 40).kind == "ivf_pq"
    assert "more than the budget of 1 MB" in caplog.text


def test_an_impossible_index_is_one_line(tmp_path, features):
    for settings, message in (
        (IndexSettings("ivf", lists=4000), "4000 lists are more than the 87"),
        (IndexSettings("ivf_pq"), "needs 256 features"),
    ):
        with pytest.raises(UserError, match=message):
            build_index(features, tmp_path / "index", settings)
        assert not (tmp_path / "index").exists()
    for values in ({"kind": "annoy"}, {"recall": 0}, {"growth": 0.5}, {"lists": -1}):
        with pytest.raises(UserError, match=next(iter(values))):
            IndexSettings(**values)


def test_settings_of_the_configuration():
    assert IndexSettings.from_config(load_config([])) == IndexSettings()
    changed = load_config(["--index_kind=ivf", "--index_recall=0.5", "--seed=3"])
    wanted = IndexSettings("ivf", recall=0.5, seed=3, store=StoreSettings(seed=3))
    assert IndexSettings.from_config(changed) == wanted
