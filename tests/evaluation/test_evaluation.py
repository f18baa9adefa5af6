"""eval.py from photos and a checkpoint to mAP and a picture of matches, with the real network."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from model_utils.environment import PROJECT_ROOT
from src.evaluation.report import read_map_text


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, str(PROJECT_ROOT / "eval.py"), *arguments, "--device_target=CPU"],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=600,
    )


def retrieval(folder, world, checkpoint, *more):
    return run(
        folder,
        f"--images_path={world / 'images'}",
        f"--gt_path={world / 'gt'}",
        f"--checkpoint_path={checkpoint}",
        "--work_path=work",
        "--map_output=mAP.txt",
        "--pca_images=3",
        "--max_feature_num=60",
        *more,
    )


def modification_times(folder: Path) -> dict[str, float]:
    """When the costly results were made: features and index."""
    made = [*folder.rglob("features/*.npz"), *folder.rglob("index-*/*"), *folder.rglob("pca/*")]
    return {str(path): path.stat().st_mtime_ns for path in made}


@pytest.mark.slow
def test_the_whole_evaluation_and_starting_it_again(tmp_path, world, attention_checkpoint):
    first = retrieval(tmp_path, world, attention_checkpoint, "--devices=01")
    assert first.returncode == 0, first.stderr
    table = (tmp_path / "mAP.txt").read_text()
    assert first.stdout.startswith("levels protocol, queries not cropped and in the index")
    assert first.stdout.endswith(f"\n{table}")
    results = read_map_text(tmp_path / "mAP.txt")
    assert list(results) == ["easy", "hard", "medium"]
    assert 0 < results["medium"]["mAP"] <= 100
    ranks = np.load(next((tmp_path / "work").rglob("ranks.npy")))
    assert ranks.shape == (2, 10)
    assert (np.sort(ranks, axis=1) == np.arange(10)).all()
    for log in ("extract_feature.log", "calculate_mAP.log", "work/process0/retrieval0.log"):
        assert (tmp_path / log).stat().st_size > 0
    page = tmp_path / "mAP_page"
    drawn = {path: path.stat().st_mtime_ns for path in page.rglob("*.[jp][pn]g")}
    assert len(drawn) == 2 + 2 + 3  # sheets, and curves of the queries and of the protocols
    text = (page / "index.html").read_text()
    before = modification_times(tmp_path / "work")
    features = {
        path.name: path.read_bytes() for path in (tmp_path / "work").rglob("features/*.npz")
    }
    assert len(features) == 10

    again = retrieval(tmp_path, world, attention_checkpoint)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert modification_times(tmp_path / "work") == before
    assert {path: path.stat().st_mtime_ns for path in page.rglob("*.[jp][pn]g")} == drawn
    assert (page / "index.html").read_text() == text

    # what is lost is made again, and comes out the same on another number of workers
    for path in (tmp_path / "work").rglob("features/*0.npz"):
        path.unlink()
    repaired = retrieval(tmp_path, world, attention_checkpoint)
    assert repaired.stdout == first.stdout, repaired.stderr
    for path in (tmp_path / "work").rglob("features/*.npz"):
        assert path.read_bytes() == features[path.name]

    plain = retrieval(
        tmp_path, world, attention_checkpoint, "--plain_ranking=True", "--result_page=0"
    )
    assert plain.returncode == 0, plain.stderr
    assert (page / "index.html").read_text() == text
    assert len(list((tmp_path / "work").rglob("ranks.npy"))) == 2


@pytest.mark.slow
def test_a_photo_matches_itself(tmp_path, world, attention_checkpoint):
    (tmp_path / "list_images.txt").write_text("same_1\nsame_2.jpg\n")
    photos = tmp_path / "photos"
    photos.mkdir()
    source = next((world / "images").glob("*.jpg"))
    for name in ("same_1.jpg", "same_2.jpg"):
        os.link(source, photos / name)
    result = run(
        tmp_path,
        "--eval_task=match",
        f"--images_path={photos}",
        f"--checkpoint_path={attention_checkpoint}",
        "--list_images_path=list_images.txt",
        "--match_output=eval_match.png",
        "--work_path=work",
        "--max_feature_num=50",
        "--use_pca=False",
    )
    assert result.returncode == 0, result.stderr
    inliers = int(result.stdout.split()[0])
    assert inliers > 10
    assert cv2.imread(str(tmp_path / "eval_match.png")) is not None
    assert f"{inliers} inliers" in (tmp_path / "match_images.log").read_text()


def test_mistakes_end_with_one_line_and_code_2(tmp_path, world, attention_checkpoint):
    cases = {
        "images_path is not set": [],
        "nowhere": [
            "--images_path=nowhere",
            "--gt_path=nowhere",
            f"--checkpoint_path={attention_checkpoint}",
        ],
        "holds no *_query.txt": [
            f"--images_path={world / 'images'}",
            f"--gt_path={world / 'images'}",
            f"--checkpoint_path={attention_checkpoint}",
        ],
        "absent.ckpt": [
            f"--images_path={world / 'images'}",
            f"--gt_path={world / 'gt'}",
            "--checkpoint_path=absent.ckpt",
        ],
    }
    for message, arguments in cases.items():
        result = run(tmp_path, *arguments, "--work_path=work", "--map_output=mAP.txt")
        assert result.returncode == 2, result.stderr
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert message in errors[0]
        assert "Traceback" not in result.stderr
    assert not (tmp_path / "mAP.txt").exists()
