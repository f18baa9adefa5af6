"""The whole evaluation: photos → features → index → ranks → mAP, and the matching of two photos.

Each step is skipped where its result is there already. Results lie under `work_path`, in a folder
named after the photos and everything that decides the features, so that another checkpoint or
setting makes another folder beside it. Distractors have folders of their own, shared by the
evaluations that add them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model_utils.config import Config
from src.common.atomic_files import write_json, write_text
from src.common.errors import LOG_FORMAT, UserError, one_line
from src.describe.folder import extract_folder, parse_devices
from src.describe.pca import Pca
from src.describe.recipe import (
    Describer,
    choose_pca,
    find_pca,
    folder_name,
    read_describer,
    require,
)
from src.describe.tasks import Box
from src.evaluation.metrics import Metrics, evaluate
from src.evaluation.page import evaluation_page, page_folder
from src.evaluation.protocols import Benchmark, list_distractors, read_benchmark
from src.evaluation.report import as_json, format_table, summary_line
from src.feature_io import feature_path, read_manifest
from src.index.build import IndexSettings, build_index, index_settings
from src.photos.finding import list_images
from src.ranking.all_queries import retrieve
from src.ranking.one_query import RetrievalSettings
from src.ranking.pair import MatchSettings, PairMatch, match_images, read_image_pair

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What an evaluation of retrieval gave.

    Attributes:
        benchmark: protocol, queries and images.
        metrics: setup of the protocol → its metrics.
    """

    benchmark: Benchmark
    metrics: dict[str, Metrics]

    def text(self) -> str:
        """Return what was evaluated, in one line, and the table of `mAP.txt`."""
        return (
            f"{summary_line(self.benchmark, self.metrics)}\n"
            f"{format_table(self.benchmark, self.metrics)}"
        )


def evaluate_retrieval(config: Config) -> Evaluation:
    """Evaluate retrieval by the levels, the classic or the revisited protocol.

    Writes the table `map_output` and beside it, with suffix `.json`, all results by query. Logs:
    `extract_feature.log` and `calculate_mAP.log` in the current folder,
    `process[X]/retrieval[X].log` in `work_path`.

    Raises:
        UserError: photos, ground truth, checkpoint or settings are missing or do not fit.
    """
    require(config, "images_path", "gt_path")
    work = Path(config.work_path)
    with stage_log("extract_feature.log"):
        json_path(config.map_output)  # refused before the work, not after it
        photos = [name for name, _ in list_images(config.images_path)]
        distractors = list_distractors(config.distractors_path, config.images_path, photos)
        benchmark = read_benchmark(
            config.gt_path,
            photos,
            [name for names in distractors.values() for name in names],
            config.protocol,
            {"auto": None, "True": True, "False": False}[config.crop_queries],
        )
        describer = read_describer(config)
        folder = work / folder_name(config.images_path, describer)
        pca = choose_pca(config, describer, folder / "pca")
        extract(config, describer, pca, folder / "features")
        folders = [folder / "features"]
        for path in distractors:
            folders.append(work / distractors_name(path, describer, pca) / "features")
            extract(config, describer, pca, folders[-1], images_path=path)
        query_folder, queries = describe_queries(config, describer, pca, folder, benchmark)
    ranks_folder, index_folder = search_folders(config, folder, folders, benchmark)
    build_index(folders, index_folder, index_kind_settings(config), benchmark.images)
    ranks = retrieve(
        index_folder,
        query_folder,
        queries,
        ranks_folder,
        retrieval_settings(config),
        config.retrieval_workers or os.cpu_count() or 1,
        log_folder=work,
    )
    made = {
        "images_path": config.images_path,
        "gt_path": config.gt_path,
        "distractors_path": list(distractors),
        "weights": describer.source,
        "network": describer.network,
        "features": describer.settings.settings(),
        "retrieval": dataclasses.asdict(retrieval_settings(config)),
        "feature_folders": [str(path) for path in folders],
        "query_folder": str(query_folder),
        "index_folder": str(index_folder),
        "ranks_folder": str(ranks_folder),
    }
    with stage_log("calculate_mAP.log"):
        result = report(config, ranks, benchmark, made)
        if config.result_page:
            photos = {config.images_path: folders[0], **dict(zip(distractors, folders[1:]))}
            evaluation_page(
                page_folder(config.map_output),
                photos,
                {label: feature_path(query_folder, name) for label, name in queries.items()},
                index_folder,
                ranks_folder,
                benchmark,
                result.metrics,
                retrieval_settings(config),
                describer.source,
            )
        return result


def distractors_name(path: str | Path, describer: Describer, pca: Pca | None) -> str:
    """Return a name for the features of distractors, the same in every evaluation with this PCA."""
    name = folder_name(path, describer)
    return f"{name}-{pca.fingerprint[:10]}" if pca is not None else name


def describe_queries(
    config: Config, describer: Describer, pca: Pca | None, folder: Path, benchmark: Benchmark
) -> tuple[Path, dict[str, str]]:
    """Describe the queries inside their boxes, or find them among the photos where they are whole.

    Returns:
        Their feature folder, and label → name of the features in it.

    Raises:
        UserError: a query cannot be described, and why.
    """
    photos = benchmark.query_photos
    if benchmark.crop:
        boxes = benchmark.boxes
        key = json.dumps([[label, photos[label], boxes[label]] for label in sorted(photos)])
        features = folder / f"queries-{hashlib.sha256(key.encode()).hexdigest()[:10]}"
        extract(config, describer, pca, features, photos, boxes, max_bad_fraction=1.0)
        queries = {label: label for label in photos}
    else:
        features, queries = folder / "features", photos
    failed = read_manifest(features).failed
    for label, name in queries.items():
        if name in failed:
            raise UserError(
                f"query {label} cannot be described: {failed[name]}; put its photo or its box in "
                f"{config.gt_path} right"
            )
    return features, queries


def match_two_photos(config: Config) -> PairMatch:
    """Match the two photos named in `list_images_path` and draw their inliers.

    Logs: `extract_feature.log` and `match_images.log` in the current folder. Descriptors are
    reduced where a PCA for these weights is at hand, and matched in full length otherwise.

    Raises:
        UserError: the list, a photo, the checkpoint or settings are missing or do not fit.
    """
    require(config, "images_path")
    with stage_log("extract_feature.log"):
        pair = read_image_pair(config.list_images_path)
        known = {name for name, _ in list_images(config.images_path)}
        for name in pair:
            if name not in known:
                raise UserError(
                    f"{config.list_images_path} names {name}, which is not in {config.images_path}"
                )
        describer = read_describer(config)
        pca = find_pca(config, describer)
        if pca is None:
            settings = dataclasses.replace(describer.settings, use_pca=False)
            describer = dataclasses.replace(describer, settings=settings)
        key = folder_name(config.images_path, describer)
        folder = Path(config.work_path) / f"{key}-{'-'.join(pair)}" / "features"
        extract(config, describer, pca, folder, names=sorted(set(pair)), max_bad_fraction=0.0)
    with stage_log("match_images.log"):
        return match_images(
            config.list_images_path,
            config.images_path,
            folder,
            config.match_output,
            MatchSettings(verify=retrieval_settings(config).verify),
        )


def extract(
    config: Config,
    describer: Describer,
    pca: Pca | None,
    folder: Path,
    names: Iterable[str] | Mapping[str, str] | None = None,
    boxes: Mapping[str, Box] | None = None,
    max_bad_fraction: float | None = None,
    images_path: str | Path | None = None,
) -> None:
    """Describe photos, by default all of the configuration's, into a feature folder."""
    extract_folder(
        images_path or config.images_path,
        folder,
        describer.engine,
        describer.settings,
        pca,
        names=names,
        crop_boxes=boxes,
        devices=parse_devices(config.devices),
        max_bad_fraction=config.max_bad_fraction if max_bad_fraction is None else max_bad_fraction,
    )


def retrieval_settings(config: Config) -> RetrievalSettings:
    """Return the settings of the search."""
    if config.plain_ranking:
        settings = RetrievalSettings.plain()
    else:
        settings = RetrievalSettings(
            shortlist=config.shortlist,
            inlier_weight=config.inlier_weight,
            expansion_images=config.expansion_images,
            expansion_inliers=config.expansion_inliers,
            expansion_features=config.expansion_features,
        )
    verify = dataclasses.replace(
        settings.verify, threshold=config.inlier_threshold, max_trials=config.ransac_trials
    )
    return dataclasses.replace(settings, neighbours=config.num_neighbors, verify=verify)


def index_kind_settings(config: Config) -> IndexSettings:
    """Return the settings of the index: those named index_..., and the seed."""
    names = {field.name for field in dataclasses.fields(IndexSettings)} - {"seed"}
    values = {name: getattr(config, f"index_{name}") for name in names}
    return IndexSettings(**values, seed=config.seed)


def search_folders(
    config: Config, folder: Path, feature_folders: Sequence[Path], benchmark: Benchmark
) -> tuple[Path, Path]:
    """Return the folders of the ranks and of the index for the features as they are now.

    Their names change with the features, the queries and the settings, so that photos which have
    come since make a new index and the old one is not mistaken for it.
    """
    built = index_settings(feature_folders, index_kind_settings(config), benchmark.images)
    index = hashlib.sha256(json.dumps(built, sort_keys=True).encode()).hexdigest()[:10]
    boxes = benchmark.boxes if benchmark.crop else None
    settings = dataclasses.asdict(retrieval_settings(config))
    key = json.dumps([index, settings, benchmark.query_photos, boxes])
    ranks = hashlib.sha256(key.encode()).hexdigest()[:10]
    return folder / f"ranks-{ranks}", folder / f"index-{index}"


def json_path(map_output: str | Path) -> Path:
    """Return where the results by query go: beside the table, with suffix .json.

    Raises:
        UserError: the table itself would be there.
    """
    path = Path(map_output).with_suffix(".json")
    if path == Path(map_output):
        raise UserError(
            f"map_output is {map_output}, but the results by query go to {path.name}; "
            "give the table a name such as mAP.txt"
        )
    return path


def report(
    config: Config, ranks: np.ndarray, benchmark: Benchmark, made: Mapping[str, Any]
) -> Evaluation:
    """Compute the metrics of ranks [queries, images], write table and JSON, and return them.

    Args:
        config: where they go.
        ranks: int32 [queries, images].
        benchmark: what was asked.
        made: how the ranks were made, for the JSON.
    """
    protocol = benchmark.protocol
    metrics = evaluate(ranks, benchmark.ground_truth, protocol.setups, protocol.ranks)
    write_text(config.map_output, format_table(benchmark, metrics))
    write_json(json_path(config.map_output), {**as_json(benchmark, metrics), "made": made})
    LOG.info("%s", summary_line(benchmark, metrics))
    LOG.info(
        "mAP %s; table in %s, results by query in %s",
        ", ".join(
            f"{benchmark.title(k)} {m.mean_average_precision:.2%}" for k, m in metrics.items()
        ),
        config.map_output,
        json_path(config.map_output).name,
    )
    return Evaluation(benchmark, metrics)


@contextlib.contextmanager
def stage_log(path: str | Path) -> Iterator[None]:
    """Write what is logged inside, and the message of an error, to a file as well."""
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    except UserError as error:
        handler.stream.write(f"error: {one_line(error)}\n")
        raise
    except Exception:
        handler.stream.write("error: a defect of the program; see the traceback\n")
        raise
    finally:
        root.removeHandler(handler)
        handler.close()
