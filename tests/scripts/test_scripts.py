"""The launchers: their arguments are checked, and what fails behind them is seen."""

import os
import subprocess

import pytest

from model_utils.environment import PROJECT_ROOT
from tests.helpers.checkout import the_error

SCRIPTS = sorted((PROJECT_ROOT / "scripts").glob("*.sh"))


def bash(*arguments, **environment):
    return subprocess.run(
        ["bash", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_well_formed(script):
    assert bash("-n", str(script)).returncode == 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("run_1p_train.sh", "usage"),
        ("run_1p_train.sh both", "usage"),
        ("run_1p_train.sh attn", "needs the checkpoint"),
        ("run_1p_train.sh attn nowhere.ckpt", "nowhere.ckpt does not exist"),
        ("run_1p_train.sh tuning --batch_size", "--name=value"),
        ("run_8p_train.sh", "usage"),
        ("run_8p_train.sh nowhere.json tuning", "rank table nowhere.json does not exist"),
        ("run_8p_train.sh README.md", "usage"),
        ("run_8p_train.sh README.md attn", "needs the checkpoint"),
        ("run_8p_train.sh README.md attn nowhere.ckpt", "nowhere.ckpt does not exist"),
        ("run_8p_train.sh README.md tuning --seed=1", "README.md is no rank table"),
        ("run_8p_train.sh tuning --batch_size=x", "batch_size is 'x'"),
        ("run_eval_match_images.sh", "usage"),
        ("run_eval_match_images.sh nowhere x.ckpt", "folder nowhere does not exist"),
        ("run_eval_match_images.sh src x.ckpt 0", "file x.ckpt does not exist"),
        ("run_eval_retrieval_images.sh src", "usage"),
        ("run_eval_retrieval_images.sh src nowhere README.md", "folder nowhere does not exist"),
        ("run_eval_retrieval_images.sh src src README.md 0 batch", "--name=value"),
        ("run_infer_310_match_images.sh", "usage"),
        ("run_infer_310_match_images.sh no.mindir src", "no model no.mindir"),
        ("run_infer_310_match_images.sh README.md nowhere", "folder nowhere does not exist"),
        ("run_infer_310_match_images.sh README.md src x", "DEVICE_ID is x"),
        ("run_infer_310_match_images.sh README.md src 0 batch", "--name=value"),
        ("run_infer_310_retrieval_images.sh README.md src", "usage"),
        ("run_infer_310_retrieval_images.sh no.mindir src src", "no model no.mindir"),
        ("run_infer_310_retrieval_images.sh README.md src no_gt 0", "no_gt does not exist"),
        ("run_eval_retrieval_images.sh src gone.pkl README.md", "folder gone.pkl does not exist"),
        ("run_quickstart.sh a b", "usage"),
        ("setup.sh all", "usage"),
        ("run_search.sh", "usage"),
        ("run_search.sh nowhere", "folder nowhere does not exist"),
        ("run_search.sh src nowhere.jpg", "query photo nowhere.jpg does not exist"),
        ("run_search.sh src --top", "--name=value"),
    ],
)
def test_wrong_arguments_end_with_one_line_and_code_2(checkout, command, message):
    script, *arguments = command.split()
    result = checkout.run(script, *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


def test_folders_in_a_list_are_seen_from_where_they_were_typed(tmp_path):
    code = (
        f"source {PROJECT_ROOT}/scripts/common.sh; source {PROJECT_ROOT}/scripts/eval_common.sh; "
        f"cd {tmp_path}; absolute_paths 'one folder,,/two,*,'; absolute_paths ''"
    )
    result = bash("-c", f"set -euo pipefail; {code}")
    assert result.stdout == f"{tmp_path}/one folder,/two,{tmp_path}/*\n\n"


def test_another_python_is_named_when_none_fits(tmp_path):
    fake = tmp_path / "python3"
    fake.write_text("#!/bin/sh\necho Python 3.14.0; exit 1\n")
    fake.chmod(0o755)
    project = tmp_path / "project"
    (project / "scripts").mkdir(parents=True)
    for name in ("setup.sh", "common.sh"):
        (project / "scripts" / name).write_bytes((PROJECT_ROOT / "scripts" / name).read_bytes())
    for name in ("requirements.txt", "requirements-dev.txt"):
        (project / name).write_bytes((PROJECT_ROOT / name).read_bytes())
    for version in ("3.10", "3.11", "3.12"):
        (tmp_path / f"python{version}").symlink_to(fake)
    (tmp_path / "python").symlink_to(fake)
    result = bash(str(project / "scripts" / "setup.sh"), PATH=f"{tmp_path}:/usr/bin:/bin")
    assert result.returncode == 2
    assert "needs Python 3.10-3.12" in result.stderr
    named = bash(str(project / "scripts" / "setup.sh"), DELF_PYTHON=str(fake))
    assert named.returncode == 2
    assert "is not a Python 3.10-3.12" in named.stderr


def test_a_training_that_fails_at_the_start_is_seen_by_who_started_it(checkout):
    log = checkout.folder / "train_tuning.log"
    before = log.read_text().splitlines() if log.exists() else []
    result = checkout.run(
        "run_1p_train.sh",
        *("tuning", "--traindata_path=nowhere/train.mindrecord000", "--save_ckpt=nowhere"),
    )
    assert "nowhere" in the_error(result)
    lines = log.read_text().splitlines()
    assert lines[: len(before)] == before
    assert lines[-1] == "TRAINING FAILED, exit code 2"
