"""The launchers of the C++ program: from photos and a model to mAP.txt and test_match.png."""

import os
import re
from pathlib import Path

import cv2
import pytest

from src.network.export import ExportSettings, export_model
from tests.helpers.checkout import the_error
from tests.helpers.weights import keras_resnet50, write_keras_h5

COMMON = ("--device_target=CPU", "--max_feature_num=60", "--pca_images=3", "--max_level_side=256")


@pytest.mark.slow
def test_map_is_the_same_by_either_engine(tmp_path, world, attention_checkpoint, checkout):
    # As export.py writes it, but for the size.
    model = export_model(attention_checkpoint, tmp_path / "m", ExportSettings((7, 3, 256, 256)))
    images, truth = world / "images", world / "gt"
    tables = {}
    for name, script, arguments in (
        ("model", "run_infer_310_retrieval_images.sh", (model, images, truth, 0)),
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
        result = checkout.run(script, *arguments, *outputs, *COMMON)
        assert result.returncode == 0, result.stderr
        tables[name] = output.read_text()
        assert result.stdout.startswith("levels protocol") and result.stdout.endswith(tables[name])
        copied = "is MindIR of version 3, which this runtime does not read" in result.stderr
        assert copied == (name == "model")
    assert tables["model"] == tables["python"] == tables["lite"] == tables["openvino"]
    for engine in ("model", "lite"):
        assert [path.suffix for path in (tmp_path / engine / "models").iterdir()] == [".mindir"]
    time = (checkout.folder / "time_Result" / "test_perform_static.txt").read_text()
    assert re.match(r"NN inference cost average time: [\d.]+ ms of infer_count \d+", time)


@pytest.mark.slow
def test_two_photos_are_matched(tmp_path, world, any_size_mindir, checkout):
    photos = tmp_path / "photos"
    photos.mkdir()
    source = next((world / "images").glob("*.jpg"))
    for name in ("same_1.jpg", "same_2.jpg"):
        os.link(source, photos / name)
    names = tmp_path / "names.txt"
    names.write_text("same_1\nsame_2\n")
    options = (f"--list_images_path={names}", f"--work_path={tmp_path / 'work'}", *COMMON)
    picture = checkout.folder / "test_match.png"
    result = checkout.run("run_infer_310_match_images.sh", any_size_mindir, photos, 0, *options)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[0]) > 10
    assert cv2.imread(str(picture)) is not None

    names.write_text("same_1\nmissing\n")
    result = checkout.run("run_infer_310_match_images.sh", any_size_mindir, photos, *options)
    assert "names missing" in the_error(result)


@pytest.mark.slow
def test_weights_without_attention_work_too(tmp_path, world, checkout):
    weights = tmp_path / "imagenet.h5"
    write_keras_h5(weights, keras_resnet50())
    names = tmp_path / "names.txt"
    first, second = sorted(path.stem for path in (world / "images").glob("*.jpg"))[:2]
    names.write_text(f"{first}\n{second}\n")
    found = []
    for engine in ("mindspore", "lite"):
        result = checkout.run(
            "run_eval_match_images.sh",
            *(world / "images", weights, 0, f"--engine={engine}"),
            *(f"--list_images_path={names}", f"--work_path={tmp_path / 'work'}", *COMMON),
            f"--match_output={tmp_path / engine}.png",
        )
        assert result.returncode == 0, result.stderr
        found.append(result.stdout.split()[0])
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_folder_is_searched_and_nothing_left_where_one_stands(
    tmp_path, world, any_size_mindir, checkout
):
    here = tmp_path / "here"
    here.mkdir()
    query = sorted((world / "images").glob("*.jpg"))[0]
    options = (f"--mindir_path={any_size_mindir}", f"--work_path={tmp_path / 'work'}", *COMMON)
    result = checkout.run("run_search.sh", world / "images", query, "--top=3", *options, cwd=here)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("votes") == 3
    assert list(here.iterdir()) == []


def test_what_cannot_run_is_said_in_one_line(tmp_path, world, any_size_mindir, checkout):
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
        result = checkout.run(script, *arguments, *work, *COMMON[1:], *device)
        assert message in the_error(result)
    assert not Path(tmp_path / "mAP.txt").exists()
