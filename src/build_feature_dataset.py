"""Building the index: all features of a folder in a few arrays that a search maps into memory."""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from tqdm import tqdm

from src.atomic_files import PathLike, write_json
from src.errors import UserError, run_command
from src.feature_io import (
    Features,
    Manifest,
    check_settings,
    feature_path,
    features_checksum,
    read_features,
    read_manifest,
)
from src.geometry import extent

LOG = logging.getLogger(__name__)

FORMAT = 1
DESCRIPTION = "index.json"
#: Features whose descriptors train an index that needs training, taken evenly from all.
TRAINING_DESCRIPTORS = 200_000


@dataclass(frozen=True)
class IndexSettings:
    """What kind of index is built.

    Attributes:
        factory: FAISS index factory string. "Flat" compares with every descriptor: exact, about
            100 million comparisons a second and core. For large collections an approximate one
            such as "IVF1024,Flat" or "HNSW16".
        parameters: FAISS search parameters of that index, "nprobe=32", "efSearch=64".
    """

    factory: str = "Flat"
    parameters: str = ""


@dataclass(frozen=True)
class Index:
    """An index folder, opened. Descriptors are in the order of the images.

    Attributes:
        folder: where it is.
        names: image names, sorted.
        offsets: int64 [images + 1]; the features of image i are rows offsets[i]:offsets[i + 1].
        descriptors: float32 [features, D], memory-mapped.
        locations: float32 [features, 2] (y, x) in pixels of the original image, memory-mapped.
        search: the FAISS index over the descriptors, L2.
        settings: what it was built with: features, kind of index, checksum of the features.
    """

    folder: Path
    names: tuple[str, ...]
    offsets: np.ndarray
    descriptors: np.ndarray
    locations: np.ndarray
    search: faiss.Index
    settings: dict[str, Any]

    @property
    def image_count(self) -> int:
        """Number of images, those without features included."""
        return len(self.names)

    @property
    def dimension(self) -> int:
        """Length of a descriptor."""
        return self.search.d

    def nearest(self, descriptors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest features of each descriptor.

        Returns:
            Squared distances float32 [N, k], rows int64 [N, k]; inf and -1 where there are fewer.
        """
        count = min(k, self.search.ntotal)
        distances = np.full((len(descriptors), k), np.inf, dtype=np.float32)
        rows = np.full((len(descriptors), k), -1, dtype=np.int64)
        distances[:, :count], rows[:, :count] = self.search.search(descriptors, count)
        return distances, rows

    @cached_property
    def image_of(self) -> np.ndarray:
        """The image of each feature, int32 [features]."""
        images = np.arange(self.image_count, dtype=np.int32)
        return np.repeat(images, np.diff(self.offsets))

    @cached_property
    def extents(self) -> np.ndarray:
        """The `geometry.extent` of each image's features in pixels, float64 [images]."""
        pairs = zip(self.offsets[:-1], self.offsets[1:])
        return np.array([extent(self.locations[start:end]) for start, end in pairs])


def index_settings(features_folder: PathLike, settings: IndexSettings) -> dict[str, Any]:
    """Return all that decides what an index of a feature folder holds, as JSON values.

    Raises:
        UserError: when the features are not complete: the missing or damaged file is named.
    """
    manifest = read_manifest(features_folder)
    checksum = hashlib.sha256()
    for name in manifest.names:
        content = "" if name in manifest.failed else _checksum(features_folder, name)
        checksum.update(f"{name}\0{content}\n".encode())
    return {
        "index": asdict(settings),
        "features": manifest.settings,
        "features_checksum": checksum.hexdigest(),
    }


def build_index(
    features_folder: PathLike,
    index_folder: PathLike,
    settings: IndexSettings = IndexSettings(),  # noqa: B008 (frozen)
) -> None:
    """Build the index folder of a feature folder; one that is complete is kept.

    The folder appears under its name when everything is in it. The same features and settings
    give the same bytes. Descriptors pass through memory one image at a time; only the FAISS index
    itself is held.

    Raises:
        UserError: when features are missing, damaged or of mixed dimensions, when no image has
            any, when the factory string is not FAISS's, or when the folder is an index that was
            built from other features or with other settings.
    """
    index_folder = Path(index_folder)
    wanted = index_settings(features_folder, settings)
    if (index_folder / DESCRIPTION).exists():
        check_settings(read_description(index_folder)["settings"], wanted, f"index {index_folder}")
        LOG.info("the index %s is complete", index_folder)
        return
    if index_folder.exists() and (not index_folder.is_dir() or any(index_folder.iterdir())):
        raise UserError(f"{index_folder} is there already and is no index; give another folder")
    manifest = read_manifest(features_folder)
    with _atomic_folder(index_folder) as temporary:
        counts, dimension = _write_arrays(Path(features_folder), manifest, temporary)
        _write_faiss(temporary, settings)
        write_json(temporary / "names.json", list(manifest.names))
        write_json(
            temporary / DESCRIPTION,
            {
                "format": FORMAT,
                "settings": wanted,
                "images": len(counts),
                "features": int(counts.sum()),
                "dimension": dimension,
            },
        )
    LOG.info("index %s: %d images, %d features", index_folder, len(counts), counts.sum())


def read_description(index_folder: PathLike) -> dict[str, Any]:
    """Return what `index.json` says: settings, number of images and features, dimension.

    Raises:
        UserError: when the folder holds no complete index.
    """
    path = Path(index_folder) / DESCRIPTION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no index in {index_folder}; build it first") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path} ({error}); delete {index_folder} and build") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is not of format {FORMAT}; delete {index_folder} and build")
    return content


def load_index(index_folder: PathLike) -> Index:
    """Open an index folder; the arrays stay on disk until they are used.

    Raises:
        UserError: when there is no index, or its files are damaged or do not belong together.
    """
    folder = Path(index_folder)
    description = read_description(folder)
    try:
        names = tuple(json.loads((folder / "names.json").read_text(encoding="utf-8")))
        offsets = np.load(folder / "offsets.npy", allow_pickle=False)
        descriptors = np.load(folder / "descriptors.npy", mmap_mode="r", allow_pickle=False)
        locations = np.load(folder / "locations.npy", mmap_mode="r", allow_pickle=False)
        search = faiss.read_index(str(folder / "index.faiss"), faiss.IO_FLAG_MMAP_IFC)
        parameters = description["settings"]["index"]["parameters"]
        if parameters:
            faiss.ParameterSpace().set_index_parameters(search, parameters)
        features, dimension = description["features"], description["dimension"]
        if (
            len(names) != description["images"]
            or offsets.shape != (len(names) + 1,)
            or offsets[-1] != features
            or descriptors.shape != (features, dimension)
            or locations.shape != (features, 2)
            or (search.ntotal, search.d) != (features, dimension)
        ):
            raise ValueError("its files do not belong together")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(
            f"the index {folder} is damaged ({error}); delete it and build it again"
        ) from None
    return Index(folder, names, offsets, descriptors, locations, search, description["settings"])


# ---------------------------------------------------------------- the parts


def _checksum(folder: PathLike, name: str) -> str:
    return features_checksum(feature_path(folder, name))


def _read(folder: Path, manifest: Manifest) -> Iterator[tuple[str, Features | None]]:
    for name in tqdm(manifest.names, desc="index", disable=None):
        failed = name in manifest.failed
        yield name, None if failed else read_features(feature_path(folder, name))


def _write_arrays(folder: Path, manifest: Manifest, target: Path) -> tuple[np.ndarray, int]:
    """Write offsets, descriptors and locations; return the features per image, the dimension.

    The features are read once for their number and once for their content, so that the arrays
    can be written through a memory map.
    """
    counts = np.zeros(len(manifest.names), dtype=np.int64)
    dimensions: dict[int, str] = {}
    locations = []
    for position, (name, features) in enumerate(_read(folder, manifest)):
        if features is not None and len(features):
            counts[position] = len(features)
            dimensions.setdefault(features.dimension, name)
            locations.append(features.locations)
    if not counts.sum():
        raise UserError(f"no image in {folder} has any features; there is nothing to search")
    if len(dimensions) > 1:
        examples = ", ".join(f"{size} in {name}" for size, name in sorted(dimensions.items()))
        raise UserError(f"the descriptors in {folder} differ in length ({examples}); extract again")
    dimension = next(iter(dimensions))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    np.save(target / "offsets.npy", offsets)
    np.save(target / "locations.npy", np.concatenate(locations))
    descriptors = np.lib.format.open_memmap(
        target / "descriptors.npy", mode="w+", dtype=np.float32, shape=(offsets[-1], dimension)
    )
    for position, (_, features) in enumerate(_read(folder, manifest)):
        if counts[position]:
            descriptors[offsets[position] : offsets[position + 1]] = features.descriptors
    descriptors.flush()
    without = int((counts == 0).sum())
    if without:
        LOG.warning("%d of %d images have no features and rank last", without, len(counts))
    return counts, dimension


def _write_faiss(folder: Path, settings: IndexSettings) -> None:
    descriptors = np.load(folder / "descriptors.npy", mmap_mode="r")
    try:
        index = faiss.index_factory(descriptors.shape[1], settings.factory, faiss.METRIC_L2)
        if not index.is_trained:
            step = -(-len(descriptors) // TRAINING_DESCRIPTORS)
            index.train(np.ascontiguousarray(descriptors[::step]))
        if settings.parameters:
            faiss.ParameterSpace().set_index_parameters(index, settings.parameters)
    except RuntimeError as error:
        reason = str(error).split("Error: ")[-1]
        raise UserError(
            f"FAISS cannot build an index {settings.factory!r} with parameters "
            f"{settings.parameters!r} over {len(descriptors)} descriptors: {reason}"
        ) from None
    block = 65_536
    for start in range(0, len(descriptors), block):
        index.add(np.ascontiguousarray(descriptors[start : start + block]))
    faiss.write_index(index, str(folder / "index.faiss"))


@contextlib.contextmanager
def _atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder` that takes its place when the block ends well.

    What killed runs of this program left behind is removed first.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.*.tmp"):
        if not _is_running(left.name.split(".")[-2]):
            shutil.rmtree(left)
    temporary = folder.parent / f".{folder.name}.{os.getpid()}.tmp"
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Build an index from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features_path", type=Path, required=True, help="folder of features")
    parser.add_argument("--index_path", type=Path, required=True, help="folder to be made")
    parser.add_argument(
        "--index_factory", default=IndexSettings.factory, help="FAISS factory string (%(default)s)"
    )
    parser.add_argument(
        "--index_parameters",
        default=IndexSettings.parameters,
        help="FAISS search parameters of an approximate index, such as nprobe=32",
    )
    args = parser.parse_args(arguments)
    build_index(
        args.features_path,
        args.index_path,
        IndexSettings(args.index_factory, args.index_parameters),
    )


if __name__ == "__main__":
    run_command(main)
