"""Search a folder of photos for those that show what a query photo shows, and see why.

The folder is described once; later only photos that are new or have changed. All that is kept lies
under `work_path`, in a folder for each combination of photos, weights and settings: nothing is
written to the photos' folder.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from model_utils.config import Config, load_config
from model_utils.environment import PROJECT_ROOT
from model_utils.host_lock import exclusive, make_folder
from src.common.atomic_files import PathLike, write_json
from src.common.errors import UserError, run_command
from src.describe.engines.lite_program import InferProgram
from src.describe.folder import Engine, described, extract_folder, parse_devices
from src.describe.pca import Pca, fit_pca, project, read_pca, write_pca
from src.describe.recipe import Describer, describer_of, find_pca, folder_name, read_describer
from src.describe.tasks import PhotoTask
from src.evaluation.retrieval import index_kind_settings, retrieval_settings
from src.feature_io import (
    MANIFEST_NAME,
    Features,
    Manifest,
    feature_path,
    features_checksum,
    read_features,
    read_manifest,
    write_features,
    write_manifest,
)
from src.index.build import load_index, update_index
from src.pages.html import Entry, Page, flat_settings, write_page
from src.pages.query_sheet import Result, Sheet, write_sheet
from src.photos.images import list_photos
from src.postprocess import Described
from src.ranking.one_query import rank_images
from src.ranking.query_matches import QueryMatches

LOG = logging.getLogger(__name__)

SETTINGS = PROJECT_ROOT / "scripts" / "search.yaml"
#: In a feature folder: size and time of each photo that has been described, or found unreadable.
STAMPS_NAME = "photos.json"
WEIGHTS_NAME = "weights.json"

Stamp = list[int]  # size in bytes, time of the last change in nanoseconds


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found for one query.

    Attributes:
        query: the query photo.
        results: the nearest photos, best first; none where nothing in the query can be recognised.
        photos: number of photos searched.
        page: the page that shows it.
    """

    query: Path
    results: tuple[Result, ...]
    photos: int
    page: Path


def search(config: Config, photos: PathLike, queries: Sequence[PathLike], top: int) -> list[Found]:
    """Bring what is known of a folder of photos up to date and search it for queries.

    Args:
        config: weights and settings; results lie under its `work_path`.
        photos: folder of photos, searched with its sub-folders.
        queries: photos to look for; they may lie in the folder or elsewhere.
        top: results to show of each.

    Raises:
        UserError: the folder holds no photo that can be read, a query cannot be read, weights or
            settings do not fit.
    """
    photos = Path(os.path.abspath(photos))
    paths = [Path(os.path.abspath(query)) for query in queries]
    for path in paths:
        if not path.is_file():
            raise UserError(f"there is no query photo {path}")
    work = Path(os.path.abspath(config.work_path))
    # Where the results lie among the photos, their pictures are none.
    images = [image for image in list_photos(photos) if work not in (photos / image[1]).parents]
    if not images:
        raise UserError(f"no image in {photos} but those of {work}; give a folder of photos")
    make_folder(work)
    describer = _describer(config, work)
    folder = work / folder_name(photos, describer)
    with exclusive(folder, "searching these photos"):
        collection = Collection(config, describer, photos, folder)
        collection.update(images)
        return collection.find(paths, top) if paths else []


class Collection:
    """A folder of photos and what is known of it.

    Its folder holds `features-*` and `index-*`, the PCA fitted to the first photos, and `results`.
    """

    def __init__(self, config: Config, describer: Describer, photos: Path, folder: Path):
        self._config = config
        self._describer = describer
        self._photos = photos
        self._folder = folder
        self._pca = self._kept_pca()

    # ---------------------------------------------------------------- the photos

    def update(self, images: Sequence[tuple[str, str]]) -> None:
        """Describe photos that are new or have changed, and forget those that are gone."""
        stamps = self._stamps(images)
        if self._pca is None and self._settings.use_pca and self._pending(stamps):
            self._pca = self._new_pca(images)
        features = self._features
        known = self._forget_changed(stamps)
        if self._pending(stamps):
            self._extract(images)
            write_json(features / STAMPS_NAME, stamps)
        else:
            LOG.info("all %d photos have been described before", len(known))
            manifest = read_manifest(features)
            if list(manifest.images) != list(images):
                failed = {name: manifest.failed[name] for name in stamps if name in manifest.failed}
                write_manifest(features, Manifest(tuple(images), manifest.settings, failed))
        manifest = read_manifest(features)
        if len(manifest.failed) == len(images):
            raise UserError(
                f"none of the {len(images)} photos of {self._photos} can be read (the first: "
                f"{next(iter(manifest.failed.values()))})"
            )
        self._update_index()

    @property
    def _settings(self):
        return self._describer.settings

    @property
    def _features(self) -> Path:
        """The folder of the features as the PCA makes them."""
        return self._folder / f"features-{self._pca.fingerprint[:10] if self._pca else 'plain'}"

    def _stamps(self, images: Sequence[tuple[str, str]]) -> dict[str, Stamp]:
        stamps = {}
        for name, file in images:
            with contextlib.suppress(OSError):  # one that is just going away
                status = os.stat(self._photos / file)
                stamps[name] = [status.st_size, status.st_mtime_ns]
        return stamps

    def _known(self) -> dict[str, Stamp]:
        try:
            known = json.loads((self._features / STAMPS_NAME).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return known if (self._features / MANIFEST_NAME).exists() else {}

    def _pending(self, stamps: dict[str, Stamp]) -> bool:
        known = self._known()
        return any(known.get(name) != stamp for name, stamp in stamps.items())

    def _forget_changed(self, stamps: dict[str, Stamp]) -> dict[str, Stamp]:
        """Delete the features of photos that have changed or gone; return the others' stamps.

        The features go first: killed in between, this is done once more.
        """
        known = self._known()
        kept = {name: stamp for name, stamp in known.items() if stamps.get(name) == stamp}
        outdated = known.keys() - kept.keys()
        for name in outdated:
            feature_path(self._features, name).unlink(missing_ok=True)
        if outdated:
            LOG.info("%d photos have changed or are gone", len(outdated))
            write_json(self._features / STAMPS_NAME, kept)
        return kept

    # ---------------------------------------------------------------- network, PCA, index

    @functools.cached_property
    def _engine(self) -> Engine:
        """What describes photos; a network is opened once, when it is needed."""
        engine = self._describer.engine
        if isinstance(engine, InferProgram):  # leaves nothing in the folder it is called from
            return dataclasses.replace(engine, time_file="")
        is_alone = len(parse_devices(self._config.devices)) == 1
        return functools.cache(engine) if is_alone else engine

    def _described(
        self, folder: Path, files: Sequence[str], pca: Pca | None
    ) -> Iterator[Described]:
        """Yield the features of photos of a folder, reduced where there is a PCA."""
        settings = dataclasses.replace(self._settings, use_pca=pca is not None)
        device = parse_devices(self._config.devices)[0]
        tasks = [PhotoTask(file, file) for file in files]
        return described(self._engine, folder, tasks, settings, pca, device)

    def _kept_pca(self) -> Pca | None:
        folder = self._folder / "pca"
        return read_pca(folder) if folder.is_dir() and self._settings.use_pca else None

    def _new_pca(self, images: Sequence[tuple[str, str]]) -> Pca | None:
        """Choose or fit a PCA and keep it; None where the photos have too few features for one.

        It stays as it is when photos come: otherwise all would have to be described again.
        """
        pca = find_pca(self._config, self._describer)
        known: dict[str, Features] = {}
        if pca is None:
            chosen = _evenly(images, self._config.pca_images)
            LOG.info("fitting a PCA for these photos on %d of them", len(chosen))
            files = dict(chosen)
            photos = self._described(self._photos, list(files.values()), None)
            for name, photo in zip(
                files, tqdm(photos, total=len(files), unit="photo", disable=None)
            ):
                if photo.features is not None:
                    known[name] = photo.features
            blocks = [features.descriptors for features in known.values()]
            try:
                pca = fit_pca(blocks, self._settings.pca_dim)
            except UserError as error:
                LOG.info("descriptors are kept whole: %s", error)
                return None
            about = {"network": self._describer.network, "source": str(self._photos)}
            about.update(images=len(blocks), descriptors=sum(map(len, blocks)))
            pca = dataclasses.replace(pca, about=about)
        temporary = self._folder / f".pca.{os.getpid()}.tmp"
        write_pca(temporary, pca)
        os.replace(temporary, self._folder / "pca")
        pca = read_pca(self._folder / "pca")
        # What was described when there were too few features is described again.
        shutil.rmtree(self._folder / "features-plain", ignore_errors=True)
        if known:
            self._keep(known, pca)
        return pca

    def _keep(self, described: dict[str, Features], pca: Pca) -> None:
        """Write the features that the PCA was fitted to, reduced: no photo is described twice."""
        self._pca = pca
        self._extract([])  # makes the folder one of these settings
        size, whiten = self._settings.pca_dim, self._settings.use_whitening
        for name, features in described.items():
            reduced = Features.empty(size)
            if len(features):
                descriptors = project(features.descriptors, pca, size, whiten)
                reduced = dataclasses.replace(features, descriptors=descriptors)
            write_features(feature_path(self._features, name), reduced)

    def _extract(self, images: Sequence[tuple[str, str]]) -> None:
        devices = parse_devices(self._config.devices)
        extract_folder(
            self._photos,
            self._features,
            self._engine,
            dataclasses.replace(self._settings, use_pca=self._pca is not None),
            self._pca,
            devices=devices,
            max_bad_fraction=1.0,
            images=images,
        )

    def _update_index(self) -> None:
        """Bring the index up to date: the cost is that of what has changed."""
        self._index = self._folder / f"index-{self._features.name}"
        update_index(self._features, self._index, index_kind_settings(self._config))
        for old in self._folder.glob("index-*"):
            if old != self._index:
                shutil.rmtree(old)

    # ---------------------------------------------------------------- queries

    def find(self, queries: Sequence[Path], top: int) -> list[Found]:
        """Rank the photos for each query and show the first ones on a page."""
        folder = self._folder / "results" / _page_key(queries)
        index = load_index(self._index)
        files = dict(read_manifest(self._features).images)
        settings = retrieval_settings(self._config)
        sheets = []
        for query in queries:
            path = self._query_features(query, files)
            features = read_features(path)
            itself = self._name_inside(query, files)
            ranking = rank_images(index, features, settings, threads=os.cpu_count() or 1)
            others = [image for image in ranking.ranks.tolist() if index.names[image] != itself]
            results = tuple(
                Result(
                    image,
                    rank,
                    index.names[image],
                    self._photos / files[index.names[image]],
                    "unknown",
                    ranking.inliers[image].item(),
                    ranking.votes[image].item(),
                )
                for rank, image in enumerate(others[:top] if len(features) else [], 1)
            )
            caption = f"the nearest of {len(others)} photos in {self._photos.name}"
            if not len(features):
                caption = "nothing in this photo can be recognised: is it of one colour?"
            evidence = [index.settings, features_checksum(path), dataclasses.asdict(settings)]
            label = self._label(query, queries)
            digest = hashlib.sha256(json.dumps(evidence, sort_keys=True).encode()).hexdigest()
            sheet = Sheet(label, query, None, caption, results, digest)
            matcher = QueryMatches(index, features, settings)
            write_sheet(sheet, folder / "sheets" / sheet.file, matcher)
            sheets.append(sheet)
        page = write_page(folder, self._page(sheets, index.image_count))
        return [Found(sheet.photo, sheet.results, index.image_count, page) for sheet in sheets]

    def _query_features(self, query: Path, files: dict[str, str]) -> Path:
        """Return the feature file of a query; one that is no photo of the folder is described.

        It is kept under a name that follows from its bytes, so that it is described once.
        """
        name = self._name_inside(query, files)
        if name is not None and feature_path(self._features, name).exists():
            return feature_path(self._features, name)
        try:
            digest = hashlib.sha256(query.read_bytes()).hexdigest()[:20]
        except OSError as error:
            raise UserError(f"cannot read the query photo {query} ({error.strerror})") from None
        kept = feature_path(
            self._folder / self._features.name.replace("features", "queries"), digest
        )
        if kept.exists():
            with contextlib.suppress(UserError):  # a damaged one is made again
                read_features(kept)
                return kept
        (photo,) = self._described(query.parent, [query.name], self._pca)
        if photo.features is None:
            raise UserError(photo.reason)
        write_features(kept, photo.features)
        return kept

    def _name_inside(self, query: Path, files: dict[str, str]) -> str | None:
        """Return the name of a query that is itself one of the photos."""
        for path, photos in ((query, self._photos), (query.resolve(), self._photos.resolve())):
            with contextlib.suppress(ValueError):
                name = path.relative_to(photos).as_posix()
                if name in files:
                    return name
        return None

    @staticmethod
    def _label(query: Path, queries: Sequence[Path]) -> str:
        alike = [other for other in queries if other.name == query.name]
        return query.name if len(alike) == 1 else str(query)

    def _page(self, sheets: Sequence[Sheet], count: int) -> Page:
        lead = [
            f"{count} photos of {self._photos} were searched. A photo is near when many of its "
            "points look like points of the query (votes), and above all when they also lie alike: "
            "the inliers are the points that one affine map takes from photo to photo."
        ]
        settings = {
            "photos": self._photos,
            "weights": self._describer.source,
            **read_manifest(self._features).settings,
            **flat_settings(dataclasses.asdict(retrieval_settings(self._config)), "search"),
        }
        names = ", ".join(sheet.label for sheet in sheets[:3]) + ("…" if len(sheets) > 3 else "")
        entries = [Entry(sheet, f"sheets/{sheet.file}") for sheet in sheets]
        return Page(f"Photos like {names}", lead, entries, settings=settings)


def _page_key(queries: Sequence[Path]) -> str:
    text = "\n".join(map(str, queries)).encode("utf-8", "surrogatepass")
    stem = "".join(c if c.isascii() and c.isalnum() else "_" for c in queries[0].stem)[:40]
    return f"{stem}-{hashlib.sha256(text).hexdigest()[:8]}"


def _evenly(images: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """Choose photos evenly from all: neighbours in a folder are often of one place."""
    chosen = min(count, len(images))
    return [images[number * len(images) // chosen] for number in range(chosen)]


def _describer(config: Config, work: Path) -> Describer:
    """Return how photos are described; weights that have been read before are not read again."""
    if config.mindir_path:
        return read_describer(config)
    checkpoint = Path(config.checkpoint_path)
    try:
        status = checkpoint.stat()
    except OSError:
        return read_describer(config)  # says what is wrong with it
    stamp = [status.st_size, status.st_mtime_ns]
    try:
        known = json.loads((work / WEIGHTS_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    entry = known.get(str(checkpoint), {})
    if entry.get("stamp") != stamp:
        from src.network.feature_weights import has_attention, read_feature_weights
        from src.network.weights import fingerprint

        weights = read_feature_weights(checkpoint)
        entry = {
            "stamp": stamp,
            "network": fingerprint(weights),
            "attention": has_attention(weights),
        }
        write_json(work / WEIGHTS_NAME, {**known, str(checkpoint): entry})
    return describer_of(config, entry["network"], entry["attention"])


def report(found: Sequence[Found], seconds: float) -> str:
    """Return what is printed: the nearest photos of each query and where to look at them."""
    lines = []
    for each in found:
        lines.append(f"{each.query}:")
        if not each.results:
            lines.append("  nothing that could be compared was found")
        width = max((len(result.name) for result in each.results), default=0)
        lines += [
            f"  {result.rank:>3}  {result.name:<{min(width, 60)}}  {result.score}"
            for result in each.results
        ]
    lines.append(f"Why they match: {found[0].page}  ({seconds:.1f} s)")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Search from the command line."""
    start = time.perf_counter()
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="All settings of delf_config.yaml may follow as --name=value.",
        allow_abbrev=False,
    )
    parser.add_argument("photos", help="folder of photos")
    parser.add_argument("queries", nargs="*", help="photos to look for; none: describe the folder")
    parser.add_argument("--top", type=int, default=10, help="results to show (%(default)s)")
    given, others = parser.parse_known_intermixed_args(arguments)
    if given.top < 1:
        parser.error("--top must be at least 1")
    config = load_config(others, description=parser.description, config_path=str(SETTINGS))
    found = search(config, given.photos, given.queries, given.top)
    if found:
        print(report(found, time.perf_counter() - start))
    else:
        print(f"{given.photos} is ready to be searched ({time.perf_counter() - start:.1f} s)")


if __name__ == "__main__":
    run_command(main)
