"""From settings to the collection of a folder of photos."""

from __future__ import annotations

import os
from pathlib import Path

from model_utils.host_lock import make_folder
from src.common.errors import UserError
from src.describe.recipe import choose_describer
from src.photo_search.collection import Collection
from src.photo_search.settings import SearchSettings
from src.photo_search.weights import known_weights
from src.photos.finding import list_photos


def photos_of(settings: SearchSettings, photos: Path) -> list[tuple[str, str]]:
    """Return name and file of the photos to search.

    Where the results lie among them, their pictures are none.

    Raises:
        UserError: there are none.
    """
    work = Path(os.path.abspath(settings.work_path))
    images = [image for image in list_photos(photos) if work not in (photos / image[1]).parents]
    if not images:
        raise UserError(f"no image in {photos} but those of {work}; give a folder of photos")
    return images


def open_collection(settings: SearchSettings, photos: Path) -> Collection:
    """Return what is known of a folder of photos, before it is brought up to date.

    Raises:
        UserError: the weights cannot be used.
    """
    work = Path(os.path.abspath(settings.work_path))
    make_folder(work)
    describer = choose_describer(settings.describe, known_weights(settings.describe.engine, work))
    return Collection(settings, describer, photos, work / describer.folder_name(photos))
