"""The sample world's pictures: projection agrees with OpenCV, what is said to be visible is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sample_world.buildings.kinds import KINDS, build_landmark
from sample_world.drawing.canvas import Canvas
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import LANDMARK, join
from sample_world.rendering.camera import Camera
from sample_world.rendering.zbuffer import rasterise
from sample_world.scenes.framing import choose_camera
from sample_world.scenes.photo import take_photo
from sample_world.scenes.visibility import full_area, landmark_mask, measure, visibility_class
from sample_world.street.props import build_props


@pytest.fixture(scope="module")
def plain():
    canvas = Canvas(np.random.default_rng(0), 2, 2, 16)
    return canvas.finish(0.0)


def panel(plain, x0, x1, y, z0=0.0, z1=4.0, owner=0):
    """Return an upright rectangle at depth y that looks towards negative y."""
    b = MeshBuilder(owner)
    b.wall((x0, y), (x1, y), z0, z1, plain)
    return b.build()


def camera_at(distance: float, size=(160, 120), focal=120.0) -> Camera:
    return Camera.looking(np.array([0, -distance, 2.0]), np.array([0, 0, 2.0]), focal, size)


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
    props = build_props(3)
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
