"""The whole evaluation: photos → features → index → ranks → mAP, and the matching of two photos.

Each step is skipped where its result is there already. Results lie under `work_path`, in a folder
named after the photos and everything that decides the features, so that another checkpoint or
setting makes another folder beside it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from model_utils.config import Config
from src.atomic_files import write_text
from src.build_feature_dataset import IndexSettings, build_index, index_settings
from src.dataset import GroundTruth, Metrics, evaluate, format_map_text, read_ground_truth
from src.delf_config import DelfConfig
from src.errors import LOG_FORMAT, UserError, one_line
from src.evaluation_page import evaluation_page, page_folder
from src.extract_feature import extract_folder, network_factory, parse_devices
from src.feature_network import has_attention, read_feature_weights
from src.fit_pca import DIMENSIONS, choose_files, fit_pca_on_images, read_all
from src.images import list_images
from src.match_images import MatchSettings, PairMatch, match_images, read_image_pair
from src.network_weights import fingerprint
from src.pca import Pca, read_pca, write_pca
from src.perform_retrieval import RetrievalSettings, retrieve

LOG = logging.getLogger(__name__)
PROJECT_PCA = Path(__file__).resolve().parents[1] / "pca"


@dataclasses.dataclass(frozen=True)
class Describer:
    """How the photos of one evaluation are described.

    Attributes:
        settings: pyramid, selection and reduction.
        network: fingerprint of the weights.
        checkpoint: their file.
    """

    settings: DelfConfig
    network: str
    checkpoint: str


def evaluate_retrieval(config: Config) -> dict[str, Metrics]:
    """Evaluate retrieval on Oxford5k, Paris6k or a folder in their layout; write the mAP table.

    Logs: `extract_feature.log` and `calculate_mAP.log` in the current folder,
    `process[X]/retrieval[X].log` in `work_path`.

    Raises:
        UserError: photos, ground truth, checkpoint or settings are missing or do not fit.
    """
    _require(config, "images_path", "gt_path", "checkpoint_path")
    work = Path(config.work_path)
    with stage_log("extract_feature.log"):
        names = [name for name, _ in list_images(config.images_path)]
        ground_truth = read_ground_truth(config.gt_path, names)
        describer = read_describer(config)
        folder = work / folder_name(config.images_path, describer)
        pca = choose_pca(config, describer, folder / "pca")
        extract(config, describer, pca, folder / "features")
    ranks_folder, index_folder = search_folders(config, folder)
    build_index(folder / "features", index_folder)
    ranks = retrieve(
        index_folder,
        folder / "features",
        {query.label: query.name for query in ground_truth.queries},
        ranks_folder,
        retrieval_settings(config),
        config.retrieval_workers or os.cpu_count() or 1,
        log_folder=work,
    )
    with stage_log("calculate_mAP.log"):
        metrics = report(config, ranks, ground_truth)
        if config.result_page:
            evaluation_page(
                page_folder(config.map_output),
                config.images_path,
                folder / "features",
                index_folder,
                ranks_folder,
                ground_truth,
                metrics,
                retrieval_settings(config),
                describer.checkpoint,
            )
        return metrics


def match_two_photos(config: Config) -> PairMatch:
    """Match the two photos named in `list_images_path` and draw their inliers.

    Logs: `extract_feature.log` and `match_images.log` in the current folder. Descriptors are
    reduced where a PCA for these weights is at hand, and matched in full length otherwise.

    Raises:
        UserError: the list, a photo, the checkpoint or settings are missing or do not fit.
    """
    _require(config, "images_path", "checkpoint_path")
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


def read_describer(config: Config) -> Describer:
    """Return how photos are described by the configured checkpoint."""
    weights = read_feature_weights(config.checkpoint_path)
    return describer_of(config, fingerprint(weights), has_attention(weights))


def describer_of(config: Config, network: str, attention: bool) -> Describer:
    """Return how photos are described by weights of this fingerprint, with attention or not."""
    score = config.score
    if score == "auto":
        score = "attention" if attention else "norm"
    elif score == "attention" and not attention:
        raise UserError(
            f"{config.checkpoint_path} holds no attention; set score to norm or auto, "
            "or give a checkpoint of the attn stage"
        )
    fields = {field.name for field in dataclasses.fields(DelfConfig)} & vars(config).keys()
    values = {**{name: getattr(config, name) for name in fields}, "score": score}
    return Describer(DelfConfig(**values), network, config.checkpoint_path)


def folder_name(images_path: str | Path, describer: Describer) -> str:
    """Return a name for the results of these photos with this network and these settings."""
    images = Path(images_path).resolve()
    key = json.dumps([str(images), describer.network, describer.settings.settings()])
    return f"{images.name}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def find_pca(config: Config, describer: Describer) -> Pca | None:
    """Return the PCA that the configuration names, or with "auto" the project's if it fits."""
    if not describer.settings.use_pca:
        return None
    if config.pca_path != "auto":
        return read_pca(config.pca_path)
    if PROJECT_PCA.is_dir():
        pca = read_pca(PROJECT_PCA)
        if pca.about.get("network") == describer.network:
            return pca
    return None


def choose_pca(config: Config, describer: Describer, folder: Path) -> Pca | None:
    """Return the PCA to use: one that fits, the one in `folder`, or one fitted now and kept there.

    A projection made for other weights does not fit; it is fitted on `pca_images` of the photos.
    """
    pca = find_pca(config, describer)
    if pca is not None or not describer.settings.use_pca:
        return pca
    if folder.is_dir():
        return read_pca(folder)
    files = choose_files(config.images_path, config.pca_images, config.seed)
    LOG.info("fitting a PCA for these weights on %d photos", len(files))
    factory = network_factory(describer.checkpoint, describer.settings, config.device_target)
    pca = fit_pca_on_images(
        factory(device_id=parse_devices(config.devices)[0]),
        read_all(files),
        describer.settings,
        max(describer.settings.pca_dim, DIMENSIONS),
        source=str(config.images_path),
    )
    write_pca(folder, pca)
    return pca


def extract(
    config: Config,
    describer: Describer,
    pca: Pca | None,
    folder: Path,
    names: Sequence[str] | None = None,
    max_bad_fraction: float | None = None,
) -> None:
    """Describe the photos of the configuration into a feature folder."""
    extract_folder(
        config.images_path,
        folder,
        network_factory(describer.checkpoint, describer.settings, config.device_target),
        describer.settings,
        pca,
        names=names,
        devices=parse_devices(config.devices),
        max_bad_fraction=config.max_bad_fraction if max_bad_fraction is None else max_bad_fraction,
    )


def retrieval_settings(config: Config) -> RetrievalSettings:
    """Return the settings of the search."""
    base = RetrievalSettings.plain() if config.plain_ranking else RetrievalSettings()
    verify = dataclasses.replace(
        base.verify, threshold=config.inlier_threshold, max_trials=config.ransac_trials
    )
    return dataclasses.replace(base, neighbours=config.num_neighbors, verify=verify)


def search_folders(config: Config, folder: Path) -> tuple[Path, Path]:
    """Return the folders of the ranks and of the index for the features as they are now.

    Their names change with the features and the settings, so that photos which have come since
    make a new index and the old one is not mistaken for it.
    """
    content = index_settings(folder / "features", IndexSettings())["features_checksum"]
    key = json.dumps([content, dataclasses.asdict(retrieval_settings(config))])
    ranks = hashlib.sha256(key.encode()).hexdigest()[:10]
    return folder / f"ranks-{ranks}", folder / f"index-{content[:10]}"


def report(config: Config, ranks: np.ndarray, ground_truth: GroundTruth) -> dict[str, Metrics]:
    """Compute the metrics of ranks [queries, images], write the table and return them."""
    metrics = evaluate(ranks, ground_truth)
    write_text(config.map_output, format_map_text(metrics))
    LOG.info(
        "%d queries among %d images, %d listed images missing; mAP %s; table in %s",
        *(len(ground_truth.queries), ground_truth.image_count, len(ground_truth.missing)),
        ", ".join(f"{name} {m.mean_average_precision:.2%}" for name, m in metrics.items()),
        config.map_output,
    )
    return metrics


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


def _require(config: Config, *names: str) -> None:
    for name in names:
        if not getattr(config, name):
            raise UserError(f"{name} is not set; give --{name}=PATH")
