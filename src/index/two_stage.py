"""An index of many photos, opened for searching in two stages.

It holds the names of the images and a store of their global descriptors. Local features stay where
they are, in feature folders or packed stores, and are read of the few images whose global
descriptors are most like a query's: an index of a million images costs a search little more memory
than one of a thousand, and describing one photo more costs no learning of lists of features.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.common.sorted_names import place_of
from src.feature_io import comparable, feature_path, read_features
from src.index.files import VECTORS
from src.index.image_table import extent
from src.index.name_table import NameTable
from src.index.part import IndexPart, LocalFeatures, Similar
from src.index.stores.interface import VectorStore
from src.index.stores.opening import open_store
from src.index.stores.settings import StoreSettings
from src.index.summed_files import SummedFiles, damaged


@dataclass(frozen=True)
class TwoStageIndex:
    """An index that is searched in two stages, opened.

    Attributes:
        folder: where it is.
        names: image names, sorted.
        dimension: length D of a local descriptor.
        settings: what it was built with: features, kind of index, checksum of the features.
        description: all of `index.json`.
        features: folders of the local features.
        store: the global descriptors.
    """

    folder: Path
    names: NameTable
    dimension: int
    settings: dict[str, Any]
    description: dict[str, Any]
    features: tuple[Path, ...]
    store: VectorStore

    @classmethod
    def open(cls, folder: Path, description: Mapping[str, Any]) -> TwoStageIndex:
        """Open an index.

        Raises:
            UserError: it is damaged, or a Milvus that has its vectors does not answer.
        """
        names = NameTable.open(SummedFiles(folder, description["files"]), description["generation"])
        if len(names) != description["images"]:
            raise damaged(folder, "its files do not belong together")
        settings = StoreSettings(**description["store"])
        made_with = comparable(description["settings"]["features"])
        length = description["global_dimension"]
        return cls(
            folder,
            names,
            description["dimension"],
            description["settings"],
            dict(description),
            tuple(Path(os.path.abspath(folder / place)) for place in description["folders"]),
            open_vectors(folder, settings, made_with, length),
        )

    @property
    def store_settings(self) -> StoreSettings:
        """How the global descriptors are kept."""
        return StoreSettings(**self.description["store"])

    @property
    def image_count(self) -> int:
        """Number of images, those without features included."""
        return len(self.names)

    @property
    def has_globals(self) -> bool:
        """Whether images have global descriptors."""
        return True

    @property
    def is_two_stage(self) -> bool:
        """Whether it can be searched in two stages only."""
        return True

    def similar(self, whole: np.ndarray, k: int) -> Similar:
        """Find the images whose global descriptors are most like those of a query.

        Args:
            whole: float32 [R, G], one, or one of each of its rotations: the best counts.
            k: how many at most.

        Raises:
            UserError: they are not as long as those of the index, or the store cannot answer.
        """
        best: dict[str, tuple[float, np.ndarray]] = {}
        for found in self.store.nearest(whole, k, with_vectors=True):
            for name, score, vector in zip(found.names, found.scores.tolist(), found.vectors):
                if name not in best or score > best[name][0]:
                    best[name] = score, vector
        # A store that is being filled may have images that this generation does not know yet.
        places = {place_of(self.names, name): one for name, one in best.items()}
        ranked = sorted(
            (-score, place) for place, (score, _) in places.items() if place is not None
        )
        images = sorted(place for _, place in ranked[:k])
        vectors = [places[place][1] for place in images]
        empty = np.zeros((0, self.store.dimension), dtype=np.float32)
        return Similar(np.array(images, np.int64), np.stack(vectors) if vectors else empty)

    def part(self, similar: Similar, featured: np.ndarray) -> IndexPart:
        """Return images by themselves; see `Index.part`.

        Raises:
            DamagedFeaturesError: the features of one cannot be read.
        """
        return IndexPart.of(self.folder, self.dimension, similar, featured, self._features_of)

    def feature_count(self, image: int) -> int:
        """Return the number of an image's local features."""
        return len(self._features_of(image).descriptors)

    def _features_of(self, image: int) -> LocalFeatures:
        name = self.names[image]
        folder = self.names.folder(image)
        if folder >= len(self.features):
            raise damaged(self.folder, f"{name} is in a folder that it does not name")
        there = read_features(feature_path(self.features[folder], name))
        if len(there) and there.dimension != self.dimension:
            raise UserError(
                f"the features of {name} in {self.features[folder]} have {there.dimension} "
                f"dimensions, those of the index {self.folder} {self.dimension}; extract again"
            )
        size = there.size or (0, 0)
        return LocalFeatures(there.descriptors, there.locations, extent(there.locations), size)


def open_vectors(
    index_folder: PathLike, settings: StoreSettings, made_with: Mapping[str, Any], dimension: int
) -> VectorStore:
    """Open the store of an index: a folder in its own, or a collection of its own in a Milvus.

    Args:
        index_folder: of the index.
        settings: which store, as `index_store` returns them.
        made_with: settings that the vectors were made with.
        dimension: length of a vector.
    """
    return open_store(settings, Path(index_folder, VECTORS), made_with, dimension)
