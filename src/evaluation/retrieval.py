"""The whole evaluation: photos → features → index → ranks → mAP.

Each step is skipped where its result is there already. Results lie under `work_path`, in a folder
named after the photos and everything that decides the features, so that another checkpoint or
setting makes another folder beside it. Distractors have folders of their own, shared by the
evaluations that add them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import check_writable, write_json, write_text
from src.common.cpus import cpu_count
from src.common.errors import UserError
from src.describe.pca import Pca
from src.describe.pca_choice import choose_pca, results_folder
from src.describe.recipe import Describer, choose_describer
from src.describe.tasks import PhotoTask, chosen_tasks
from src.evaluation.metrics import Metrics, evaluate
from src.evaluation.page import evaluation_page, page_folder
from src.evaluation.protocols import Benchmark, list_distractors, read_benchmark
from src.evaluation.report import COMMENT, as_json, format_table, summary_line
from src.evaluation.settings import EvaluationSettings
from src.evaluation.stage_log import stage_log
from src.feature_io import feature_path, has_features, read_manifest
from src.index.build import build_index, index_settings
from src.photos.finding import list_images
from src.ranking.all_queries import retrieve

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What an evaluation of retrieval gave.

    Attributes:
        benchmark: protocol, queries and images.
        metrics: setup of the protocol → its metrics.
        pca: where the PCA came from.
    """

    benchmark: Benchmark
    metrics: dict[str, Metrics]
    pca: str

    def text(self) -> str:
        """Return what was evaluated, in one line, and the table of `mAP.txt`."""
        return f"{summary_line(self.benchmark, self.metrics)}\n{self.table()}"

    def table(self) -> str:
        """Return the text of `mAP.txt`: where the PCA came from, and the table."""
        return f"{COMMENT}{self.pca}\n{format_table(self.benchmark, self.metrics)}"


@dataclasses.dataclass(frozen=True)
class DescribedPhotos:
    """The photos of an evaluation, described.

    Attributes:
        describer: by what.
        folder: results for these photos and settings.
        features: folder of photos → its feature folder; the data set's first, then distractors.
        query_folder: features of the queries.
        queries: label → name of its features there.
        turned: label → the feature files of its turns.
        pca: where the PCA came from.
    """

    describer: Describer
    folder: Path
    features: Mapping[str, Path]
    query_folder: Path
    queries: Mapping[str, str]
    turned: Mapping[str, Sequence[Path]]
    pca: str


def evaluate_retrieval(settings: EvaluationSettings) -> Evaluation:
    """Evaluate retrieval by the levels, the classic or the revisited protocol.

    Writes the table `map_output` and beside it, with suffix `.json`, all results by query. Logs:
    `extract_feature.log` and `calculate_mAP.log` in the current folder,
    `process[X]/retrieval[X].log` in `work_path`.

    Raises:
        UserError: photos, ground truth, checkpoint or settings are missing or do not fit.
    """
    with stage_log("extract_feature.log"):
        check_writable(json_path(settings.map_output))  # before the work, not after it
        check_writable(settings.map_output)
        benchmark, distractors = read_questions(settings)
        photos = describe_photos(settings, benchmark, distractors)
    ranks_folder, index_folder = search_folders(settings, photos, benchmark)
    folders = list(photos.features.values())
    build_index(folders, index_folder, settings.index, benchmark.images)
    ranks = retrieve(
        index_folder,
        photos.query_folder,
        photos.queries,
        ranks_folder,
        settings.retrieval,
        settings.retrieval_workers or cpu_count(),
        log_folder=settings.work_path,
        turned=photos.turned,
        photos=benchmark.query_photos,
    )
    made = {
        "images_path": settings.images_path,
        "gt_path": settings.gt_path,
        "distractors_path": distractors,
        "weights": photos.describer.source,
        "network": photos.describer.engine.fingerprint,
        "features": photos.describer.features.settings(),
        "pca": photos.pca,
        "retrieval": dataclasses.asdict(settings.retrieval),
        "feature_folders": [str(path) for path in folders],
        "query_folder": str(photos.query_folder),
        "index_folder": str(index_folder),
        "ranks_folder": str(ranks_folder),
    }
    with stage_log("calculate_mAP.log"):
        result = report(settings.map_output, ranks, benchmark, made)
        if settings.result_page:
            evaluation_page(
                page_folder(settings.map_output),
                photos.features,
                {
                    label: (feature_path(photos.query_folder, name), *photos.turned[label])
                    for label, name in photos.queries.items()
                },
                index_folder,
                ranks_folder,
                benchmark,
                result.metrics,
                settings.retrieval,
                photos.describer.source,
            )
        return result


def read_questions(settings: EvaluationSettings) -> tuple[Benchmark, list[str]]:
    """Return what is asked, and the folders of distractors."""
    photos = [name for name, _ in list_images(settings.images_path)]
    distractors = list_distractors(settings.distractors_path, settings.images_path, photos)
    benchmark = read_benchmark(
        settings.gt_path,
        photos,
        [name for names in distractors.values() for name in names],
        settings.protocol,
        settings.crop_queries,
        settings.missing_images,
    )
    return benchmark, list(distractors)


def describe_photos(
    settings: EvaluationSettings, benchmark: Benchmark, distractors: list[str]
) -> DescribedPhotos:
    """Describe photos, distractors and queries, or find them described."""
    describer = choose_describer(settings.describe)
    folder = settings.work_path / describer.folder_name(settings.images_path)
    chosen = choose_pca(settings.describe, describer, settings.images_path, folder)
    pca, origin = chosen.pca, chosen.origin(settings.images_path)
    LOG.info("%s", origin)
    folder = results_folder(folder, pca)
    features = {settings.images_path: folder / "features"}
    for path in distractors:
        features[path] = settings.work_path / distractors_name(path, describer, pca) / "features"
        if has_features(path):
            features[path] = Path(path)
    for path, feature_folder in features.items():
        if feature_folder != Path(path):
            describer.extract(path, feature_folder, pca, store=settings.describe.feature_store)
    query_folder, queries = describe_queries(settings, describer, pca, folder, benchmark)
    turned = describe_turned(settings, describer, pca, folder, benchmark)
    return DescribedPhotos(describer, folder, features, query_folder, queries, turned, origin)


def distractors_name(path: str | Path, describer: Describer, pca: Pca | None) -> str:
    """Return a name for the features of distractors, the same in every evaluation with this PCA."""
    name = describer.folder_name(path)
    return f"{name}-{pca.fingerprint[:10]}" if pca is not None else name


def describe_queries(
    settings: EvaluationSettings,
    describer: Describer,
    pca: Pca | None,
    folder: Path,
    benchmark: Benchmark,
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
        tasks = chosen_tasks(settings.images_path, photos, boxes)
        describer.extract(settings.images_path, features, pca, tasks, max_bad_fraction=1.0)
        queries = {label: label for label in photos}
    else:
        features, queries = folder / "features", photos
    failed = read_manifest(features).failed
    for label, name in queries.items():
        if name in failed:
            raise UserError(
                f"query {label} cannot be described: {failed[name]}; put its photo or its box in "
                f"{settings.gt_path} right"
            )
    return features, queries


def describe_turned(
    settings: EvaluationSettings,
    describer: Describer,
    pca: Pca | None,
    folder: Path,
    benchmark: Benchmark,
) -> dict[str, tuple[Path, ...]]:
    """Describe the queries turned, or find them described; return label → their feature files.

    Which of them are needed is known only when the images are ranked.
    """
    photos, turns = benchmark.query_photos, settings.retrieval.turns
    if not turns:
        return {label: () for label in photos}
    files = dict(list_images(settings.images_path))
    boxes = benchmark.boxes if benchmark.crop else {}
    tasks = [
        PhotoTask(f"{label}@{90 * turn}", files[photo], boxes.get(label), turn)
        for label, photo in photos.items()
        for turn in turns
    ]
    key = json.dumps([sorted(photos.items()), sorted(boxes.items()), turns])
    features = folder / f"turned-{hashlib.sha256(key.encode()).hexdigest()[:10]}"
    tasks.sort(key=lambda task: task.name)
    describer.extract(settings.images_path, features, pca, tasks, max_bad_fraction=1.0)
    return {
        label: tuple(feature_path(features, f"{label}@{90 * turn}") for turn in turns)
        for label in photos
    }


def search_folders(
    settings: EvaluationSettings, photos: DescribedPhotos, benchmark: Benchmark
) -> tuple[Path, Path]:
    """Return the folders of the ranks and of the index for the features as they are now.

    Their names change with the features, the queries and the settings, so that photos which have
    come since make a new index and the old one is not mistaken for it.
    """
    built = index_settings(list(photos.features.values()), settings.index, benchmark.images)
    index = hashlib.sha256(json.dumps(built, sort_keys=True).encode()).hexdigest()[:10]
    boxes = benchmark.boxes if benchmark.crop else None
    retrieval = dataclasses.asdict(settings.retrieval)
    key = json.dumps([index, retrieval, benchmark.query_photos, boxes])
    ranks = hashlib.sha256(key.encode()).hexdigest()[:10]
    return photos.folder / f"ranks-{ranks}", photos.folder / f"index-{index}"


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
    map_output: str, ranks: np.ndarray, benchmark: Benchmark, made: Mapping[str, Any]
) -> Evaluation:
    """Compute the metrics of ranks [queries, images], write table and JSON, and return them.

    Args:
        map_output: the table.
        ranks: int32 [queries, images].
        benchmark: what was asked.
        made: how the ranks were made, for the JSON.
    """
    protocol = benchmark.protocol
    metrics = evaluate(ranks, benchmark.ground_truth, protocol.setups, protocol.ranks)
    result = Evaluation(benchmark, metrics, made["pca"])
    write_text(map_output, result.table())
    write_json(json_path(map_output), {**as_json(benchmark, metrics), "made": made})
    LOG.info("%s", summary_line(benchmark, metrics))
    LOG.info(
        "mAP %s; table in %s, results by query in %s",
        ", ".join(
            f"{benchmark.title(k)} {m.mean_average_precision:.2%}" for k, m in metrics.items()
        ),
        map_output,
        json_path(map_output).name,
    )
    return result
