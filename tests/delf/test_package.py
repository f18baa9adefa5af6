"""The package of the wheel: one import name, no MindSpore needed to search, a house of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import delf
from src.delf_model import FeatureExtractor
from src.network.weight_files import write_checkpoint
from tests.helpers.infer import textured
from tests.helpers.weights import random_weights

ROOT = Path(__file__).resolve().parents[2]

#: Neither MindSpore nor a package of another project that has our names in the clone.
ALONE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mindspore", "src", "model_utils", "sample_world"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *of: None if name == "mindspore" else found(name, *of)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The package as the wheel holds it."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "setup.py", "-q", "build", "--build-base", str(folder / "base")]
    subprocess.run([*command, "--build-lib", str(folder / "lib")], cwd=ROOT, check=True)
    return folder / "lib"


@pytest.fixture(scope="module")
def checkpoint(cpu, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random.ckpt"
    write_checkpoint(path, random_weights(FeatureExtractor()))
    return path


@pytest.fixture
def photos(tmp_path):
    """Three photos and, outside of their folder, the second one's right part."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(textured(160, 200, seed=number)).save(folder / f"{number}.png")
    pixels = np.asarray(Image.open(folder / "1.png"))[:, 32:]
    Image.fromarray(pixels).save(tmp_path / "query.png")
    return folder


def by_package(built, *arguments, code=None, **environment):
    command = ["-c", ALONE + code] if code else ["-m", "delf"]
    return subprocess.run(
        [sys.executable, "-P", *command, *map(str, arguments)]
        if sys.version_info >= (3, 11)
        else [sys.executable, *command, *map(str, arguments)],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(built), **environment},
        cwd=environment["DELF_CACHE"],
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_the_six_lines_run_without_mindspore_and_without_our_other_names(
    built, checkpoint, photos, tmp_path
):
    code = f"""
from delf import PhotoSearch, describe, match
photos = PhotoSearch({str(photos)!r}, weights={str(checkpoint)!r}, max_level_side=256, pca_images=3)
for hit in photos.find({str(tmp_path / "query.png")!r}, top=2):
    print(hit.path, hit.confidence, hit.inliers)
features = describe({str(tmp_path / "query.png")!r}, {str(checkpoint)!r}, max_level_side=256)
print(features.locations.shape == (len(features), 2), features.descriptors.shape[1])
both = match({str(tmp_path / "query.png")!r}, {str(photos / "1.png")!r},
             weights={str(checkpoint)!r}, max_level_side=256)
print(both.inlier_count == both.inliers.sum(), both.locations_a.shape == both.locations_b.shape)
"""
    (tmp_path / "cache").mkdir()
    result = by_package(built, code=code, DELF_CACHE=str(tmp_path / "cache"))
    assert result.returncode == 0, result.stderr
    first, second, *rest = result.stdout.splitlines()
    assert first.startswith(f"{photos / '1.png'} None ")
    assert int(first.split()[-1]) > int(second.split()[-1])
    assert rest == ["True 1024", "True True"]
    assert (tmp_path / "cache" / "runs" / "search").is_dir()  # nothing beside the package's code
    assert not (built / "runs").exists() and not (built / "delf" / "runs").exists()


def test_the_command_says_what_it_knows_and_what_is_missing(built, tmp_path):
    where = {"DELF_CACHE": str(tmp_path)}
    version = by_package(built, "--version", **where)
    assert version.stdout == f"delf {delf.__version__}\n"
    asked = by_package(built, "--help", **where)
    assert asked.returncode == 0 and "  search " in asked.stdout and "  eval " in asked.stdout
    strange = by_package(built, "find", **where)
    assert strange.returncode == 2
    assert strange.stderr.startswith("error: delf knows no 'find'; it knows search, match")
    code = "from delf.command import main; sys.exit(main(sys.argv[1:]))"
    for word in ("train", "export"):
        refused = by_package(built, word, code=code, **where)
        assert refused.returncode == 2
        assert refused.stderr == (
            f"error: delf {word} needs MindSpore, which is not installed for this Python; "
            "pip install 'delf-mindspore[train]'\n"
        )


def test_the_page_travels_with_the_package_and_says_what_it_needs(built, tmp_path):
    page = built / "delf" / "house" / "src" / "serve" / "page"
    ours = {path.name for path in (ROOT / "src" / "serve" / "page").iterdir()}
    assert {path.name for path in page.iterdir()} == ours >= {"index.html", "app.js", "style.css"}
    where = {"DELF_CACHE": str(tmp_path)}
    code = (
        "importlib.util.find_spec = lambda name, *of: None if name == 'fastapi' "
        "else found(name, *of)\n"
        "from delf.command import main; sys.exit(main(sys.argv[1:]))"
    )
    refused = by_package(built, "serve", "photos", code=code, **where)
    assert (refused.returncode, refused.stderr) == (
        2,
        "error: delf serve needs FastAPI, which is not installed for this Python; "
        "pip install 'delf-mindspore[serve]'\n",
    )


def test_a_word_is_the_program_that_does_it(built, tmp_path):
    """Its help is made from the same YAML, its mistakes end as they do there."""
    where = {"DELF_CACHE": str(tmp_path)}
    asked = by_package(built, "eval", "--help", **where)
    assert asked.returncode == 0, asked.stderr
    assert "mAP of a photo collection" in asked.stdout and "--query_rotations" in asked.stdout
    wrong = by_package(built, "eval", "--max_level_side=-1", **where)
    assert wrong.returncode == 2 and "max_level_side" in wrong.stderr
    absent = by_package(built, "match", "a", "b", "--checkpoint_path=no.ckpt", **where)
    assert absent.returncode == 2 and absent.stderr.count("\n") == 1
    nothing = by_package(built, "match", "a.jpg", "b.jpg", "--no_setting=1", **where)
    assert nothing.stderr == (
        "error: no_setting is no setting; delf_config.yaml names and explains them all\n"
    )


def test_what_it_depends_on_is_what_the_clone_depends_on():
    tomllib = pytest.importorskip("tomllib")  # since Python 3.11
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = {line for line in lines if line and not line.startswith("#")}
    extras = project["optional-dependencies"]
    wheel = {*project["dependencies"], *extras["train"], *extras["serve"]}
    assert pinned == wheel
    tested = (ROOT / "requirements-dev.txt").read_text().splitlines()
    assert {*project["optional-dependencies"]["milvus"]} <= {*tested}


def test_only_what_is_asked_for_is_loaded():
    code = "import delf, sys; print(delf.__version__, 'numpy' in sys.modules, 'src' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == [delf.__version__, "False", "False"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = delf.nothing
    assert set(delf.__all__) == set(dir(delf))
