"""What local features and global descriptors say of the images, together: one score an image.

Local votes know the same stones again, global descriptors the same view; each finds images that the
other misses. The global side is refined before (after SuperGlobal; Shao et al., ICCV 2023): the
descriptor of an image by its neighbours among the best images, the query's by its best hits, which
both sides have chosen. Neighbours are looked for among the best images only, never among all.
"""

from __future__ import annotations

import numpy as np

from src.extract_utils_np import unit_length
from src.ranking.settings import RetrievalSettings

#: An image's descriptor is refined by at most so many neighbours, weighted by similarity³.
DATABASE_NEIGHBOURS = 9
DATABASE_POWER = 3
#: The query's is refined by at most so many of its best hits, weighted by similarity, so often.
QUERY_HITS = 12
QUERY_ROUNDS = 2
#: In small collections every so manyth image may be one of them: few show the same.
IMAGES_FOR_EACH = 18


def fused(
    local: np.ndarray,
    whole: np.ndarray,
    images: np.ndarray,
    settings: RetrievalSettings,
    similarities: np.ndarray | None = None,
    collection: int | None = None,
    refined: np.ndarray | None = None,
) -> np.ndarray:
    """Return √(local / second best local) + `global_weight` · global similarity, of each image.

    The second best, because the best one may be the query itself.

    Args:
        local: float64 [images], the scores by local features.
        whole: float32 [R, G], global descriptors of the query: one, or one of each of its
            rotations, upright first.
        images: float32 [images, G], those of the images; 0 for images without.
        settings: `global_weight` and `rerank_images`.
        similarities: float64 [images], `best_similarities` of the images, where it is known.
        collection: number of images of the collection, where these are some of it.
        refined: `refined_images` of these, where they are known.

    Returns:
        float64 [images].
    """
    weight = settings.global_weight
    shares = _shares(local)
    if similarities is None:
        similarities = best_similarities(images, whole)
    scores = shares + weight * similarities
    best = np.argsort(-scores, kind="stable")[: settings.rerank_images]
    collection = collection or len(images)
    most = collection // IMAGES_FOR_EACH
    if not len(best) or not most:
        return scores
    refined = refined_images(images[best], collection) if refined is None else refined[best]
    found = shares[best] + weight * best_similarities(refined, whole)
    for _ in range(QUERY_ROUNDS):
        hits = np.argsort(-found, kind="stable")[: min(most, QUERY_HITS)]
        weights = np.maximum(best_similarities(refined[hits], whole), 0)
        query = whole[0] + weights.astype(np.float32) @ refined[hits]
        found = shares[best] + weight * best_similarities(refined, unit_length(query[None]))
    scores[best] = found
    return scores


def _shares(local: np.ndarray) -> np.ndarray:
    second = np.partition(local, -2)[-2] if len(local) > 1 else 0.0
    reference = second if second > 0 else local.max(initial=0.0)
    return np.sqrt(np.maximum(local, 0) / reference) if reference > 0 else np.zeros(len(local))


def best_similarities(images: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return the cosines of images with a query, that of the best of its rotations, float64."""
    return (images @ whole.T).max(axis=1).astype(np.float64)


def refined_images(images: np.ndarray, collection: int) -> np.ndarray:
    """Return descriptors float32 [N, G] averaged with those of their nearest among them.

    Args:
        images: float32 [N, G], the best images of a query.
        collection: number of images of the collection, which says how many may be neighbours.
    """
    neighbours = min(collection // IMAGES_FOR_EACH, DATABASE_NEIGHBOURS)
    similarities = images @ images.T
    count = min(neighbours + 1, len(images))
    nearest = np.argpartition(-similarities, count - 1, axis=1)[:, :count]
    weights = np.maximum(np.take_along_axis(similarities, nearest, axis=1), 0) ** DATABASE_POWER
    return unit_length(np.einsum("nk,nkg->ng", weights, images[nearest]))
