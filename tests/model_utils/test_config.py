from pathlib import Path

import pytest
import yaml

from model_utils.config import DEFAULT_CONFIG, load_config
from src.common.errors import UserError

PUBLISHED_NAMES = {
    *("train_state", "seed", "batch_size", "start_iter", "max_iters", "image_size", "initial_lr"),
    *("attention_loss_weight", "traindata_path", "keep_checkpoint_max", "imagenet_checkpoint"),
    *("checkpoint_path", "save_ckpt", "save_ckpt_step", "need_summary", "save_summary"),
    "need_profile",
}


def test_every_setting_has_a_help_text_and_the_published_names_are_there():
    values, helps, choices = yaml.safe_load_all(DEFAULT_CONFIG.read_text())
    assert set(values) >= PUBLISHED_NAMES
    assert set(helps) == set(values)
    assert set(choices) <= set(values)


def test_options_change_values_and_keep_their_types(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(
        ["--need_summary=False", "--initial_lr=1e-3", "--batch_size", "4", "--images_path=photos"]
    )
    assert config.need_summary is False
    assert config.initial_lr == 0.001
    assert config.batch_size == 4
    # typed paths are seen from where they are typed, those of the file from the file
    assert config.images_path == str(tmp_path / "photos")
    assert Path(config.save_ckpt) == DEFAULT_CONFIG.parent / "ckpt"
    assert config.checkpoint_path == ""


def test_a_partial_file_of_ones_own(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("batch_size: 3\ntraindata_path: data/train.mindrecord000\ninitial_lr: 1\n")
    config = load_config([f"--config_path={own}"])
    assert (config.batch_size, config.initial_lr, config.seed) == (3, 1.0, 0)
    assert config.traindata_path == str(tmp_path / "data/train.mindrecord000")
    # what it does not set lies where it always does
    assert Path(config.save_ckpt) == DEFAULT_CONFIG.parent / "ckpt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_sice: 3", "batch_sice"),
        ("batch_size: three", "batch_size"),
        ("batch_size: true", "batch_size"),
        ("need_summary: 1", "need_summary"),
        ("a: [", "not valid YAML"),
        ("train_state: both", "tuning, attn"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, text, message):
    own = tmp_path / "own.yaml"
    own.write_text(text)
    with pytest.raises(UserError, match=message):
        load_config([f"--config_path={own}"])


@pytest.mark.parametrize("option", ["--need_summary=maybe", "--batch_size=x", "--score=best"])
def test_a_wrong_option_is_refused(option):
    with pytest.raises(UserError, match=option[2:].partition("=")[0]):
        load_config([option])


def test_an_unknown_option_ends_with_code_2():
    with pytest.raises(SystemExit) as end:
        load_config(["--batch_sice=3"])
    assert end.value.code == 2


def test_a_missing_file_is_named():
    with pytest.raises(UserError, match=r"nowhere\.yaml"):
        load_config(["--config_path=nowhere.yaml"])
