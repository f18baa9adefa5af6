"""Making an index in two stages, and bringing one up to date."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import asdict, replace
from pathlib import Path

from src.common.errors import UserError
from src.feature_io import comparable
from src.index.choice import IndexSettings
from src.index.files import FORMAT_OF_TWO_STAGES, write_description
from src.index.name_table import NameTable
from src.index.sources import Sources
from src.index.stores.filling import Described, Filled, fill
from src.index.stores.settings import StoreSettings
from src.index.summed_files import SummedFiles
from src.index.two_stage import TwoStageIndex, open_vectors

LOG = logging.getLogger(__name__)


def write_two_stage(
    folder: Path, sources: Sources, settings: IndexSettings, generation: int
) -> Filled:
    """Make a generation of an index in two stages of what the sources hold.

    Global descriptors that the store has are kept: a run that was ended goes on.

    Args:
        folder: of the index, which nobody else writes.
        sources: the images.
        settings: of the index.
        generation: its number, above that of what is there.

    Returns:
        What was done to the store.

    Raises:
        UserError: no image has a global descriptor, features are damaged, or the store refuses.
    """
    folders = list(dict.fromkeys(sources.folders.values()))
    number = {each: place for place, each in enumerate(folders)}
    made_with = comparable(sources.features)
    names: dict[Path, list[str]] = {each: [] for each in folders}
    for name, checksum in sources.checksums.items():
        if checksum:
            names[sources.folders[name]].append(name)
    described = [
        Described(each, tuple(names[each]), made_with, sources.checksums) for each in folders
    ]
    store = _store_of(settings.store, folder)
    dimension = _global_dimension(described)
    with open_vectors(folder, store, made_with, dimension) as vectors:
        filled = fill(vectors, described, mirror=True)
        searched = vectors.describe()["search"]
    if filled.without:
        LOG.warning("%d images have no global descriptor and are not found", filled.without)
    files = SummedFiles(folder)
    places = [number[sources.folders[name]] for name in sources.checksums]
    NameTable.write(files, generation, sources.checksums, places)
    content = {
        "generation": generation,
        "settings": sources.settings(settings),
        "images": len(sources.checksums),
        "dimension": _local_dimension(described),
        "global_dimension": dimension,
        "folders": [_place(each, folder) for each in folders],
        "store": asdict(store),
    }
    known = files.described(NameTable.files(generation))
    write_description(folder, content, known, FORMAT_OF_TWO_STAGES)
    LOG.info("index %s: %d images in two stages, %s", folder, content["images"], searched)
    return filled


def has_moved(index: TwoStageIndex, sources: Sources) -> bool:
    """Tell whether the features of an index are elsewhere than it says."""
    now = dict.fromkeys(sources.folders.values())
    return [*map(str, index.features)] != [os.path.abspath(place) for place in now]


def _place(features: Path, folder: Path) -> str:
    """Return where a feature folder is as an index says it.

    Seen from the index where both lie together, so that they may be moved together; else as it is.
    """
    features, folder = Path(os.path.abspath(features)), Path(os.path.abspath(folder))
    if features.is_relative_to(folder.parent.parent):
        return Path(os.path.relpath(features, folder)).as_posix()
    return str(features)


def _store_of(settings: StoreSettings, folder: Path) -> StoreSettings:
    """Return the settings of the store of an index: in a Milvus it has a collection of its own."""
    if settings.store != "milvus":
        return settings
    key = hashlib.sha256(str(folder.absolute()).encode("utf-8", "surrogatepass")).hexdigest()
    name = settings.milvus_name.removesuffix(f"_{key[:12]}")
    return replace(settings, milvus_name=f"{name}_{key[:12]}")


def _global_dimension(described: list[Described]) -> int:
    """Return the length of the global descriptors.

    Raises:
        UserError: there are none.
    """
    refused = None
    for each in described:
        try:
            return each.dimension()
        except UserError as error:
            refused = refused or error
    raise refused


def _local_dimension(described: list[Described]) -> int:
    """Return the length of the local descriptors; 0 where no image has any."""
    for each in described:
        for name in each.names:
            features = each.features(name)
            if len(features):
                return features.dimension
    return 0
