"""A search where OpenVINO describes: MindSpore, which takes a second to import, stays away."""

import os
import subprocess
import sys

import pytest

from model_utils.environment import PROJECT_ROOT
from tests.helpers.search import photo
from tests.helpers.weights import keras_resnet50, write_keras_h5

CODE = """
import sys
from src.common.errors import set_up_logging
from src.photo_search.__main__ import main
set_up_logging()
main(sys.argv[1:])
print("IMPORTED", sorted({name.partition(".")[0] for name in sys.modules}))
"""
SETTINGS = ("--image_scales=0.5,1.0", "--max_level_side=128", "--pca_dim=4", "--pca_images=4")


@pytest.mark.parametrize("kind", ["ckpt", "h5"])
def test_a_search_imports_what_it_uses(kind, tmp_path, attention_checkpoint):
    weights = attention_checkpoint
    if kind == "h5":
        weights = tmp_path / "weights.h5"
        write_keras_h5(weights, keras_resnet50())
    folder = tmp_path / "photos"
    for number in range(4):
        photo(folder / f"{number}.png", number)
    query = photo(tmp_path / "query.png", 9)
    options = (f"--checkpoint_path={weights}", f"--work_path={tmp_path / 'work'}", *SETTINGS)
    for queries in ((), (query,)):  # the folder is described; then a query is
        said = subprocess.run(
            [sys.executable, "-c", CODE, *options, "--engine=openvino", str(folder), *queries],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        )
        assert said.returncode == 0, said.stderr
        imported = said.stdout.partition("IMPORTED ")[2]
        assert ("'openvino'" in imported and "Why they match" in said.stdout) or not queries
        for name in ("mindspore", "matplotlib", "sample_world", "tqdm"):
            assert f"'{name}'" not in imported
    for stage in ("import", "choose", "folder", "open", "describe", "search", "page"):
        assert f"{stage} " in said.stderr.partition("time: ")[2]
