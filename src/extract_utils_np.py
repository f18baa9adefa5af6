"""What surrounds the network: the pyramid before it, the choice of features after it.

Any engine can stand in the middle: `build_pyramid` makes its inputs,
`select_features` takes its outputs. Positions follow one convention: pixel centres have whole
coordinates, the first pixel reaches from -0.5 to 0.5, and resizing keeps the outline of the image
(the half-pixel centres of `cv2.resize`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from src.box_list_np import BoxList
from src.box_list_ops_np import concatenate, non_max_suppression, top_by_score
from src.common.errors import UserError
from src.delf_config import CONV4_CHANNELS, DelfConfig
from src.feature_io import Features


class NotFiniteError(UserError):
    """The network says of a photo what is not a number, or infinite."""


class Projection(Protocol):
    """What reduces descriptors; see `describe.pca.Pca`."""

    def project(self, descriptors: np.ndarray, dimension: int, whiten: bool) -> np.ndarray:
        """Map descriptors [N, C] of unit length to [N, dimension] of unit length."""


class LevelSize(NamedTuple):
    """One level of an image pyramid: its scale relative to the photo, and its size in pixels."""

    scale: float
    height: int
    width: int


class LevelOutput(NamedTuple):
    """What the network says of one level.

    Attributes:
        features: float32 [h, w, 1024], h = ceil(height / 32), w = ceil(width / 32), not normalised.
        scores: float32 [h, w], the attention.
        norms: float32 [h, w], the L2 norms of the features, where the engine has computed them.
        pooled: float32 [2048], conv5 of the features, pooled, where the engine has computed it.
    """

    features: np.ndarray
    scores: np.ndarray
    norms: np.ndarray | None = None
    pooled: np.ndarray | None = None

    def feature_norms(self) -> np.ndarray:
        """Return the L2 norms of the features, float32 [h, w]."""
        if self.norms is not None:
            return self.norms
        return np.sqrt(np.einsum("hwc,hwc->hw", self.features, self.features))


def unit_length(descriptors: np.ndarray) -> np.ndarray:
    """Return descriptors [N, D] divided by their L2 norms; those of norm 0 stay 0."""
    norms = np.sqrt(np.einsum("nd,nd->n", descriptors, descriptors))
    return descriptors / np.where(norms > 0, norms, 1)[:, None]


def pyramid_level_sizes(height: int, width: int, config: DelfConfig) -> list[LevelSize]:
    """Return the levels of the pyramid of a photo of some size, in the order of the scales.

    The scales count from the photo itself, or from a smaller size where the largest level would
    pass `config.max_level_side`. Levels whose shorter side would be under `config.min_level_side`
    are left out; the largest one always stays.
    """
    longest = max(height, width) * max(config.image_scales)
    base = min(1.0, config.max_level_side / longest)
    levels = []
    for scale in config.image_scales:
        size = (max(1, round(side * base * scale)) for side in (height, width))
        levels.append(LevelSize(base * scale, *size))
    large = [level for level in levels if min(level.height, level.width) >= config.min_level_side]
    return large or [max(levels, key=lambda level: level.scale)]


def enough_side(config: DelfConfig) -> int:
    """Return a side that is enough of a photo for its levels, though it has more pixels.

    A reduced copy has at least twice the pixels of the largest level each way, so that these are
    means of several as they would be of the photo. Photos up to 6,000 pixels, of which no half has
    more than 3,000, are never reduced: their features are those of all of their pixels.
    """
    return max(2 * config.max_level_side, 3001)


def has_texture(image: np.ndarray) -> bool:
    """Tell whether an image [H, W, 3] has at least two pixels that differ."""
    return any((row != image[0, 0]).any() for row in image)


def resize_levels(
    image: np.ndarray, config: DelfConfig, size: tuple[int, int] | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the levels of a photo's pyramid, one at a time.

    Each level is resized from the photo itself: by pixel areas when it gets smaller (which does not
    alias), else bilinearly. A photo whose pixels are all equal has no levels: nothing on it can be
    described.

    Args:
        image: uint8 [H, W, 3], RGB.
        config: the scales and limits.
        size: (height, width) of the photo, where the image is a smaller copy, see `enough_side`.

    Yields:
        (scale, uint8 [h, w, 3]) for each of `pyramid_level_sizes`.
    """
    if not has_texture(image):
        return
    for scale, height, width in pyramid_level_sizes(*(size or image.shape[:2]), config):
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        yield scale, cv2.resize(image, (width, height), interpolation=method)


def build_pyramid(
    image: np.ndarray, config: DelfConfig, size: tuple[int, int] | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the levels of a photo as the network wants them; see `resize_levels`.

    Yields:
        (scale, float32 [1, 3, h, w] with values (x − 128)/128) for each of `resize_levels`.
    """
    for scale, level in resize_levels(image, config, size):
        yield scale, _normalise(level)


def _normalise(image: np.ndarray) -> np.ndarray:
    """Bring uint8 [H, W, 3] to float32 [1, 3, H, W], (x − 128)/128."""
    planes = np.empty((1, 3, *image.shape[:2]), np.float32)
    for channel, plane in enumerate(cv2.split(image)):
        np.multiply(plane, np.float32(1 / 128), out=planes[0, channel])
    planes -= 1
    return planes


def receptive_boxes(
    height: int, width: int, receptive_field: float, stride: float, padding: float
) -> np.ndarray:
    """Return what each cell of a feature map sees of its level.

    Args:
        height: rows of the feature map.
        width: columns of the feature map.
        receptive_field: side of the square in pixels.
        stride: distance of neighbouring cells in pixels.
        padding: pixels by which the first square reaches out of the image.

    Returns:
        float32 [height · width, 4], row by row: the outermost pixels (ymin, xmin, ymax, xmax) that
        count, so that a side of n pixels has a difference of n − 1.
    """
    rows, columns = np.mgrid[:height, :width].astype(np.float32).reshape(2, -1)
    ymin, xmin = rows * stride - padding, columns * stride - padding
    side = receptive_field - 1
    return np.stack((ymin, xmin, ymin + side, xmin + side), axis=1).astype(np.float32)


def to_photo_pixels(boxes: np.ndarray, level: LevelSize, height: int, width: int) -> np.ndarray:
    """Move boxes [N, 4] from the pixels of a level to those of its photo (height × width).

    Each axis has its own ratio, since the sides of a level are whole numbers of pixels:
    y_photo = (y_level + 0.5) · height / level.height − 0.5.
    """
    ratio = np.array([height / level.height, width / level.width] * 2)
    return ((boxes + 0.5) * ratio - 0.5).astype(np.float32)


def select_features(
    outputs: Sequence[LevelOutput],
    height: int,
    width: int,
    config: DelfConfig,
    pca: Projection | None = None,
) -> Features:
    """Choose the features of a photo among all cells of its pyramid and reduce them.

    Cells under the relative threshold are dropped, then those suppressed by better ones (where that
    is on), then all but the best `config.max_feature_num`; ties go to the earlier level, then to
    the earlier cell. Descriptors are brought to unit length, reduced by PCA and brought to unit
    length again (Noh et al., section 3.4).

    Args:
        outputs: one for each of `pyramid_level_sizes(height, width, config)`, or none at all for a
            photo without texture.
        height: rows of the photo.
        width: columns of the photo.
        config: the settings.
        pca: the projection, where `config.use_pca` is set.

    Returns:
        Features, best first, with locations inside the photo.

    Raises:
        NotFiniteError: the network gave values that are not finite.
        ValueError: the outputs do not belong to a photo of this size.
    """
    if config.use_pca and pca is None:
        raise ValueError("use_pca is set and there is no PCA")
    if not outputs:
        return Features.empty(config.pca_dim if config.use_pca else CONV4_CHANNELS)
    candidates, cells = _candidates(outputs, height, width, config)
    scores = candidates.fields["scores"]
    if config.nms_iou < 1:
        chosen = non_max_suppression(candidates, scores, config.nms_iou, config.max_feature_num)
    else:
        chosen = top_by_score(scores, config.max_feature_num)
    candidates = candidates.gather(chosen)
    descriptors = unit_length(_gather_rows([output.features for output in outputs], cells[chosen]))
    if config.use_pca:
        descriptors = pca.project(descriptors, config.pca_dim, config.use_whitening)
    locations = candidates.centres().clip(0, np.float32([height - 1, width - 1]))
    return Features(
        locations, candidates.fields["scales"], descriptors, candidates.fields["scores"]
    )


def _candidates(
    outputs: Sequence[LevelOutput], height: int, width: int, config: DelfConfig
) -> tuple[BoxList, np.ndarray]:
    """Return the cells worth choosing among, as boxes in the photo, and their running numbers."""
    sizes = pyramid_level_sizes(height, width, config)
    if len(sizes) != len(outputs):
        raise ValueError(f"{len(outputs)} outputs for a pyramid of {len(sizes)} levels")
    lists = []
    norms = []
    for size, output in zip(sizes, outputs):
        rows, columns = output.features.shape[:2]
        wanted = int(np.ceil(size.height / config.stride)), int(np.ceil(size.width / config.stride))
        # A network that does not pad its first pooling may lack the last row or column.
        fits = rows in (wanted[0], wanted[0] - 1) and columns in (wanted[1], wanted[1] - 1)
        if not fits or output.scores.shape != (rows, columns):
            raise ValueError(
                f"features {output.features.shape} and scores {output.scores.shape} for a level "
                f"of {wanted[0]}×{wanted[1]} cells"
            )
        boxes = receptive_boxes(
            rows, columns, config.receptive_field, config.stride, config.padding
        )
        norm = output.feature_norms().ravel()
        scores = norm if config.score == "norm" else output.scores.ravel()
        norms.append(norm)
        lists.append(
            BoxList(
                to_photo_pixels(boxes, size, height, width),
                {
                    "scores": scores.astype(np.float32, copy=False),
                    "scales": np.full(len(boxes), size.scale, np.float32),
                },
            )
        )
    everything = concatenate(lists)
    scores, norm = everything.fields["scores"], np.concatenate(norms)
    if not (np.isfinite(scores).all() and np.isfinite(norm).all()):
        raise NotFiniteError("the network gives values that are not finite")
    # A feature of length 0 has no direction to compare.
    cells = np.flatnonzero((scores >= config.score_threshold * scores.max()) & (norm > 0))
    return everything.gather(cells), cells


def _gather_rows(maps: Sequence[np.ndarray], cells: np.ndarray) -> np.ndarray:
    """Return the features of running cell numbers over several maps [h, w, C] as [N, C].

    Copies the chosen rows only; joining the maps first would copy all of them.
    """
    ends = np.cumsum([feature_map.shape[0] * feature_map.shape[1] for feature_map in maps])
    rows = np.empty((len(cells), maps[0].shape[-1]), np.float32)
    for number, feature_map in enumerate(maps):
        start = ends[number - 1] if number else 0
        here = np.flatnonzero((cells >= start) & (cells < ends[number]))
        rows[here] = feature_map.reshape(-1, feature_map.shape[-1])[cells[here] - start]
    return rows
