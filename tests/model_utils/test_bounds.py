"""Every number of the settings: its bounds stand beside it, and are checked at the door."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import yaml

from model_utils.bounds import Bounds, check_fields, number, setting_bounds
from model_utils.config import DEFAULT_CONFIG, load_config
from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.recipe import DescribeSettings
from src.evaluation.settings import EvaluationSettings
from src.index.choice import IndexSettings
from src.network.export import ExportSettings
from src.ranking.geometry import VerifySettings
from src.ranking.settings import RetrievalSettings
from src.training.settings import TrainingSettings

VALUES, _, CHOICES = yaml.safe_load_all(DEFAULT_CONFIG.read_text(encoding="utf-8"))


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


NUMBERS = {
    name: value
    for name, value in VALUES.items()
    if is_number(value[0] if isinstance(value, list) else value)
    and not isinstance(CHOICES.get(name), list)
}


def first(name):
    """The number of a setting, or the first of its numbers."""
    return NUMBERS[name][0] if isinstance(NUMBERS[name], list) else NUMBERS[name]


def outside(name):
    """Values that are not inside the bounds of a setting, nearest first."""
    bounds, whole = CHOICES[name], isinstance(first(name), int)
    step = 1 if whole else 1e-6
    wrong = [bounds["min"] - step] if "min" in bounds else [bounds["above"]]
    wrong += [bounds["max"] + step * max(1, bounds["max"])] if "max" in bounds else []
    wrong += [bounds["below"]] if "below" in bounds else []
    wrong += [-5, 10**30] if whole else [-5.0, 1e300, math.nan, math.inf, -math.inf]
    return wrong


def inside(name):
    """The outermost values inside."""
    bounds = CHOICES[name]
    return [bounds[side] for side in ("min", "max") if side in bounds]


def as_many(name, value):
    """A value in the form of the setting: in a list the others stay as they are."""
    return [value, *NUMBERS[name][1:]] if isinstance(NUMBERS[name], list) else value


def written(value):
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def test_there_are_numbers_and_all_have_bounds_of_their_kind():
    assert {"num_neighbors", "inlier_threshold", "seed", "image_scales"} <= NUMBERS.keys()
    assert set(setting_bounds()) == NUMBERS.keys()
    for name in NUMBERS:
        kind = type(first(name))
        sides = {side: value for side, value in CHOICES[name].items() if side != "items"}
        assert {"min", "above"} & sides.keys(), f"{name} has no lower bound"
        assert {"max", "below"} & sides.keys(), f"{name} has no upper bound"
        assert {type(value) for value in sides.values()} == {kind}, name
        assert setting_bounds()[name].whole is (kind is int)


@pytest.mark.parametrize("name", NUMBERS)
def test_each_number_is_checked_on_the_command_line(name):
    for value in outside(name):
        with pytest.raises(UserError, match=rf"^{name} is .*; it should be "):
            load_config([f"--{name}={written(as_many(name, value))}"])
    for value in inside(name):
        found = getattr(load_config([f"--{name}={written(as_many(name, value))}"]), name)
        assert found == as_many(name, value)


@pytest.mark.parametrize("name", NUMBERS)
def test_each_number_is_checked_in_a_file_of_ones_own(name, tmp_path):
    own = tmp_path / "own.yaml"
    for value in [*outside(name), "three", True, None, [[]]]:
        own.write_text(yaml.safe_dump({name: as_many(name, value)}))
        with pytest.raises(UserError, match=name):
            load_config([f"--config_path={own}"])
    for value in inside(name):
        own.write_text(yaml.safe_dump({name: as_many(name, value)}))
        assert getattr(load_config([f"--config_path={own}"]), name) == as_many(name, value)


@pytest.mark.parametrize("name", NUMBERS)
def test_each_number_is_checked_in_our_own_file(name, tmp_path, monkeypatch):
    """A person may well edit that."""
    edited = tmp_path / "delf_config.yaml"
    monkeypatch.setattr("model_utils.config.DEFAULT_CONFIG", edited)
    helps = {}
    for value in [*outside(name)[:1], "three", True, *([2.5] if type(first(name)) is int else [])]:
        values = {**VALUES, name: as_many(name, value)}
        edited.write_text(yaml.safe_dump_all([values, helps, CHOICES]))
        with pytest.raises(UserError, match=rf"^{name} is .*; it should be "):
            load_config([f"--config_path={edited}"])


@pytest.mark.parametrize("text", ["image_scales: []", "image_scales: 1.0", "export_shape: [1, 3]"])
def test_lists_have_as_many_numbers_as_they_should(text, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text(text)
    with pytest.raises(UserError, match=text.partition(":")[0]):
        load_config([f"--config_path={own}"])


def test_a_whole_number_becomes_a_real_one_where_one_is_wanted():
    assert Bounds(min=0.0).check("rate", 1) == 1.0
    assert isinstance(Bounds(min=0.0).check("rate", 1), float)
    assert isinstance(Bounds(min=0).check("count", 1), int)


# Of each of the steps' own settings: some of their fields that bear a number of the YAML.
STEPS = [
    (RetrievalSettings, {"neighbours": 0, "shortlist": -1, "inlier_weight": math.inf}),
    (RetrievalSettings, {"expansion_images": -1, "expansion_inliers": -1, "expansion_features": 0}),
    (VerifySettings, {"threshold": math.nan, "max_trials": -5}),
    (IndexSettings, {"memory": -1, "exact_features": -1, "lists": -1, "probes": -1, "recall": 0.0}),
    (IndexSettings, {"training": 0, "iterations": 0, "seed": -1, "growth": math.nan}),
    (DelfConfig, {"max_feature_num": 0, "max_level_side": 10**9, "min_level_side": 0}),
    (DelfConfig, {"score_threshold": math.nan, "pca_dim": 9999, "nms_iou": 0.0}),
    (DelfConfig, {"image_scales": (1.0, math.inf)}),
]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(kind, name, value) for kind, values in STEPS for name, value in values.items()],
)
def test_settings_that_are_made_in_python_keep_the_same_bounds(kind, name, value):
    with pytest.raises(UserError, match=rf"{name} is .*; it should be "):
        kind(**{name: value})


def test_a_configuration_inside_of_the_bounds_is_one_that_every_step_takes():
    """What the door lets in no step refuses: the outermost values, as far as they go together."""
    base = {"images_path": "photos", "gt_path": "gt", "checkpoint_path": "x.ckpt"}
    for side in ("min", "max"):
        chosen = {name: CHOICES[name][side] for name in NUMBERS if side in CHOICES[name]}
        chosen = {name: as_many(name, value) for name, value in chosen.items()} | base
        chosen["export_shape"] = [1, 3, 0, 0]
        config = load_config([f"--{name}={written(value)}" for name, value in chosen.items()])
        EvaluationSettings.from_config(config)
        DescribeSettings.from_config(config)
        TrainingSettings.from_config(config)
        ExportSettings.from_config(config)


def test_the_defaults_of_the_steps_are_inside_too():
    """`check_fields` does not look at them."""
    for settings in (RetrievalSettings(), VerifySettings(), IndexSettings(), DelfConfig()):
        for name, value in vars(settings).items():
            for known in (name, f"index_{name}"):
                if known in setting_bounds():
                    setting_bounds()[known].check(known, value)
        check_fields(settings)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "ten", "nan", "1e3", "99999999999"])
def test_an_option_of_a_command_line_of_its_own_ends_the_program_in_one_line(text, capsys):
    with pytest.raises(SystemExit) as end:
        number(int, "num_images", "pca_images")(text)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: num_images is {text}; it should be ")


COMMANDS = [
    ("eval.py", "--num_neighbors=0", "num_neighbors is 0; it should be at least 1"),
    ("eval.py", "--inlier_threshold=nan", "inlier_threshold is nan; it should be a finite number"),
    ("train.py", "--seed=-1", "seed is -1; it should be at least 0"),
    ("export.py", "--max_bad_fraction=inf", "max_bad_fraction is inf; it should be a finite"),
    ("src/photo_search/__main__.py", "--ransac_trials=-5", "ransac_trials is -5; it should be at"),
    ("src/photo_search/__main__.py", "--top=0", "top is 0; it should be at least 1"),
    ("src/extract_feature.py", "--max_bad_fraction=nan", "max_bad_fraction is nan; it should be"),
    ("src/extract_feature.py", "--pca_dim=9999", "pca_dim is 9999; it should be at most 1024"),
    ("src/build_feature_dataset.py", "--index_recall=nan", "index_recall is nan; it should be a"),
    ("src/perform_retrieval.py", "--workers=0", "workers is 0; it should be at least 1"),
    ("src/build_image_dataset.py", "--num_shards=0", "num_shards is 0; it should be at least 1"),
    ("src/build_image_dataset.py", "--seed=-1", "seed is -1; it should be at least 0"),
    ("src/describe/fit_pca.py", "--num_images=0", "num_images is 0; it should be at least 1"),
]


@pytest.mark.parametrize(("program", "option", "message"), COMMANDS)
def test_programs_say_so_before_anything_else(program, option, message, tmp_path):
    """Nothing else is right about these commands, and nothing is done."""
    required = {
        "src/photo_search/__main__.py": ["nowhere"],
        "src/extract_feature.py": ["--images_path=x", "--feature_path=y", "--checkpoint=z"],
        "src/build_feature_dataset.py": ["--features_path=x", "--index_path=y"],
    }.get(program, [])
    done = subprocess.run(
        [sys.executable, str(PROJECT_ROOT / program), *required, option],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())
