"""Matching the two photos of a list: from the list and their features to a picture."""

from __future__ import annotations

import logging
from pathlib import Path

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.common.text_files import read_lines
from src.feature_io import feature_path, read_features
from src.pages.match_picture import draw_matches
from src.photos.finding import list_images
from src.photos.names import PhotoNames, without_suffix
from src.photos.reading import read_image
from src.ranking.pair import MatchSettings, PairMatch, match_pair

LOG = logging.getLogger(__name__)


def read_image_pair(path: PathLike) -> tuple[str, str]:
    """Read the names of the two photos to match: one a line, blank lines passed over.

    A name may carry the suffix of an image file.

    Raises:
        UserError: when the file is missing or does not hold two names.
    """
    path = Path(path)
    missing = f"there is no list of images {path}; write two image names in it"
    lines = read_lines(path, "list of images", missing)
    names = [line.strip() for line in lines if line.strip()]
    if len(names) != 2:
        raise UserError(f"{path} holds {len(names)} names; it must hold two, one a line")
    first, second = map(without_suffix, names)
    return first, second


def listed_photos(list_path: PathLike, images_path: PathLike) -> list[tuple[str, str]]:
    """Return name and file of the two photos that a list names.

    A name may be written in any of Unicode's normal forms.

    Raises:
        UserError: the list is missing or does not hold two names, or one of them is no photo.
    """
    files = dict(list_images(images_path))
    known = PhotoNames(files)
    found = []
    for listed in read_image_pair(list_path):
        name = known.find(listed)
        if name is None:
            raise UserError(f"{list_path} names {listed}, which is not in {images_path}")
        found.append((name, files[name]))
    return found


def match_images(
    list_images_path: PathLike,
    images_path: PathLike,
    features_path: PathLike,
    output_image: PathLike,
    settings: MatchSettings = MatchSettings(),  # noqa: B008 (frozen)
) -> PairMatch:
    """Match the two photos of a list by their features and draw the result.

    Raises:
        UserError: when the list, a photo or its features are missing.
    """
    names, files = zip(*listed_photos(list_images_path, images_path))
    features = [read_features(feature_path(features_path, name)) for name in names]
    match = match_pair(*features, settings)
    photos = [read_image(Path(images_path) / file) for file in files]
    draw_matches(*photos, match, output_image, names)
    LOG.info(
        "%s (%d features), %s (%d features): %d matches, %d inliers; see %s",
        names[0],
        len(features[0]),
        names[1],
        len(features[1]),
        len(match.inliers),
        match.inlier_count,
        output_image,
    )
    return match
