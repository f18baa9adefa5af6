"""What the launchers make of a command line: options anywhere, odd names, an odd environment."""

import json
import os
import shlex
import subprocess

import pytest

from tests.helpers.checkout import ODD_NAME, stand_in_checkout, the_error

#: name of a folder or file → whether it is a folder
NAMES = {"my photos": True, "-photos": True, "gt ü+": True, "w.ckpt": False, "-w x.ckpt": False}
NAMES |= {"-q.jpg": False, "a b.jpg": False, "m.mindir": False, "table.json": False}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return stand_in_checkout(tmp_path_factory.mktemp("stand_in") / ODD_NAME)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Where a person stands: a folder with things of odd names."""
    folder = tmp_path_factory.mktemp("here") / "it's here"
    folder.mkdir()
    for name, is_folder in NAMES.items():
        (folder / name).mkdir() if is_folder else (folder / name).touch()
    return folder


# What is typed, and what Python is called with; {here} and {project} are the folders.
CALLS = [
    (
        "run_search.sh 'my photos' '--work_path=../my work/w' 'a b.jpg' --top=3 --mindir_path=x",
        "{project}/src/photo_search/__main__.py '--work_path=../my work/w' --top=3 --mindir_path=x "
        "-- 'my photos' 'a b.jpg'",
    ),
    (
        "run_search.sh --top=3 --checkpoint_path=x -- -photos -q.jpg",
        "{project}/src/photo_search/__main__.py --top=3 --checkpoint_path=x -- -photos -q.jpg",
    ),
    (
        "run_photo_search.sh --port=0 'my photos' '--work_path=../my work/w' --mindir_path=x",
        "{project}/src/serve/__main__.py --port=0 '--work_path=../my work/w' --mindir_path=x "
        "-- 'my photos'",
    ),
    (
        "run_eval_match_images.sh '--work_path=../my work/w' 'my photos' --score=norm w.ckpt 03",
        "eval.py --eval_task=match '--images_path={here}/my photos' "
        "'--checkpoint_path={here}/w.ckpt' --devices=03 '--work_path={here}/../my work/w' "
        "--score=norm",
    ),
    (
        "run_eval_match_images.sh --map_output= '--config_path=my own.yaml' --pca_path=auto "
        "-- -photos '-w x.ckpt'",
        "eval.py --eval_task=match '--images_path={here}/-photos' "
        "'--checkpoint_path={here}/-w x.ckpt' "
        "--map_output= '--config_path={here}/my own.yaml' --pca_path=auto",
    ),
    (
        "run_eval_retrieval_images.sh 'my photos' '--distractors_path=gt ü+,/else where' 'gt ü+' "
        "w.ckpt 0,12 '--pca_path=my pca' '--fit_pca_on=my photos'",
        "eval.py --eval_task=retrieval '--images_path={here}/my photos' '--gt_path={here}/gt ü+' "
        "'--checkpoint_path={here}/w.ckpt' --devices=0,12 "
        "'--distractors_path={here}/gt ü+,/else where' '--pca_path={here}/my pca' "
        "'--fit_pca_on={here}/my photos'",
    ),
    (
        "run_infer_310_match_images.sh '--lite_config=c d.ini' m.mindir 'my photos' 1",
        "eval.py --eval_task=match '--match_output={project}/test_match.png' "
        "'--mindir_path={here}/m.mindir' '--images_path={here}/my photos' --devices=1, "
        "'--lite_config={here}/c d.ini'",
    ),
    (
        "run_infer_310_retrieval_images.sh m.mindir -- -photos 'gt ü+'",
        "eval.py --eval_task=retrieval '--gt_path={here}/gt ü+' '--mindir_path={here}/m.mindir' "
        "'--images_path={here}/-photos'",
    ),
    (
        "download_oxf.sh '--base_url=x y' 'my data'",
        "{project}/src/downloads/data_sets.py oxford '--base_url=x y' 'my data'",
    ),
]


@pytest.mark.parametrize(("typed", "expected"), CALLS)
def test_options_stand_anywhere_and_names_are_odd(project, here, typed, expected):
    script, *arguments = shlex.split(typed)
    result = project.run(script, *arguments, cwd=here)
    assert result.returncode == 0, result.stderr
    folder, *given = json.loads(result.stdout)
    wanted = [part.format(here=here, project=project.folder) for part in shlex.split(expected)]
    assert folder == str(project.folder if wanted[0] == "eval.py" else here)
    assert given == wanted


@pytest.mark.parametrize("script", ["run_1p_train.sh", "run_8p_train.sh"])
def test_trainings_take_options_anywhere(project, here, tmp_path, script):
    table = ["table.json"] if script == "run_8p_train.sh" else []
    result = project.run(
        script,
        *("--save_ckpt=../my ckpt", *table, "attn", "--seed=1", "--", "-w x.ckpt"),
        cwd=here,
        environment={"DELF_LOG_ROOT": str(tmp_path / "my logs"), "DELF_WAIT": "1"},
    )
    assert result.returncode == 0, result.stderr
    name = "train_parallel_attn.log" if table else "train_attn.log"
    head, call, end = (tmp_path / "my logs" / name).read_text().splitlines()
    folder, *given = json.loads(call)
    root = project.folder
    if table:
        expected = [f"{root}/model_utils/launch.py", f"{here}/table.json", "attn"]
        expected += [f"{here}/-w x.ckpt"]
    else:
        expected = [f"{root}/train.py", "--train_state=attn", f"--checkpoint_path={here}/-w x.ckpt"]
    assert (folder, given) == (str(here), [*expected, "--save_ckpt=../my ckpt", "--seed=1"])
    assert head.startswith("== ") and end == "TRAINING ENDED WELL"


SCRIPTS = (
    *("run_search.sh", "run_eval_match_images.sh", "run_eval_retrieval_images.sh"),
    *("run_infer_310_match_images.sh", "run_infer_310_retrieval_images.sh"),
    *("run_1p_train.sh", "run_8p_train.sh"),
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_no_option_is_refused_before_anything_is_done(project, here, script):
    refused = the_error(project.run(script, "my photos", "-q.jpg", cwd=here))
    assert "-q.jpg is not of the form --name=value" in refused and "behind --" in refused
    usage = project.run(script, "--help")
    assert (usage.returncode, usage.stderr) == (0, "")
    assert usage.stdout.startswith(f"usage: bash scripts/{script} ")


@pytest.mark.parametrize("script", ["run_search.sh", "run_eval_match_images.sh", "setup.sh"])
def test_what_a_person_exported_for_other_programs_changes_nothing(project, here, tmp_path, script):
    for name in ("scripts", "decoy/scripts"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    exported = {"CDPATH": f".:{tmp_path}:{tmp_path}/decoy", "PYTHONHOME": str(tmp_path)}
    arguments = {
        "run_search.sh": ["src", "--checkpoint_path=x"],
        "run_eval_match_images.sh": ["src", "README.md"],
        "setup.sh": [],
    }[script]
    # By a relative path, as one types it.
    results = [
        project.run(f"../scripts/{script}", *arguments, environment=environment)
        for environment in ({}, exported)
    ]
    assert results[0].returncode == 0, results[0].stderr
    said = [(each.returncode, each.stdout, each.stderr) for each in results]
    assert said[0] == said[1]


def test_with_a_cdpath_the_program_is_built_where_it_stands(project):
    result = subprocess.run(
        ["bash", "ascend310_infer/build.sh", "--wrong"],
        cwd=project.folder,
        env={**os.environ, "CDPATH": str(project.folder)},
        capture_output=True,
        text=True,
    )
    assert the_error(result).startswith("error: usage: ")
    assert result.stdout == ""
