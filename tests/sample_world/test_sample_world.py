"""The sample world: layouts, determinism, and that what is said to be visible is."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sample_world import build as sample_world
from sample_world.build import WorldOptions, build_sample_world, plan
from sample_world.buildings import KINDS, build_landmark
from sample_world.mesh import LANDMARK, MeshBuilder, join
from sample_world.render import Camera, full_area, landmark_mask, rasterise
from sample_world.scene import choose_camera, measure, take_photo, visibility_class
from sample_world.textures import Canvas
from src.common.errors import UserError

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


@pytest.fixture(scope="module")
def plain():
    canvas = Canvas(np.random.default_rng(0), 2, 2, 16)
    return canvas.finish(0.0)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def panel(plain, x0, x1, y, z0=0.0, z1=4.0, owner=0):
    """Return an upright rectangle at depth y that looks towards negative y."""
    b = MeshBuilder(owner)
    b.wall((x0, y), (x1, y), z0, z1, plain)
    return b.build()


def camera_at(distance: float, size=(160, 120), focal=120.0) -> Camera:
    return Camera.looking(np.array([0, -distance, 2.0]), np.array([0, 0, 2.0]), focal, size)


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

    monkeypatch.setattr(sample_world, "_run_group", never)
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


def test_command_line_explains_a_folder_that_is_a_file(tmp_path):
    path = tmp_path / "taken"
    path.write_text("x")
    script = Path(sample_world.__file__)
    done = subprocess.run(
        [sys.executable, str(script), f"--output_directory={path}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: ") and str(path) in done.stderr
    assert path.read_text() == "x"


# -- geometry ------------------------------------------------------------------------------------


def test_projection_agrees_with_opencv():
    rng = np.random.default_rng(1)
    camera = Camera.looking(
        np.array([3.0, -20.0, 1.7]), np.array([-1.0, 2.0, 6.0]), 300.0, (640, 480), roll=0.1
    )
    points = rng.uniform(-6, 6, (50, 3))
    matrix = np.array([[300.0, 0, camera.centre[0]], [0, 300.0, camera.centre[1]], [0, 0, 1]])
    turn, _ = cv2.Rodrigues(camera.rotation)
    shift = -camera.rotation @ camera.position
    expected, _ = cv2.projectPoints(points, turn, shift, matrix, None)
    assert camera.project(points) == pytest.approx(expected[:, 0], abs=1e-6)
    assert np.linalg.det(camera.rotation) == pytest.approx(1.0)
    # Twice the pixels: the middle of the fine picture is still the middle.
    fine = camera.scaled(2).project(points)
    assert (fine + 0.5) / 2 == pytest.approx(camera.project(points) + 0.5)


def test_faces_cover_the_pixels_opencv_projects_them_to(plain):
    camera = Camera.looking(np.array([4.0, -12, 3]), np.array([0, 0, 2.0]), 150.0, (200, 150))
    mesh = panel(plain, -3, 3, 0)
    shown = rasterise(mesh, camera).face >= 0
    corners = camera.project(mesh.points)
    expected = np.zeros((150, 200), np.uint8)
    cv2.fillConvexPoly(expected, np.round(corners).astype(np.int32), 1)
    assert (shown != (expected > 0)).sum() < 0.03 * expected.sum()
    # Its depth at the middle is the distance along the view.
    middle = camera.to_camera(np.array([[0.0, 0, 2.0]]))[0, 2]
    x, y = np.round(camera.project(np.array([[0.0, 0, 2.0]]))[0]).astype(int)
    assert rasterise(mesh, camera).depth[y, x] == pytest.approx(1 / middle, rel=0.02)


@pytest.mark.parametrize("first", [True, False])
def test_the_nearer_face_wins_whatever_the_order(plain, first):
    near, far = panel(plain, -1, 1, -2), panel(plain, -3, 3, 0)
    scene = join([near, far] if first else [far, near])
    face = rasterise(scene, camera_at(10)).face
    index_near = 0 if first else 1
    assert face[60, 80] == index_near
    assert (face == 1 - index_near).any() and (face == -1).any()


def test_faces_through_the_camera_plane_are_cut_not_mirrored(plain):
    ground = MeshBuilder()
    ground.tiled([[-500, -500, 0], [500, -500, 0], [500, 500, 0], [-500, 500, 0]], plain, (4, 4))
    face = rasterise(ground.build(), camera_at(10)).face
    # The horizon of level ground lies at half height before a level camera.
    assert (face[:58] == -1).all() and (face[63:] == 0).all()


def test_a_back_is_not_seen(plain):
    mesh = panel(plain, -2, 2, 0)
    behind = Camera.looking(np.array([0, 10.0, 2]), np.array([0, 0, 2.0]), 100.0, (80, 60))
    assert (rasterise(mesh, behind).face == -1).all()


# -- visibility ----------------------------------------------------------------------------------


def test_half_hidden_landmark_counts_half(plain):
    landmark = panel(plain, -2, 2, 0, owner=LANDMARK)
    camera = camera_at(20, (320, 240), 300)
    # Half way to the landmark an obstacle of half its size hides just as much.
    for x1, expected in ((0.0, 0.5), (0.5, 0.25), (-0.5, 0.75), (1.1, 0.0)):
        scene = join([landmark, panel(plain, -1.2, x1, -10, 0.5, 3.5)])
        visible, box = measure(scene, landmark, camera, rasterise(scene, camera))
        assert visible == pytest.approx(expected, abs=0.03)
        assert (box is None) == (expected == 0.0)
    visible, box = measure(landmark, landmark, camera, rasterise(landmark, camera))
    assert visible == pytest.approx(1.0, abs=0.02)
    assert box == pytest.approx((129.5, 89.5, 190.5, 150.5), abs=1.0)


def test_what_lies_outside_the_picture_counts_as_hidden(plain):
    landmark = panel(plain, -2, 2, 0, owner=LANDMARK)
    aside = Camera.looking(np.array([0, -20.0, 2]), np.array([0, 0, 2.0]), 300.0, (320, 240))
    # The same view, cut so that its right edge runs through the middle of the landmark.
    cut = Camera(aside.position, aside.rotation, 300.0, aside.centre, (160, 240))
    visible, box = measure(landmark, landmark, cut, rasterise(landmark, cut))
    assert visible == pytest.approx(0.5, abs=0.03)
    assert box[2] == 160
    assert full_area(landmark, cut) == pytest.approx(full_area(landmark, aside), rel=1e-6)
    assert full_area(landmark, aside) == pytest.approx(60 * 60, rel=0.05)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(1.0, "good"), (0.76, "good"), (0.75, "ok"), (0.26, "ok"), (0.25, "junk"), (0.0, "junk")],
)
def test_classes_follow_the_definition_of_oxford(visible, expected):
    assert visibility_class(visible) == expected


def test_box_of_a_photo_holds_what_is_seen_of_the_landmark():
    props = sample_world._props(TINY.seed)
    landmark = build_landmark("clocktower", [1, 2])
    photo = take_photo(landmark, props, (96, 72), "good", [5, 0])
    x0, y0, x1, y1 = photo.box
    assert photo.picture.shape == (72, 96, 3) and photo.picture.std() > 15
    assert 0 <= x0 < x1 <= 96 and 0 <= y0 < y1 <= 72
    assert 0.5 < photo.visible <= 1
    again = take_photo(landmark, props, (96, 72), "good", [5, 0])
    assert np.array_equal(again.picture, photo.picture) and again.box == photo.box
    other = take_photo(landmark, props, (96, 72), "good", [5, 1])
    assert not np.array_equal(other.picture, photo.picture)


def test_box_is_tight_around_the_visible_pixels(plain):
    landmark = panel(plain, -2, 2, 0, owner=LANDMARK)
    scene = join([landmark, panel(plain, -1.2, 0.0, -10, -1, 6)])
    camera = camera_at(20, (320, 240), 300)
    buffers = rasterise(scene, camera)
    _, (x0, y0, x1, y1) = measure(scene, landmark, camera, buffers)
    mask = landmark_mask(scene, buffers)
    assert mask[int(y0) : int(y1), int(x0) : int(x1)].sum() == mask.sum()
    assert mask[:, int(x0)].any() and mask[:, int(x1) - 1].any()
    assert mask[int(y0)].any() and mask[int(y1) - 1].any()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_stands_on_the_ground_and_fits_its_pictures(kind):
    mesh = build_landmark(kind, [11, 0])
    low, high = mesh.points.min(0), mesh.points.max(0)
    assert -1.0 < low[2] <= 0.01 and 14 < high[2] < 100
    assert np.isfinite(mesh.u_map).all() and np.isfinite(mesh.v_map).all()
    assert (mesh.owner == LANDMARK).all()
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1.0)
    camera = choose_camera(np.random.default_rng(1), mesh, (96, 72))
    visible, _ = measure(mesh, mesh, camera, rasterise(mesh, camera))
    assert visible > 0.6
