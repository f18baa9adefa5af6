"""The launchers of the C++ program: from photos and a model to mAP.txt and test_match.png."""

import os
import re
import subprocess
from pathlib import Path

import cv2
import pytest

from model_utils.environment import PROJECT_ROOT
from tests.helpers.weights import keras_resnet50, write_keras_h5

COMMON = ("--device_target=CPU", "--max_feature_num=60", "--pca_images=3", "--max_level_side=256")


def launch(script, *arguments, folder=None):
    return subprocess.run(
        ["bash", str(PROJECT_ROOT / "scripts" / script), *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        stdin=subprocess.DEVNULL,
    )


def the_error(result) -> str:
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.slow
def test_map_is_the_same_by_either_engine(tmp_path, world, attention_checkpoint, any_size_mindir):
    images, truth = world / "images", world / "gt"
    tables = {}
    for name, script, arguments in (
        ("model", "run_infer_310_retrieval_images.sh", (any_size_mindir, images, truth, 0)),
        *(
            (name, "run_eval_retrieval_images.sh", (images, truth, attention_checkpoint, *more))
            for name, more in (
                ("python", ("0", "--engine=mindspore")),
                ("lite", ("01", "--engine=lite")),
                ("openvino", ("01", "--precision=float32")),
            )
        ),
    ):
        output = tmp_path / f"{name}.txt"
        outputs = (f"--map_output={output}", f"--work_path={tmp_path / name}")
        result = launch(script, *arguments, *outputs, *COMMON)
        assert result.returncode == 0, result.stderr
        tables[name] = output.read_text()
        assert tables[name] in result.stdout
    assert tables["model"] == tables["python"] == tables["lite"] == tables["openvino"]
    assert [path.suffix for path in (tmp_path / "lite" / "models").iterdir()] == [".mindir"]
    time = (PROJECT_ROOT / "time_Result" / "test_perform_static.txt").read_text()
    assert re.match(r"NN inference cost average time: [\d.]+ ms of infer_count \d+", time)


@pytest.mark.slow
def test_two_photos_are_matched(tmp_path, world, any_size_mindir):
    photos = tmp_path / "photos"
    photos.mkdir()
    source = next((world / "images").glob("*.jpg"))
    for name in ("same_1.jpg", "same_2.jpg"):
        os.link(source, photos / name)
    names = tmp_path / "names.txt"
    names.write_text("same_1\nsame_2\n")
    options = (f"--list_images_path={names}", f"--work_path={tmp_path / 'work'}", *COMMON)
    picture = PROJECT_ROOT / "test_match.png"
    picture.unlink(missing_ok=True)
    result = launch("run_infer_310_match_images.sh", any_size_mindir, photos, 0, *options)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[0]) > 10
    assert cv2.imread(str(picture)) is not None

    names.write_text("same_1\nmissing\n")
    result = launch("run_infer_310_match_images.sh", any_size_mindir, photos, *options)
    assert "names missing" in the_error(result)


@pytest.mark.slow
def test_weights_without_attention_work_too(tmp_path, world):
    weights = tmp_path / "imagenet.h5"
    write_keras_h5(weights, keras_resnet50())
    names = tmp_path / "names.txt"
    first, second = sorted(path.stem for path in (world / "images").glob("*.jpg"))[:2]
    names.write_text(f"{first}\n{second}\n")
    found = []
    for engine in ("mindspore", "lite"):
        result = launch(
            "run_eval_match_images.sh",
            *(world / "images", weights, 0, f"--engine={engine}"),
            *(f"--list_images_path={names}", f"--work_path={tmp_path / 'work'}", *COMMON),
            f"--match_output={tmp_path / engine}.png",
        )
        assert result.returncode == 0, result.stderr
        found.append(result.stdout.split()[0])
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_folder_is_searched_and_nothing_left_where_one_stands(tmp_path, world, any_size_mindir):
    here = tmp_path / "here"
    here.mkdir()
    query = sorted((world / "images").glob("*.jpg"))[0]
    options = (f"--mindir_path={any_size_mindir}", f"--work_path={tmp_path / 'work'}", *COMMON)
    result = launch("run_search.sh", world / "images", query, "--top=3", *options, folder=here)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("votes") == 3
    assert list(here.iterdir()) == []


def test_what_cannot_run_is_said_in_one_line(tmp_path, world, any_size_mindir):
    images, truth = world / "images", world / "gt"
    work = (f"--work_path={tmp_path / 'work'}", f"--map_output={tmp_path / 'mAP.txt'}")
    script = "run_infer_310_retrieval_images.sh"
    noise = tmp_path / "noise.mindir"
    noise.write_bytes(b"not a model")
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, message in (
        ((noise, images, truth), "noise.mindir"),
        ((any_size_mindir, empty, truth), "no image in"),
        ((any_size_mindir, images, truth, "--lite_config=/no/such"), "lite_config /no/such"),
        ((any_size_mindir, images, truth, 7, "--device_target=Ascend"), "on Ascend 7"),
        ((any_size_mindir, images, truth, "--score=attention", "--lite_threads=x"), "lite_threads"),
    ):
        device = () if "--device_target=Ascend" in arguments else ("--device_target=CPU",)
        result = launch(script, *arguments, *work, *COMMON[1:], *device)
        assert message in the_error(result)
    assert not Path(tmp_path / "mAP.txt").exists()
