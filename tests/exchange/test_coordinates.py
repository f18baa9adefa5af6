"""Pixel coordinates of other programs, worked by hand."""

from __future__ import annotations

import numpy as np

from src.exchange.coordinates import (
    affine_from_corner,
    from_centres,
    from_corner,
    to_centres,
    to_corner,
)

# Row 2, column 5; and the centre of the top left pixel.
OURS = np.array([[2.0, 5.0], [0.0, 0.0]])


def test_hloc_counts_from_the_centre_of_the_first_pixel():
    assert to_centres(OURS).tolist() == [[5, 2], [0, 0]]


def test_colmap_counts_from_the_corner_of_the_first_pixel():
    assert to_corner(OURS).tolist() == [[5.5, 2.5], [0.5, 0.5]]


def test_hloc_hands_colmap_what_we_hand_it():
    assert (to_centres(OURS) + 0.5 == to_corner(OURS)).all()


def test_both_come_back():
    assert (from_centres(to_centres(OURS)) == OURS).all()
    assert (from_corner(to_corner(OURS)) == OURS).all()


def test_a_map_between_photos_maps_the_same_points_from_their_corners():
    # Twice as large: the first pixel of 10 columns becomes the first two of 20, whose common
    # centre is half a column right of the centre of the first one. From the corners it is 2·x.
    doubled = np.array([[2.0, 0, 0.5], [0, 2.0, 0.5]])
    np.testing.assert_allclose(affine_from_corner(doubled), np.diag([2.0, 2.0, 1.0]), atol=1e-12)
