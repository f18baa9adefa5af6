"""What a training is told: the settings of its parts, and which of them make it the same one.

All bear the names that they have in delf_config.yaml, where it says what each means.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

from model_utils.bounds import check_fields
from model_utils.config import Config
from src.common.errors import UserError

Part = TypeVar("Part")


@dataclass(frozen=True)
class PhotoSettings:
    """Which photos, and how many at a time."""

    traindata_path: str
    image_size: int
    batch_size: int
    accumulation_steps: int
    num_parallel_workers: int

    def photos_a_step(self, devices: int) -> int:
        """Return how many photos a step of the optimiser sees, on all devices together."""
        return self.batch_size * self.accumulation_steps * devices


@dataclass(frozen=True)
class StageSettings:
    """Which of the two stages, the weights it begins with, and what of them it changes."""

    train_state: str
    imagenet_checkpoint: str
    checkpoint_path: str
    train_bn_statistics: bool
    frozen_stages: int
    attention_loss_weight: float
    normalise_attention: bool
    tuning_pooling: str = "average"
    tuning_loss: str = "softmax"
    tuning_scale: float = 45.25
    tuning_margin: float = 0.1

    @property
    def is_tuning(self) -> bool:
        """Whether it is the first stage, tuning, and not the attention's."""
        return self.train_state == "tuning"

    def head(self) -> dict[str, object]:
        """Return what differs from the published head of the first stage; nothing by default."""
        head: dict[str, object] = {}
        if self.tuning_pooling != "average":
            head["tuning_pooling"] = self.tuning_pooling
        if self.tuning_loss != "softmax":
            head |= {"tuning_loss": self.tuning_loss, "tuning_scale": self.tuning_scale}
        if self.tuning_loss == "arcface":
            head["tuning_margin"] = self.tuning_margin
        return head

    @property
    def initial_weights(self) -> str:
        """The file the stage starts from."""
        return self.checkpoint_path or self.imagenet_checkpoint


@dataclass(frozen=True)
class DescentSettings:
    """Which steps are done, how far each of them goes, and how exactly it is computed."""

    start_iter: int
    max_iters: int
    initial_lr: float
    momentum: float
    clip_norm: float
    amp_level: str
    loss_scale: float
    jit_level: str

    def half_precision(self, device: str) -> bool:
        """Tell whether the convolutions are computed in float16."""
        return self.amp_level == "O2" or (self.amp_level == "auto" and device == "Ascend")


@dataclass(frozen=True)
class OutputSettings:
    """What a training leaves behind, where, and how often."""

    save_ckpt: str
    save_ckpt_step: int
    keep_checkpoint_max: int
    log_step: int
    validate_step: int
    validate_photos: int
    need_summary: bool
    save_summary: str
    need_profile: bool


@dataclass(frozen=True)
class TrainingSettings:
    """Everything a training is told.

    Raises:
        UserError: no training can have these settings.
    """

    device_target: str
    device_id: int
    seed: int
    photos: PhotoSettings
    stage: StageSettings
    descent: DescentSettings
    outputs: OutputSettings

    @classmethod
    def from_config(cls, config: Config) -> TrainingSettings:
        """Return what a configuration says of a training."""

        def part(kind: type[Part]) -> Part:
            return kind(**{field.name: getattr(config, field.name) for field in fields(kind)})

        return cls(
            device_target=config.device_target,
            device_id=config.device_id,
            seed=config.seed,
            photos=part(PhotoSettings),
            stage=part(StageSettings),
            descent=part(DescentSettings),
            outputs=part(OutputSettings),
        )

    def __post_init__(self) -> None:
        """Check every range, and what must fit together."""
        for part in (self, self.photos, self.stage, self.descent, self.outputs):
            check_fields(part)
        start_iter, max_iters = self.descent.start_iter, self.descent.max_iters
        if max_iters < start_iter:
            raise UserError(
                f"max_iters ({max_iters}) comes before start_iter ({start_iter}): "
                "there is no step to do"
            )
        if not self.stage.is_tuning and not self.stage.checkpoint_path:
            raise UserError("attn starts from a checkpoint of tuning: set checkpoint_path")

    def identity(self, devices: int, device: str) -> dict[str, object]:
        """Return what must be the same for a training to be the same one, whatever it runs on.

        Devices, batch size and accumulation count as their product, so that a training can go on
        with another number of devices.
        """
        stage, descent = self.stage, self.descent
        if stage.is_tuning:
            own = {
                "train_bn_statistics": stage.train_bn_statistics,
                "frozen_stages": stage.frozen_stages,
                **stage.head(),
            }
        else:
            own = {"attention_loss_weight": stage.attention_loss_weight}
            if not stage.normalise_attention:  # trainings from before the setting lack it
                own["normalise_attention"] = False
        return {
            "train_state": stage.train_state,
            "seed": self.seed,
            "start_iter": descent.start_iter,
            "max_iters": descent.max_iters,
            "image_size": self.photos.image_size,
            "initial_lr": descent.initial_lr,
            "momentum": descent.momentum,
            "clip_norm": descent.clip_norm,
            **own,
            "photos_a_step": self.photos.photos_a_step(devices),
            "half_precision": descent.half_precision(device),
        }
