"""A query of a described folder imports what it uses, and reads no weights again."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from model_utils.environment import PROJECT_ROOT
from tests.helpers.search import photo
from tests.helpers.weights import keras_resnet50, write_keras_h5

#: Each takes longer to import than a query may, or a good part of it.
HEAVY = ("mindspore", "pandas", "matplotlib", "scipy", "skimage", "google.protobuf", "tifffile")
PROGRAM = """
import json, runpy, sys
sys.argv = [sys.argv[1], *sys.argv[2:]]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("MODULES", json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(params=["ckpt", "h5"])
def weights(request, tmp_path):
    if request.param == "ckpt":
        return request.getfixturevalue("attention_checkpoint")
    write_keras_h5(tmp_path / "weights.h5", keras_resnet50())
    return tmp_path / "weights.h5"


def search(folder, weights, *words):
    """Run the program; return its result and the modules that it imported."""
    arguments = (f"--checkpoint_path={weights}", f"--work_path={folder / 'work'}")
    arguments += ("--query_rotations=0",)
    program = str(PROJECT_ROOT / "src" / "photo_search" / "__main__.py")
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, program, *map(str, words), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
    )
    assert result.returncode == 0, result.stderr
    *said, modules = result.stdout.splitlines()
    return "\n".join(said), result.stderr, set(json.loads(modules.removeprefix("MODULES ")))


def features(folder):
    return {path.name: path.read_bytes() for path in (folder / "work").rglob("queries-*/**/*.npz")}


def test_a_query_imports_what_it_uses(tmp_path, weights):
    photos = tmp_path / "photos"
    for number in range(2):
        photo(photos / f"{number}.jpg", number)
    query = tmp_path / "query.jpg"
    photo(query, 5)
    _, _, modules = search(tmp_path, weights, photos)
    assert not modules & {*HEAVY}
    said, log, modules = search(tmp_path, weights, photos, query)
    assert not modules & {*HEAVY, "h5py"}
    assert "openvino" in modules
    assert {line.split()[1] for line in said.splitlines()[1:3]} == {"0.jpg", "1.jpg"}
    stages = ("import", "choose", "folder", "open", "describe", "search", "page")
    (times,) = [line.split("time: ")[1] for line in log.splitlines() if "time: " in line]
    assert [part.split()[0] for part in times.split(", ")] == list(stages)
    assert all(float(part.split()[1]) >= 0 for part in times.split(", "))
    # A network from the cache and a new one give the same bytes.
    first = features(tmp_path)
    assert len(first) == 1
    for path in (tmp_path / "work").rglob("queries-*/**/*.npz"):
        path.unlink()
    for path in (tmp_path / "cache").rglob("openvino/*"):
        path.unlink()
    assert search(tmp_path, weights, photos, query)[0].split("  (")[0] == said.split("  (")[0]
    assert features(tmp_path) == first
