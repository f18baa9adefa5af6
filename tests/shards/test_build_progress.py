"""A build of training shards tells how far it is."""

from __future__ import annotations

import json
import logging
import re

from src.common import progress
from tests.helpers.landmarks import Landmarks


def test_the_build_tells_how_many_photos_are_done(tmp_path, monkeypatch, caplog):
    world = Landmarks(tmp_path)
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    caplog.set_level(logging.INFO)
    world.build(num_shards=2)
    said = [record.getMessage() for record in caplog.records if record.name == progress.__name__]
    counts = json.loads((world.root / "out" / "dataset.json").read_text())["counts"]
    photos = counts["train"] + counts["validation"]
    for what in ("checking", "writing"):
        (last,) = [line for line in said if line.startswith(what)][-1:]
        assert re.fullmatch(rf"{what}: (\d+) of \1 photos, .* photos/s, 0 s left", last), last
    assert f"writing: {photos} of {photos}" in last
