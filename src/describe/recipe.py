"""How the photos of a collection are described: engine, choice of features, PCA, devices."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model_utils.bounds import check_fields
from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.common.file_names import file_name_for
from src.delf_config import DelfConfig
from src.describe.claim import check_claim, claim_folder
from src.describe.engines.choice import EngineSettings, KnownWeights, choose_engine
from src.describe.engines.interface import Engine
from src.describe.folder import ExtractionSummary, extract_folder
from src.describe.keepers import keeping
from src.describe.made_with import feature_settings
from src.describe.pca import Pca
from src.describe.stock import take_stock
from src.describe.switching import tell_of_before
from src.describe.tasks import PhotoTask
from src.describe.whitening_choice import with_global_descriptor
from src.describe.workers import parse_devices
from src.feature_io import Features, Origin, settings_digest

# Of 255 bytes a folder's name may have; what is added here and by those who use the name fits.
_LONGEST_NAME = 180


@dataclasses.dataclass(frozen=True)
class DescribeSettings:
    """What decides how photos are described.

    Attributes:
        engine: which engine and weights.
        features: pyramid, selection and reduction; its score is what `score` comes to.
        score: "attention", "norm", or "auto": attention where the weights have one.
        devices: device ids.
        max_bad_fraction: largest share of unreadable photos that is not an error.
        pca_path: folder of a PCA, or "auto".
        fit_pca_on: folder of photos to fit one on; "" for none.
        pca_images: how many of them.
        seed: of the choice of these photos.
        global_descriptor: "auto": a photo gets one where a whitening fits the weights; "off".
        whitening_path: file of a whitening, or "auto" for the shipped one.
        feature_store: how the features of whole sets are kept, one of `keepers.STORES`.

    Raises:
        UserError: a number is out of its bounds.
    """

    engine: EngineSettings
    features: DelfConfig
    score: str = "auto"
    devices: tuple[int, ...] = (0,)
    max_bad_fraction: float = 0.1
    pca_path: str = "auto"
    pca_images: int = 64
    seed: int = 0
    global_descriptor: str = "auto"
    whitening_path: str = "auto"
    fit_pca_on: str = ""
    feature_store: str = "files"

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_config(cls, config: Any, time_file: str = "") -> DescribeSettings:
        """Take what concerns describing out of the configuration."""
        fields = {field.name for field in dataclasses.fields(DelfConfig)} & vars(config).keys()
        values = {name: getattr(config, name) for name in fields - {"score"}}
        return cls(
            EngineSettings.from_config(config, time_file),
            DelfConfig(**values),
            config.score,
            parse_devices(config.devices),
            config.max_bad_fraction,
            config.pca_path,
            config.pca_images,
            config.seed,
            config.global_descriptor,
            config.whitening_path,
            config.fit_pca_on,
            config.feature_store,
        )


@dataclasses.dataclass(frozen=True)
class KnownFeatures:
    """Features that were made for another purpose before.

    Attributes:
        features: of a photo.
        photo: sha256 of the bytes of its file; "" where it changed while it was read.
    """

    features: Features
    photo: str


@dataclasses.dataclass(frozen=True)
class Describer:
    """What describes the photos of one collection.

    Attributes:
        engine: runs the network.
        features: pyramid, selection and reduction.
        source: the file the weights come from.
        devices: device ids.
        max_bad_fraction: largest share of unreadable photos that is not an error.
    """

    engine: Engine
    features: DelfConfig
    source: str
    devices: tuple[int, ...] = (0,)
    max_bad_fraction: float = 0.1

    def folder_name(self, images_path: PathLike) -> str:
        """Return a name for the results of these photos with this network and these settings."""
        images = Path(images_path).resolve()
        parts = [str(images), self.engine.fingerprint, self.features.settings()]
        if self.engine.settings():
            parts.append(self.engine.settings())
        key = json.dumps(parts)
        name = images.name
        if len(os.fsencode(name)) > _LONGEST_NAME:
            name = file_name_for(name)
        return f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"

    def without_pca(self) -> Describer:
        """Return the same with descriptors in full length."""
        return dataclasses.replace(self, features=dataclasses.replace(self.features, use_pca=False))

    def pending(
        self,
        images_path: PathLike,
        feature_folder: PathLike,
        pca: Pca | None,
        tasks: Sequence[PhotoTask],
    ) -> list[PhotoTask]:
        """Return the photos that `extract` would have to describe."""
        settings = feature_settings(self.engine, self.features, pca, tasks)
        claimed = check_claim(feature_folder, settings, is_cache=True)
        return take_stock(images_path, feature_folder, tasks, settings, claimed).pending

    def tell_of_before(
        self, images_path: PathLike, results: Path, tasks: Sequence[PhotoTask]
    ) -> None:
        """Say where photos were described with other settings; see `switching.tell_of_before`."""
        settings = feature_settings(self.engine, self.features, None, tasks)
        tell_of_before(images_path, results, tasks, settings)

    def keep(
        self,
        feature_folder: PathLike,
        pca: Pca | None,
        photos: Mapping[str, KnownFeatures],
        store: str = "files",
    ) -> None:
        """Put features that were made before into a feature folder of ours, for `extract`."""
        settings = feature_settings(self.engine, self.features, pca, ())
        check_claim(feature_folder, settings, is_cache=True)
        claim_folder(feature_folder, settings)
        digest = settings_digest(settings)
        with keeping(feature_folder, digest, store) as keeper:
            for name, known in photos.items():
                keeper.keep(name, known.features, Origin(known.photo, digest), None)

    def extract(
        self,
        images_path: PathLike,
        feature_folder: PathLike,
        pca: Pca | None,
        tasks: Sequence[PhotoTask] | None = None,
        max_bad_fraction: float | None = None,
        trusting: bool = True,
        store: str = "files",
    ) -> ExtractionSummary:
        """Describe photos into a feature folder of ours; see `extract_folder`."""
        return extract_folder(
            images_path,
            feature_folder,
            self.engine,
            self.features,
            pca,
            tasks,
            self.devices,
            self.max_bad_fraction if max_bad_fraction is None else max_bad_fraction,
            self.source,
            is_cache=True,
            trusting=trusting,
            store=store,
        )


def choose_describer(settings: DescribeSettings, known: KnownWeights | None = None) -> Describer:
    """Return what describes photos by these settings.

    Args:
        settings: the settings.
        known: what is known of the checkpoint, where it has been read before.

    Raises:
        UserError: no weights are set, they cannot be used, or lack the attention asked for.
    """
    engine = choose_engine(settings.engine, known)
    source = settings.engine.source
    score = settings.score
    if score == "auto":
        score = "attention" if engine.has_attention else "norm"
    elif score == "attention" and not engine.has_attention:
        raise UserError(
            f"{source} holds no attention; set score to norm or auto, "
            "or give a checkpoint of the attn stage"
        )
    features = dataclasses.replace(settings.features, score=score)
    engine = with_global_descriptor(
        engine, settings.engine, features, settings.global_descriptor, settings.whitening_path
    )
    return Describer(engine, features, source, settings.devices, settings.max_bad_fraction)
