"""The next generation of an index, made beside the one there is."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.common.errors import UserError
from src.common.progress import progress
from src.index.choice import IndexSettings, outgrown
from src.index.files import write_description
from src.index.folder import load_index
from src.index.image_table import ImageTable, extent
from src.index.rows import RowFiles
from src.index.sources import Sources, all_settings
from src.index.structure import SearchStructure
from src.index.summed_files import SummedFiles, damaged

LOG = logging.getLogger(__name__)

#: Share of rows without an image above which an index is written anew.
MAX_WASTE = 0.25


@dataclass
class Draft:
    """The next generation of an index; `commit` lets it replace the one there is.

    Attributes:
        files: of the index folder.
        settings: kind of index.
        features: the settings of the features.
        generation: its number.
        images: where the rows of each image are.
        rows: the files of rows.
        structure: by which they are searched; None before `make_search`.
        searched: how many of the rows it knows; `extend_search` adds the others.
    """

    files: SummedFiles
    settings: IndexSettings
    features: dict[str, Any]
    generation: int
    images: ImageTable
    rows: RowFiles
    structure: SearchStructure | None = None
    searched: int = 0

    @classmethod
    def first(
        cls, folder: Path, settings: IndexSettings, features: dict[str, Any], generation: int = 1
    ) -> Draft:
        """Return the draft of an index where none is, or one of another kind."""
        images, files = ImageTable.without_rows({}), SummedFiles(folder)
        rows = RowFiles.new(files, generation)
        return cls(files, settings, features, generation, images, rows)

    @classmethod
    def of(cls, folder: Path) -> Draft:
        """Return a draft that begins with the index there is.

        Raises:
            UserError: when it is damaged.
        """
        description = load_index(folder).description  # a damaged one is not to be built upon
        files = SummedFiles(folder, description["files"])
        draft = cls(
            files,
            IndexSettings(**description["settings"]["index"]),
            description["settings"]["features"],
            description["generation"] + 1,
            ImageTable.read(files, description["search"]["images_file"]),
            RowFiles.of(files, description),
            SearchStructure.of(description),
            description["rows"],
        )
        if not files.summed:
            draft._look_through()
        return draft

    def __str__(self) -> str:
        images = self.images
        return f"{len(images.names)} images, {images.features} features, {self.structure}"

    def append(self, sources: Sources, names: Iterable[str]) -> None:
        """Add images: their rows behind those there are.

        Raises:
            UserError: when their descriptors are not as long as the others.
        """
        added = ImageTable.without_rows({name: sources.checksums[name] for name in names})
        known = f"index {self.files.folder}"  # what the length of a descriptor is known by
        whole = {}
        with self.rows.appending() as append:
            for position, name in enumerate(progress(added.names, "indexing", "image")):
                added.starts[position] = self.rows.count
                features = sources.features_of(name)
                if features is None:
                    continue
                if features.size is not None:
                    added.sizes[position] = features.size
                if features.global_descriptor is not None:
                    whole[position] = features.global_descriptor.astype(np.float16)
                if not len(features):
                    continue
                if not self.rows.dimension:
                    known = name
                elif features.dimension != self.rows.dimension:
                    lengths = sorted([(self.rows.dimension, known), (features.dimension, name)])
                    examples = ", ".join(f"{length} in {where}" for length, where in lengths)
                    raise UserError(
                        f"the descriptors in {sources.folders[name]} differ in length "
                        f"({examples}); extract again"
                    )
                append(features)
                added.counts[position] = len(features)
                added.extents[position] = extent(features.locations)
        without = int((added.counts == 0).sum())
        if without:
            LOG.warning("%d of %d images have no features and rank last", without, len(added.names))
        self.images = self.images.joined(added.with_globals(whole))

    def make_search(self) -> None:
        """Make the search structure of all rows, every one of which belongs to an image.

        Raises:
            UserError: when there is nothing to search, or too little for what is asked for.
        """
        self._refuse_nothing()
        self.structure = SearchStructure.make(
            self.files, self.generation, self.settings, self.rows.descriptors, self.images
        )

    def extend_search(self) -> str | None:
        """Bring the search up to the rows there are; return why it was built anew, if it was.

        Raises:
            UserError: as `make_search`.
        """
        self._refuse_nothing()
        reason = self._reason_to_build_anew()
        if reason is None:
            self.structure = self.structure.extended(
                self.files, self.generation, self.rows.descriptors, self.searched
            )
            return None
        LOG.info("the index %s is written anew: %s", self.files.folder, reason)
        if self.images.features < self.rows.count:
            self.rows = self.rows.compacted(self.images, self.generation)
            self.images = self.images.packed()
        self.make_search()
        return reason

    def commit(self) -> None:
        """Make this generation the index."""
        table = f"images-{self.generation}.npz"
        self.images.write(self.files, table)
        checksums = dict(zip(self.images.names, self.images.checksums))
        content = {
            "generation": self.generation,
            "settings": all_settings(self.settings, self.features, checksums),
            "images": len(self.images.names),
            "features": self.images.features,
            "rows": self.rows.count,
            "dimension": self.rows.dimension,
            "search": {
                "descriptors_file": self.rows.descriptors_file,
                "locations_file": self.rows.locations_file,
                "images_file": table,
                **self.structure.as_json(),
            },
        }
        names = [table, *self.rows.names, *self.structure.files]
        write_description(self.files.folder, content, self.files.described(names))

    def _look_through(self) -> None:
        """Look for what can be told to be damaged in an index that has no sums: it gets them now.

        Raises:
            DamagedError: numbers are not finite, or rows are missing in the lists.
        """
        self.rows.descriptors.check_all()
        self.rows.locations.check_all()
        missing = np.full(self.searched, bool(self.structure.lists_files))
        for part in self.structure.opened(self.files, self.searched):
            for numbers in part.rows():
                missing[numbers] = False
        if missing.any():
            raise damaged(self.files.folder, "its lists do not hold every row")

    def _refuse_nothing(self) -> None:
        if not self.images.features:
            raise UserError(
                f"no image of the index {self.files.folder} has any features; "
                "there is nothing to search"
            )

    def _reason_to_build_anew(self) -> str | None:
        rows, used = self.rows.count, self.images.features
        plan, chosen_at = self.structure.plan, self.structure.chosen_at
        reason = outgrown(self.settings, plan, chosen_at, used, self.rows.dimension)
        if reason is None and rows - used > MAX_WASTE * rows:
            reason = f"{rows - used} of {rows} rows are no longer used"
        return reason
