"""How features are taken from a photo: pyramid, receptive field, selection, reduction.

The defaults are those of DELF (Noh et al., ICCV 2017, section 3 and the published extractor).
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from model_utils.bounds import check_fields, number
from src.common.errors import UserError

SCORES = ("attention", "norm")

# The network, ResNet50 (see `delf_model`), for every runtime that builds it:
BN_EPSILON = 1e-3
CELL_STRIDE = 32  # pixels between the cells of a conv4 map
CONV4_CHANNELS = 1024
CONV5_CHANNELS = 2048
GEM_POWER = 3.0  # of the generalised mean that makes one vector of a conv5 map
#: stage number → (channels of the inner convolutions, units, stride of the last unit)
STAGES = {2: (64, 3, 2), 3: (128, 4, 2), 4: (256, 6, 2), 5: (512, 3, 1)}


@dataclasses.dataclass(frozen=True)
class Layout:
    """What no weight says of a ResNet50, and other people's do differently.

    Attributes:
        strides: "last": a stage is subsampled in its last unit, or what is the same, in the first
            1×1 convolutions of the next one; "3x3": by the 3×3 convolution of the next stage's
            first unit, whose 1×1 convolution still sees every cell ("ResNet v1.5").
        conv1: padding of the first convolution: "pad", three zeros on each side, or "same", as
            TensorFlow means it: two before and three behind an even side.
        pool1: padding of the first pooling: "pad", one on each side, "same", or "valid", none.

    Raises:
        ValueError: there is no such arrangement.
    """

    strides: str = "last"
    conv1: str = "pad"
    pool1: str = "pad"

    def __post_init__(self) -> None:
        known = (("last", "3x3"), ("pad", "same"), ("pad", "same", "valid"))
        for value, values in zip((self.strides, self.conv1, self.pool1), known):
            if value not in values:
                raise ValueError(f"{value!r} is not one of {', '.join(values)}")

    def unit_strides(
        self, number: int, units: int, last: int, is_last_stage: bool = False
    ) -> list[int]:
        """Return the stride of each unit of a stage.

        The last stage of a backbone gives a map at stride 32 whatever the arrangement: conv4 is
        read at every second cell, conv5 is not subsampled.

        Args:
            number: of the stage.
            units: how many it has.
            last: stride of the last one where a stage is subsampled there, see `STAGES`.
            is_last_stage: whether the backbone ends with it.
        """
        strides = [1] * (units - 1) + [last]
        if self.strides == "3x3":
            strides = [1 if number == 2 else 2] + [1] * (units - 1)
            if number == 4 and is_last_stage:
                strides[-1] = 2
        return strides


@dataclasses.dataclass(frozen=True)
class DelfConfig:
    """All settings that change the features of a photo.

    Attributes:
        image_scales: scales of the image pyramid, relative to the base image. The base image is
            the photo itself, or a smaller copy of it where a level would pass `max_level_side`.
        receptive_field: side in pixels of the square of a level that one feature sees.
        stride: distance in pixels between neighbouring features of a level.
        padding: how far in pixels the field of the first feature reaches out of the level.
        max_feature_num: most features kept for a photo.
        max_level_side: longest side in pixels a level may have.
        min_level_side: levels with a shorter side under this many pixels are left out (the
            largest level is always kept).
        score: what features are picked by: the attention of the network, or the L2 norm of the
            feature (for weights without a trained attention).
        score_threshold: share of the largest score of the photo a feature must reach, 0 to 1. It is
            relative so that one value suits any weights.
        use_pca: whether descriptors are reduced by PCA.
        pca_dim: length of the reduced descriptor.
        use_whitening: whether reduced descriptors are divided by their standard deviations.
        nms_iou: receptive fields that overlap a better one by more than this intersection over
            union are dropped; 1 switches the suppression off.

    Raises:
        UserError: a value is out of its range.
    """

    image_scales: tuple[float, ...] = (0.25, 0.3536, 0.5, 0.7071, 1.0, 1.4142, 2.0)
    receptive_field: float = 291.0
    stride: float = float(CELL_STRIDE)
    padding: float = 145.0
    max_feature_num: int = 1000
    max_level_side: int = 2048
    min_level_side: int = 16
    score: str = "attention"
    score_threshold: float = 0.0
    use_pca: bool = True
    pca_dim: int = 40
    use_whitening: bool = False
    nms_iou: float = 1.0

    def __post_init__(self) -> None:
        """Bring the scales to a tuple and check every range."""
        object.__setattr__(self, "image_scales", tuple(float(s) for s in self.image_scales))
        check_fields(self)
        checks = (
            ("receptive_field", self.receptive_field >= 1, "at least 1"),
            ("stride", self.stride >= 1, "at least 1"),
            ("padding", self.padding >= 0, "at least 0"),
            (
                "max_level_side",
                self.max_level_side >= self.min_level_side,
                f"at least min_level_side ({self.min_level_side})",
            ),
            ("score", self.score in SCORES, f"one of {', '.join(SCORES)}"),
        )
        for name, fits, wanted in checks:
            if not fits:
                raise UserError(
                    f"feature setting {name} is {getattr(self, name)!r}; it must be {wanted}"
                )

    def settings(self) -> dict[str, Any]:
        """Return the fields as a dictionary of JSON values."""
        return {**dataclasses.asdict(self), "image_scales": list(self.image_scales)}


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting of the features that a person may want to change."""
    defaults = DelfConfig()
    for name in ("max_feature_num", "max_level_side", "min_level_side", "pca_dim"):
        parser.add_argument(f"--{name}", type=number(int, name), default=getattr(defaults, name))
    for name in ("score_threshold", "nms_iou"):
        parser.add_argument(f"--{name}", type=number(float, name), default=getattr(defaults, name))
    parser.add_argument(
        "--image_scales",
        type=number(float, "image_scales"),
        nargs="+",
        default=list(defaults.image_scales),
    )
    parser.add_argument("--score", choices=SCORES, default=defaults.score)
    for name in ("use_pca", "use_whitening"):
        parser.add_argument(
            f"--{name}", action=argparse.BooleanOptionalAction, default=getattr(defaults, name)
        )


def config_from_arguments(arguments: argparse.Namespace) -> DelfConfig:
    """Return the settings that `add_config_arguments` has read."""
    known = DelfConfig().settings().keys() & vars(arguments).keys()
    return DelfConfig(**{name: getattr(arguments, name) for name in known})
