"""The guard of the house: rooms in their order, doors shut, everything short and well named.

The rules are in `helpers/house_rules.py`, the list of rooms in `helpers/house.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import house_rules as rules
from tests.helpers.house import DOORS, OUTSIDE_SRC, ROOMS, WORDS, House

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def house():
    return House(ROOT)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule, house):
    wrong = rule(house)
    if wrong:
        pytest.fail("\n".join([rule.__doc__.strip(), *(f"- {w}" for w in wrong)]), pytrace=False)


def test_the_list_names_what_is_there():
    for room in ROOMS:
        folder = ROOT / room if room in OUTSIDE_SRC else ROOT / "src" / room
        assert folder.is_dir(), f"{room} is in ROOMS (tests/helpers/house.py) but not in the tree"
    for name in (*DOORS, *WORDS):
        assert (ROOT / "src" / f"{name}.py").is_file(), f"the seed has src/{name}.py"


# -- each rule, on small trees that were made up ---------------------------------------------------


def make(folder: Path, files: dict[str, str]) -> House:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return House(folder)


def function(lines: int, docstring: str = "") -> str:
    """Return a function of that many lines beside its docstring."""
    said = [docstring] if docstring else []
    return "\n".join(["def told():", *said, *["    x = 1"] * (lines - 1)])


# Of every rule: a tree that breaks it once, and what the sentence begins with.
BROKEN = [
    (
        rules.rooms_reach_down,
        {"src/index/build.py": "import ast\nfrom src.ranking.votes import vote\n"},
        "src/index/build.py:2 imports src.ranking.votes: index stands before ranking",
    ),
    (
        rules.rooms_reach_down,
        {"src/index/build.py": "def rank():\n    from src import ranking\n"},
        "src/index/build.py:2 imports src.ranking: ",
    ),
    (
        rules.rooms_reach_down,
        {"src/index/build.py": "from ..ranking import votes\n"},
        "src/index/build.py:1 imports src.ranking: ",
    ),
    (
        rules.rooms_reach_down,
        {"src/describe/engines/lite.py": "import_module('src.evaluation.report')\n"},
        "src/describe/engines/lite.py:1 imports src.evaluation.report: ",
    ),
    (
        rules.words_stand_low,
        {
            "src/feature_io.py": "import src.describe.pca",
            "src/network/a.py": "import src.feature_io",
        },
        "src/feature_io.py:1 imports src.describe.pca, but network already speaks feature_io",
    ),
    (
        rules.words_stand_low,
        {"src/dataset.py": "import src.photos.reading", "src/photos/a.py": "import src.dataset"},
        "src/dataset.py:1 imports src.photos.reading, but photos already speaks dataset",
    ),
    (
        rules.words_stand_low,  # photos speaks box_list_np by way of another word
        {
            "src/box_list_np.py": "from src.network import weights",
            "src/extract_utils_np.py": "from src.box_list_np import area",
            "src/photos/a.py": "from src import extract_utils_np",
        },
        "src/box_list_np.py:1 imports src.network, but photos already speaks box_list_np",
    ),
    (
        rules.strangers_stay_apart,
        {"src/describe/folder.py": "from src.training import state\n"},
        "src/describe/folder.py:1 imports src.training: training and describe do not know",
    ),
    (
        rules.strangers_stay_apart,
        {
            "src/postprocess.py": "import src.training.state",
            "src/describe/a.py": "import src.postprocess",
        },
        "src/postprocess.py:1 imports src.training.state: ",
    ),
    (
        rules.doors_stay_shut,
        {"src/evaluation/whole.py": "from src.perform_retrieval import main\n"},
        "src/evaluation/whole.py:1 imports src.perform_retrieval: perform_retrieval is a door",
    ),
    (
        rules.doors_stay_shut,
        {"tests/describe/test_pca.py": "from src import preprocess\n"},
        "tests/describe/test_pca.py:1 imports src.preprocess: ",
    ),
    (
        rules.doors_stay_shut,
        {"benchmarks/b.py": "import train\n"},
        "benchmarks/b.py:1 imports train: ",
    ),
    (
        rules.neighbours_keep_to_common,
        {"src/common/locks.py": "from src.feature_io import read\n"},
        "src/common/locks.py:1 imports src.feature_io: common may import of ours only",
    ),
    (
        rules.neighbours_keep_to_common,
        {"sample_world/build.py": "import src.photos.reading\n"},
        "sample_world/build.py:1 imports src.photos.reading: sample_world may import",
    ),
    (
        rules.neighbours_keep_to_common,
        {"sample_world/build.py": "from model_utils.device import set_up_device\n"},
        "sample_world/build.py:1 imports model_utils.device: ",
    ),
    (
        rules.neighbours_keep_to_common,
        {"model_utils/config.py": "from src import delf_config\n"},
        "model_utils/config.py:1 imports src.delf_config: model_utils may import",
    ),
    (
        rules.neighbours_keep_to_common,
        {"src/index/build.py": "from benchmarks.photo_like import photo\n"},
        "src/index/build.py:1 imports benchmarks.photo_like: index may import",
    ),
    (
        rules.src_holds_only_the_seed,
        {"src/helpers.py": ""},
        "src/helpers.py stands directly in src",
    ),
    (rules.src_holds_only_the_seed, {"src/misc/__init__.py": ""}, "src/misc/ is no room"),
    (rules.names_say_what_is_inside, {"src/pages/html.py": ""}, "src/pages/html.py is called like"),
    (rules.names_say_what_is_inside, {"src/index/json/a.py": ""}, "src/index/json/ is called like"),
    (
        rules.names_say_what_is_inside,
        {"src/index/index_lists.py": ""},
        "src/index/index_lists.py repeats the name of its room",
    ),
    (
        rules.names_say_what_is_inside,
        {"src/photos/photo_check.py": ""},
        "src/photos/photo_check.py repeats the name of its room",
    ),
    (
        rules.rooms_say_what_they_are,
        {"src/__init__.py": "'''All.'''", "src/index/__init__.py": "import ast\n"},
        "src/index/__init__.py has no docstring",
    ),
    (
        rules.rooms_say_what_they_are,
        {"sample_world/__init__.py": "'''All.'''", "sample_world/street/people.py": ""},
        "sample_world/street/__init__.py has no docstring",
    ),
    (
        rules.tests_mirror_the_rooms,
        {"tests/searching/test_votes.py": ""},
        "tests/searching/test_votes.py: tests/searching mirrors no room",
    ),
    (
        rules.tests_mirror_the_rooms,
        {"tests/test_votes.py": ""},
        "tests/test_votes.py stands directly",
    ),
    (
        rules.tests_mirror_the_rooms,
        {"tests/describe/pca/test_fit.py": ""},
        "tests/describe/pca/test_fit.py: there is no folder src/describe/pca",
    ),
    (
        rules.files_are_short,
        {"tests/a.py": "x = 1\n" * 401},
        "tests/a.py has 401 lines, more than 400",
    ),
    (
        rules.files_are_short,
        {"src/preprocess.py": "x = 1\n" * 121},
        "src/preprocess.py has 121 lines, more than 120: a door",
    ),
    (
        rules.functions_are_short,
        {"train.py": function(61)},
        "train.py:1 told has 61 lines, more than 60",
    ),
]


@pytest.mark.parametrize(("rule", "files", "sentence"), BROKEN)
def test_a_broken_rule_is_named_with_its_place(rule, files, sentence, tmp_path):
    wrong = rule(make(tmp_path, files))
    assert len(wrong) == 1
    assert wrong[0].startswith(sentence)


GOOD = {
    "train.py": "from src.training.loop import train\n"
    + function(60, "    '''Long.\n\n    So.\n    '''"),
    "src/__init__.py": "'''The rooms.'''",
    "src/common/__init__.py": "'''Shared.'''",
    "src/common/locks.py": "import json\nfrom src.common.errors import UserError\n",
    "src/describe/__init__.py": "'''Describing.'''",
    "src/describe/engines/__init__.py": "'''Engines.'''",
    "src/describe/engines/lite.py": "from src.describe import pca\nfrom src import feature_io\n",
    "src/describe/pca.py": "from sample_world.build import build_sample_world\n",
    "src/feature_io.py": "import src.common.errors\nimport src.network.weights\n",
    "src/extract_utils_np.py": "import src.feature_io\n",
    "src/preprocess.py": "from src.describe.pca import fit\n" + "x = 1\n" * 119,
    "model_utils/__init__.py": "'''Where we run.'''",
    "model_utils/config.py": "from src.common import errors\n",
    "sample_world/__init__.py": "'''A world.'''",
    "sample_world/__main__.py": "from model_utils.environment import use_project_environment\n",
    "sample_world/build.py": "from src.common.errors import UserError\n" + "x = 1\n" * 399,
    "benchmarks/bench_pca.py": "from src.describe import pca\n",
    "tests/conftest.py": "import src.describe.pca\n",
    "tests/describe/engines/test_lite.py": "import src.describe.engines.lite\n",
    "tests/describe/test_preprocess.py": "from src.preprocess import main\n",
    "tests/words/test_feature_io.py": "from src import feature_io\n",
}


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_a_good_tree_breaks_no_rule(rule, tmp_path):
    assert rule(make(tmp_path, GOOD)) == []


def test_a_long_function_that_was_mended_leaves_the_list(tmp_path, monkeypatch):
    monkeypatch.setitem(rules.LONG_FUNCTIONS, "train.py::told", "a table")
    assert rules.functions_are_short(make(tmp_path, {"train.py": function(61)})) == []
    (wrong,) = rules.functions_are_short(make(tmp_path, {"train.py": function(60)}))
    assert wrong.startswith("train.py::told is no longer so long")
