"""A feature folder as other programs want it: photos by their file names, each with its size."""

from __future__ import annotations

import dataclasses
import functools
import logging
from pathlib import Path

from src.common.atomic_files import PathLike
from src.common.errors import UserError, one_line
from src.feature_io import Features, feature_path, read_features, read_manifest
from src.photos.reading import UnreadableImageError, read_enough

LOG = logging.getLogger(__name__)

#: Feature files kept in memory: pairs name the same photo again and again.
KEPT = 256
#: To learn the size of a photo a small copy of it is decoded.
_SMALL = 64


class PhotoSet:
    """The photos of a feature folder that could be described, by the names of their files.

    Args:
        features_folder: a complete feature folder.
        photos_folder: where the photos are: other programs look for them by the names written down,
            and a photo whose size its features do not know is asked for it. None: nobody looks.

    Attributes:
        names: of the photos, relative to their folder, with /, sorted as in the manifest.

    Raises:
        UserError: the folder holds no features, or a photo is not where it should be.
    """

    def __init__(self, features_folder: PathLike, photos_folder: PathLike | None = None) -> None:
        manifest = read_manifest(features_folder)
        self.folder = Path(features_folder)
        self._photos = None if photos_folder is None else Path(photos_folder)
        self._names = {file: name for name, file in manifest.images if name not in manifest.failed}
        self.names = tuple(self._names)
        if not self.names:
            raise UserError(f"no photo in {features_folder} could be described: nothing to write")
        missing = [name for name in self.names if self._photos and not self._photo(name).is_file()]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(self.names)} photos are not in {photos_folder}, the first "
                f"is {missing[0]}; give the folder that was described"
            )
        if manifest.failed:
            LOG.warning("%d photos could not be described and are left out", len(manifest.failed))
        self.features = functools.lru_cache(maxsize=KEPT)(self._features)

    def __len__(self) -> int:
        return len(self.names)

    def image_of(self, name: str) -> str:
        """Return what the features of a photo are called in their folder and in an index."""
        return self._names[name]

    def _photo(self, name: str) -> Path:
        return self._photos / name

    def _features(self, name: str) -> Features:
        """Return the features of a photo; their `size` is known.

        Raises:
            UserError: they are damaged, or their size is known neither to them nor by the photo.
        """
        features = read_features(feature_path(self.folder, self._names[name]))
        if features.size is not None:
            return features
        if self._photos is None:
            raise UserError(
                f"the features of {name} do not know its size; give its folder, --photos"
            )
        try:
            size = read_enough(self._photo(name), _SMALL).size
        except UnreadableImageError as error:
            raise UserError(f"the size of {name} is not known: {one_line(error)}") from None
        return dataclasses.replace(features, size=size)
