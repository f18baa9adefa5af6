"""The sample world: its layouts, and that the same options give the same bytes."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from sample_world import work
from sample_world.build import build_sample_world
from sample_world.buildings.kinds import KINDS, build_landmark
from sample_world.options import WorldOptions
from sample_world.plan import plan
from sample_world.scenes.visibility import visibility_class
from src.common.errors import UserError
from src.common.leaving import EXIT_INTERRUPTED, INTERRUPTED
from tests.helpers.processes import hear_ctrl_c, is_alive, wait_until

ROOT = Path(__file__).resolve().parents[2]

TINY = WorldOptions(
    seed=3,
    train_landmarks=2,
    train_photos=2,
    retrieval_landmarks=2,
    retrieval_photos=3,
    queries=1,
    distractors=4,
    width=96,
    height=72,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return folder, build_sample_world(folder, TINY, num_workers=1)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# -- layouts -------------------------------------------------------------------------------------


def test_gldv2_tables_name_the_photos_that_exist(world):
    folder, summary = world
    train = folder / "gldv2" / "train"
    photos = read_table(train / "train.csv")
    assert list(photos[0]) == ["id", "url", "landmark_id"]
    assert len(photos) == 4 == summary["train_photos"]
    for row in photos:
        name = row["id"]
        assert len(name) == 16 and int(name, 16) >= 0
        picture = cv2.imread(str(train / name[0] / name[1] / name[2] / f"{name}.jpg"))
        assert picture.shape in ((72, 96, 3), (96, 72, 3))
    clean = read_table(train / "train_clean.csv")
    assert list(clean[0]) == ["landmark_id", "images"]
    listed = {(image, row["landmark_id"]) for row in clean for image in row["images"].split(" ")}
    assert listed == {(row["id"], row["landmark_id"]) for row in photos}
    categories = read_table(train / "train_label_to_category.csv")
    assert list(categories[0]) == ["landmark_id", "category"]
    assert [r["landmark_id"] for r in categories] == [r["landmark_id"] for r in clean]
    assert len(list(train.rglob("*.jpg"))) == len(photos)


def test_ground_truth_parts_the_photos_of_each_landmark(world):
    folder, summary = world
    images = {path.stem: path for path in (folder / "retrieval" / "images").iterdir()}
    assert len(images) == 2 * 3 + 4
    queries = sorted((folder / "retrieval" / "gt").glob("*_query.txt"))
    assert len(queries) == 2 == summary["queries"]
    seen: set[str] = set()
    for path in queries:
        landmark = path.name.split("_")[0]
        name, *box = path.read_text().split()
        x0, y0, x1, y1 = map(float, box)
        query = name[len("oxc1_") :]
        assert name.startswith("oxc1_") and query.startswith(f"{landmark}_")
        height, width = cv2.imread(str(images[query])).shape[:2]
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        lists = {
            kind: path.with_name(path.name.replace("query", kind)).read_text().split()
            for kind in ("good", "ok", "junk")
        }
        assert all(names == sorted(names) for names in lists.values())
        everything = [name for names in lists.values() for name in names]
        assert sorted(everything) == sorted(n for n in images if n.startswith(f"{landmark}_"))
        by_name = {
            record["name"]: record["visible"]
            for record in summary["photos"]
            if record["group"] == landmark
        }
        for kind, names in lists.items():
            assert all(visibility_class(by_name[name]) == kind for name in names)
        seen |= set(everything)
    rest = sorted(set(images) - seen)
    assert {name.split("_")[0] for name in rest} <= {"building", "street", "park", "square"}
    assert len(rest) == 4


def test_retrieval_landmarks_are_not_those_of_training():
    groups = plan(WorldOptions(train_landmarks=14, retrieval_landmarks=8))
    seeds = [group.seed for group in groups if group.kind in KINDS]
    assert len(set(seeds)) == len(seeds)
    # The same kind, one of each part: other geometry and other textures.
    train, search = (
        build_landmark(g.kind, list(g.seed))
        for g in groups
        if g.name in ("train_clocktower", "clocktower")
    )
    assert train.points.max(0) != pytest.approx(search.points.max(0), abs=0.05)
    colours = [mesh.textures[0].colour[-1].mean((0, 1)) for mesh in (train, search)]
    assert np.abs(colours[0] - colours[1]).max() > 3
    files = [shot.file for group in groups for shot in group.shots]
    assert len(set(files)) == len(files)


def test_default_plan_holds_what_the_options_say():
    options = WorldOptions()
    groups = plan(options)
    files = [shot.file for group in groups for shot in group.shots]
    assert sum(f.startswith("gldv2") for f in files) == 12 * 30
    assert sum(f.startswith("retrieval") for f in files) == 6 * 10 + 40
    portraits = sum(shot.portrait for group in groups for shot in group.shots)
    assert 0.1 < portraits / len(files) < 0.6


# -- runs ----------------------------------------------------------------------------------------


def test_two_processes_and_a_resumed_run_give_the_same_bytes(world, tmp_path):
    folder, _ = world
    expected = digests(folder)
    build_sample_world(tmp_path, TINY, num_workers=2)
    assert digests(tmp_path) == expected
    # As if the run had been killed: no summary of the end, one group unfinished.
    (tmp_path / "sample_world.json").write_text(
        json.dumps({**json.loads((tmp_path / "sample_world.json").read_text()), "complete": False})
    )
    (tmp_path / ".parts" / "cathedral.json").unlink()
    next((tmp_path / "retrieval" / "images").glob("street_*.jpg")).unlink()
    (tmp_path / "gldv2" / "train" / "train.csv").unlink()
    build_sample_world(tmp_path, TINY, num_workers=1)
    assert digests(tmp_path) == expected


def test_a_complete_world_is_left_alone(world, monkeypatch):
    folder, summary = world

    def never(*_):
        raise AssertionError("rendered again")

    monkeypatch.setattr(work, "run_group", never)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again = build_sample_world(folder, TINY)
    assert again == json.loads(json.dumps(summary))
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()} == times


def test_other_options_are_refused_by_name(world):
    folder, _ = world
    options = WorldOptions(**{**TINY.__dict__, "seed": 4, "queries": 2})
    with pytest.raises(UserError, match=r"seed is 3 there and 4 here.*queries is 1 there and 2"):
        build_sample_world(folder, options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": 4}, "queries"),
        ({"train_landmarks": 1}, "train_landmarks"),
        ({"width": 8}, "width"),
        ({"distractors": -1}, "distractors"),
    ],
)
def test_impossible_options_are_refused(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        build_sample_world(tmp_path / "w", WorldOptions(**{**TINY.__dict__, **change}))
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("by_path", [True, False])
def test_command_line_explains_a_folder_that_is_a_file(tmp_path, by_path):
    path = tmp_path / "taken"
    path.write_text("x")
    program = [str(ROOT / "sample_world" / "__main__.py")] if by_path else ["-m", "sample_world"]
    done = subprocess.run(
        [sys.executable, *program, f"--output_directory={path}"],
        cwd=tmp_path if by_path else ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: ") and str(path) in done.stderr
    assert path.read_text() == "x"


def test_command_renders_with_two_processes_whatever_lies_in_the_current_folder(world, tmp_path):
    """By path: neither the run nor the processes it starts import what stands there."""
    for name in ("src", "sample_world", "cv2"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported from the folder')")
    options = [f"--{name}={value}" for name, value in TINY.__dict__.items()]
    program = str(ROOT / "sample_world" / "__main__.py")
    subprocess.run(
        [sys.executable, program, *options, "--output_directory=out", "--num_workers=2"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert digests(tmp_path / "out") == digests(world[0])


def test_ctrl_c_ends_a_run_at_once_and_the_next_goes_on(tmp_path):
    """A terminal sends it to all processes; a group of photos would take them a minute."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "sample_world" / "__main__.py"), f"--output_directory={out}"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )
    assert wait_until(lambda: len(list(out.rglob("*.jpg"))) > 1)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == EXIT_INTERRUPTED
    assert said.splitlines()[1:] == [INTERRUPTED]
    assert wait_until(lambda: not any(is_alive(worker.pid) for worker in workers))
    assert not list(out.rglob("*.tmp*"))
