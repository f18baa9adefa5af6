"""What each step of the ranking gives: mAP with it, without it, and with what was tried instead.

    python benchmarks/ablate_ranking.py --gt_path=GROUND_TRUTH \
        --features trained=FEATURES --features imagenet=FEATURES2 [--gem=runs/gem/features]

For each feature folder one table (Markdown): mAP, and the difference to the default ranking paired
by query: mean ± standard error, and how many queries are better and worse. "halves" has that
difference for every second building, and for the others: what helps, helps both. With `--per_query`
also the average precision of each query. The index is built in a temporary folder.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import logging
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks.gem_descriptors import rank_by_similarity, read_descriptors
from src.common.errors import UserError, run_command
from src.dataset import EASY_MEDIUM_HARD, GroundTruth, Query, read_ground_truth
from src.evaluation.metrics import evaluate
from src.feature_io import Features, feature_path, read_features
from src.index.build import build_index
from src.index.choice import add_index_arguments, settings_from_arguments
from src.index.folder import Index, load_index
from src.index.image_table import extent
from src.ranking import shortlist
from src.ranking.geometry import Frames, Verification, VerifySettings, match_descriptors, verify
from src.ranking.one_query import rank_images
from src.ranking.settings import RetrievalSettings
from src.ranking.votes import search_votes

LOG = logging.getLogger(__name__)

DEFAULT = RetrievalSettings()
ALONE = replace(DEFAULT, expansion_images=0)
WIDER = replace(DEFAULT, expansion_features=300)
VOTES = replace(ALONE, inlier_weight=0.0)
Scores = Callable[["Remembering", Features], np.ndarray]
KEPT_NEIGHBOURS = 97


class Remembering:
    """An index that keeps the neighbours it found, so that thirty rankings search once."""

    def __init__(self, index: Index):
        self._index = index
        self._found: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def __getattr__(self, name: str):
        return getattr(self._index, name)

    def nearest(self, descriptors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what `Index.nearest` does."""
        keys = [row.tobytes() for row in descriptors]
        new = list({key: row for row, key in enumerate(keys) if key not in self._found}.values())
        if new:
            distances, rows = self._index.nearest(descriptors[new], KEPT_NEIGHBOURS)
            self._found.update((keys[row], pair) for row, *pair in zip(new, distances, rows))
        distances, rows = (np.stack(part) for part in zip(*(self._found[key] for key in keys)))
        return distances[:, :k], rows[:, :k]


def remember_verifications() -> None:
    """Verify the same matches only once, whichever ranking asks."""
    found: dict[tuple, Verification] = {}

    def remembered(
        a: np.ndarray, b: np.ndarray, settings: VerifySettings, frames: Frames
    ) -> Verification:
        key = (a.tobytes(), b.tobytes(), settings, frames)
        if key not in found:
            found[key] = verify(a, b, settings, frames)
        return found[key]

    shortlist.verify = remembered


# ---------------------------------------------------------------- rankings


def by_settings(settings: RetrievalSettings) -> Scores:
    """Return the ranking of the project with some settings."""
    return lambda index, features: rank_images(index, features, settings).scores


def inliers_then_votes(index: Remembering, features: Features) -> np.ndarray:
    """Images with 15 inliers or more by their number, below them the others by all votes."""
    inliers = rank_images(index, features, replace(ALONE, shortlist=0)).inliers
    votes = rank_images(index, features, replace(VOTES, single_match=False, shortlist=1)).votes
    return np.where(inliers >= 15, inliers, 0) * 1e6 + votes


def counted(single: bool) -> Scores:
    """Count votes."""
    settings = replace(VOTES, single_match=single, shortlist=1)
    return lambda index, features: rank_images(index, features, settings).votes.astype(float)


def weighted(weights: Callable) -> Scores:
    """Sum a weight of each vote, `weights(votes, index, features)` → [M]."""

    def score(index: Remembering, features: Features) -> np.ndarray:
        votes = search_votes(index, features, VOTES)
        return np.bincount(votes.images, weights(votes, index, features), index.image_count)

    return score


def fixed_kernel(votes, index, features) -> np.ndarray:
    """exp(−d² / 0.4), the same for every feature."""
    return np.exp(-votes.distances / 0.4)


def burst(votes, index, features) -> np.ndarray:
    """A feature that votes for many images counts 1/√(their number) (Jégou et al., CVPR 2009)."""
    images = np.bincount(votes.from_query, minlength=len(features))
    return votes.weights / np.sqrt(images[votes.from_query])


def mutual(votes, index, features) -> np.ndarray:
    """A match that is not the nearest of the query's features to its own counts half."""
    found = np.zeros(len(votes.images), dtype=bool)
    for image in np.unique(votes.images):
        at = votes.of(image)
        rows = votes.from_index[at]
        to_query = index.descriptors[rows] @ features.descriptors.T
        found[at] = to_query.argmax(axis=1) == votes.from_query[at]
    return votes.weights * np.where(found, 1.0, 0.5)


def by_attention(votes, index, features) -> np.ndarray:
    """A feature counts with its score, relative to the mean."""
    return votes.weights * (features.attention / features.attention.mean())[votes.from_query]


def rematched(number: int, **options) -> Scores:
    """Match the best images with all descriptors; add 0.1 for each inlier."""

    def score(index: Remembering, features: Features) -> np.ndarray:
        scores = rank_images(index, features, ALONE).scores.copy()
        for image in np.argsort(-scores, kind="stable")[:number]:
            start, end = index.offsets[image : image + 2]
            pairs = match_descriptors(features.descriptors, index.descriptors[start:end], **options)
            scores[image] += (
                0.1
                * verify(
                    features.locations[pairs[:, 0]],
                    index.locations[start:end][pairs[:, 1]],
                    DEFAULT.verify,
                    Frames(index.extents[image] / extent(features.locations)),
                ).count
            )
        return scores

    return score


def rematched_alone(number: int, **options) -> Scores:
    """Match the best images with all descriptors; rank them by the inliers alone."""
    added = rematched(number, **options)

    def score(index: Remembering, features: Features) -> np.ndarray:
        before = rank_images(index, features, ALONE).scores
        return before + 1e4 * (added(index, features) - before)

    return score


def averaged_query(index: Remembering, features: Features) -> np.ndarray:
    """Search again with each query descriptor averaged with its inliers in the best images."""
    votes = search_votes(index, features, ALONE)
    first = rank_images(index, features, ALONE)
    total = features.descriptors.copy()
    best = [i for i in first.ranks if first.inliers[i] >= DEFAULT.expansion_inliers]
    for image in best[: DEFAULT.expansion_images + 1]:
        at = votes.of(image)
        found = shortlist.verify_image(index, features, votes, image, ALONE).inliers
        of_query, of_index = votes.from_query[at][found], votes.from_index[at][found]
        np.add.at(total, of_query, index.descriptors[of_index])
    total /= np.linalg.norm(total, axis=1, keepdims=True)
    again = Features(features.locations, features.scales, total, features.attention)
    return rank_images(index, again, ALONE).scores


RANKINGS: dict[str, Scores] = {
    "default": by_settings(DEFAULT),
    "published: inliers of every voted image (`plain_ranking`)": by_settings(
        RetrievalSettings.plain()
    ),
    "before: 15 inliers or more by number, then votes": inliers_then_votes,
    "votes counted": counted(False),
    "votes counted, one a feature and image": counted(True),
    "… weighted by exp(−d²/0.4)": weighted(fixed_kernel),
    "… weighted by d²ₖ₊₁ − d²": by_settings(VOTES),
    "… and inliers twice more": by_settings(ALONE),
    "… and expansion (the default)": by_settings(DEFAULT),
    "no expansion, 20 neighbours": by_settings(replace(ALONE, neighbours=20)),
    "no expansion, 96 neighbours": by_settings(replace(ALONE, neighbours=96)),
    "no expansion, shortlist of 50": by_settings(replace(ALONE, shortlist=50)),
    "no expansion, shortlist of 200": by_settings(replace(ALONE, shortlist=200)),
    "no expansion, inliers once more": by_settings(replace(ALONE, inlier_weight=1.0)),
    "no expansion, inliers four times more": by_settings(replace(ALONE, inlier_weight=4.0)),
    "expansion by 1 image, 300 features": by_settings(replace(WIDER, expansion_images=1)),
    "expansion by 3, 300 features": by_settings(WIDER),
    "expansion by 5, 300 features": by_settings(replace(WIDER, expansion_images=5)),
    "expansion by 3, 100 features": by_settings(replace(DEFAULT, expansion_features=100)),
    "expansion by 3 of 15 inliers, 300 features": by_settings(replace(WIDER, expansion_inliers=15)),
    "expansion by 3 of 35 inliers, 300 features": by_settings(replace(WIDER, expansion_inliers=35)),
    "votes alone, burstiness 1/√n": weighted(burst),
    "votes alone, those not mutual count half": weighted(mutual),
    "votes alone, weighted by attention": weighted(by_attention),
    "no expansion, top 100 matched again (mutual), inliers added": rematched(100, mutual=True),
    "no expansion, top 100 matched again (ratio 0.9), inliers added": rematched(100, ratio=0.9),
    "no expansion, top 100 matched again (mutual), by inliers alone": rematched_alone(
        100, mutual=True
    ),
    "no expansion, top 400 matched again (mutual), inliers added": rematched(400, mutual=True),
    "expansion by averaged descriptors": averaged_query,
}


# ---------------------------------------------------------------- the table


def average_precisions(
    scores: np.ndarray, ground_truth: GroundTruth, protocol: str
) -> tuple[np.ndarray, list[Query]]:
    """Return the average precision in percent of each query that has positives, and those."""
    ranks = np.argsort(-scores, axis=1, kind="stable").astype(np.int32)
    found = evaluate(ranks, ground_truth, {protocol: EASY_MEDIUM_HARD[protocol]})[protocol]
    judged = ~np.isnan(found.average_precisions)
    queries = [query for query, one in zip(ground_truth.queries, judged) if one]
    return found.average_precisions[judged] * 100, queries


def difference(ours: np.ndarray, base: np.ndarray) -> str:
    """Return mean ± standard error of a paired difference, and the queries better and worse."""
    apart = ours - base
    error = apart.std(ddof=1) / np.sqrt(len(apart)) if len(apart) > 1 else 0.0
    better, worse = (apart > 0.005).sum(), (apart < -0.005).sum()
    return f"{apart.mean():+.2f} ± {error:.2f} | {better} / {worse}"


def halves(queries: list[Query]) -> np.ndarray:
    """Split queries by building (the label without its number), bool [queries]."""
    buildings = [re.sub(r"_\d+$", "", query.label) for query in queries]
    order = sorted(set(buildings))
    return np.array([order.index(building) % 2 == 0 for building in buildings])


def score_all(
    index: Remembering, queries: list[Features], rankings: dict[str, Scores], label: str
) -> dict[str, np.ndarray]:
    """Return the scores [queries, images] by ranking."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in rankings}
    for features in tqdm(queries, desc=label, disable=None):
        for name, score in rankings.items():
            rows[name].append(score(index, features))
    return {name: np.stack(scores) for name, scores in rows.items()}


def print_rankings(
    label: str,
    scores: dict[str, np.ndarray],
    ground_truth: GroundTruth,
    protocol: str,
) -> tuple[np.ndarray, list[Query]]:
    """Print the table of a feature folder; return the default's precisions, and their queries."""
    count, images = next(iter(scores.values())).shape
    print(f"\n**{label}**, {protocol}, {count} queries, {images} images")
    print("\n| Ranking | mAP | to the default | better / worse | halves |")
    print("| --- | --- | --- | --- | --- |")
    base = None
    for name, one in scores.items():
        found, queries = average_precisions(one, ground_truth, protocol)
        base = found if base is None else base
        half = halves(queries)
        apart = found - base
        print(
            f"| {name} | {found.mean():.2f} | {difference(found, base)} | "
            f"{apart[half].mean():+.2f} {apart[~half].mean():+.2f} |",
            flush=True,
        )
    return base, queries


def gem_precisions(folder: Path, gt_path: Path, protocol: str) -> tuple[np.ndarray, list[Query]]:
    """Return the precisions of a ranking by global descriptors, and their queries."""
    names, descriptors = read_descriptors(folder)
    ground_truth = read_ground_truth(gt_path, names)
    of_queries = descriptors[[query.image for query in ground_truth.queries]]
    ranks = rank_by_similarity(of_queries, descriptors)
    scores = np.empty(ranks.shape)
    np.put_along_axis(scores, ranks, -np.arange(ranks.shape[1])[None].astype(float), axis=1)
    return average_precisions(scores, ground_truth, protocol)


def print_defaults(defaults: dict[str, np.ndarray], queries: list[Query], per_query: bool) -> None:
    """Print the default ranking of all feature folders side by side."""
    first = next(iter(defaults))
    print(f"\n**Beside {first}** (default ranking)\n")
    print(f"| Features | mAP | to {first} | better / worse |\n| --- | --- | --- | --- |")
    for label, found in defaults.items():
        print(f"| {label} | {found.mean():.2f} | {difference(found, defaults[first])} |")
    if per_query:
        print(f"\n| Query | {' | '.join(defaults)} |\n|{' --- |' * (len(defaults) + 1)}")
        for row, query in enumerate(queries):
            print(f"| {query.label} | {' | '.join(f'{v[row]:.1f}' for v in defaults.values())} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--features", action="append", required=True, help="NAME=FOLDER; may be repeated"
    )
    parser.add_argument("--gt_path", type=Path, required=True, help="ground truth folder")
    parser.add_argument("--gem", type=Path, help="folder of global descriptors, a yardstick")
    parser.add_argument(
        "--protocol", choices=sorted(EASY_MEDIUM_HARD), default="easy", help="(%(default)s)"
    )
    add_index_arguments(parser)
    parser.add_argument("--only", default="", help="regular expression of the rankings to run")
    parser.add_argument("--per_query", action="store_true", help="print each query too")
    args = parser.parse_args()
    chosen = {
        name: score
        for name, score in RANKINGS.items()
        if name == "default" or re.search(args.only, name)
    }
    cv2.setNumThreads(1)
    remember_verifications()
    defaults: dict[str, np.ndarray] = {}
    for item in args.features:
        label, _, folder = item.partition("=")
        if not folder:
            raise UserError(f"--features {item} is not NAME=FOLDER")
        with tempfile.TemporaryDirectory() as temporary:
            build_index(folder, Path(temporary) / "index", settings_from_arguments(args))
            index = Remembering(load_index(Path(temporary) / "index"))
            ground_truth = read_ground_truth(args.gt_path, index.names)
            features = [
                read_features(feature_path(folder, query.name)) for query in ground_truth.queries
            ]
            scores = score_all(index, features, chosen, label)
        defaults[label], queries = print_rankings(label, scores, ground_truth, args.protocol)
    if args.gem:
        defaults["GeM conv5"], queries = gem_precisions(args.gem, args.gt_path, args.protocol)
    print_defaults(defaults, queries, args.per_query)


if __name__ == "__main__":
    run_command(main)
