"""Which PCA reduces the descriptors: one that is named, the project's, or one fitted when asked.

The project's folder `pca/` holds the one that ships, for the ImageNet weights; one fitted here for
other weights lies below it, in a folder named after them. Which weights a PCA is for, its file
`pca.json` says.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from pathlib import Path

from model_utils.environment import PROJECT_ROOT
from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.claim import claimed_settings
from src.describe.engines.choice import is_made_for
from src.describe.engines.interface import Engine
from src.describe.fit_pca import DIMENSIONS, PROJECT_PCA, choose_files, fit_pca_on_photos
from src.describe.kept_pca import keep_pca, read_kept_pca
from src.describe.pca import MEAN_NAME, Pca, read_pca
from src.describe.recipe import Describer, DescribeSettings

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ChosenPca:
    """A PCA and where it was found.

    Attributes:
        pca: None where descriptors are kept whole.
        place: its folder, in words.
        fits: whether it was made for the weights; None where nobody knows.
    """

    pca: Pca | None
    place: str = ""
    fits: bool | None = True

    def origin(self, images_path: PathLike) -> str:
        """Say in one line where the PCA comes from.

        Args:
            images_path: the photos that are described, which it had better not be fitted on.
        """
        if self.pca is None:
            return "PCA: none, descriptors in full length"
        about = self.pca.about
        words = [f"PCA: {self.place}"]
        if self.fits is None:
            words.append("which does not say for which weights it was made")
        elif not self.fits:
            words.append("made for OTHER weights")
        if about.get("images"):
            words.append(f"fitted on {about['images']} photos")
        if about.get("source"):
            words.append(str(about["source"]))
            if _is_same(about["source"], images_path):
                words.append("WHICH ARE THOSE OF THIS EVALUATION")
        return " ".join(", ".join(words).split())


def find_pca(settings: DescribeSettings, describer: Describer) -> Pca | None:
    """Return the PCA that the settings name, or with "auto" the project's if it fits."""
    return _named_or_fitting(settings, describer).pca


def choose_pca(
    settings: DescribeSettings, describer: Describer, images_path: PathLike, folder: Path
) -> ChosenPca:
    """Return the PCA for an evaluation.

    That is the one named; one fitted on the photos of `fit_pca_on`; the one that what is in
    `folder` was described by; the project's for these weights; or, as published DELF has it, the
    project's though it was made for other weights. None is ever fitted unasked.

    Args:
        settings: how photos are described.
        describer: describes them.
        images_path: the photos.
        folder: of results for these photos and settings.

    Raises:
        UserError: there is none, or the one named or asked for cannot be had.
    """
    if not describer.features.use_pca:
        return ChosenPca(None)
    if settings.fit_pca_on:
        return _fitted(settings, describer, folder)
    if settings.pca_path == "auto":
        pca = _of_before(folder)
        if pca is not None:
            place = f"{folder / 'pca'}, as it was made before"
            if _is_same(pca.about.get("source", ""), images_path):
                LOG.warning(
                    "the PCA in %s was fitted on the photos of this evaluation and is used because "
                    "they were described by it; --pca_path=%s uses another one",
                    *(folder / "pca", PROJECT_PCA),
                )
            return ChosenPca(pca, place)
    chosen = _named_or_fitting(settings, describer)
    return chosen if chosen.pca is not None else _for_other_weights(settings, describer)


def results_folder(folder: Path, pca: Pca | None) -> Path:
    """Return where results by a PCA go: `folder`, or one beside it where it has those of another.

    What was described by the other stays as it is.
    """
    if pca is None or _described_by(folder) in (None, pca.fingerprint):
        return folder
    beside = folder.with_name(f"{folder.name}-{pca.fingerprint[:10]}")
    if not beside.exists():
        LOG.info(
            "the photos are described again, by another PCA than before; what was made with that "
            "one is kept in %s",
            folder,
        )
    return beside


def fit_asked_pca(settings: DescribeSettings, describer: Describer) -> Pca:
    """Fit a PCA on photos of the folder `fit_pca_on`."""
    path = settings.fit_pca_on
    files = choose_files(path, settings.pca_images, settings.seed)
    LOG.info("fitting a PCA for these weights on %d photos of %s", len(files), path)
    features = describer.features
    pca = fit_pca_on_photos(
        *(describer.engine, path, files, features, max(features.pca_dim, DIMENSIONS)),
        *(describer.devices[0], describer.source),
    )
    return dataclasses.replace(pca, about={**pca.about, "source": str(Path(path).resolve())})


def pca_for(engine: Engine, source: str, features: DelfConfig, path: str) -> Pca | None:
    """Return the PCA of a folder of features; None where they are not reduced.

    Args:
        engine: describes the photos.
        source: the file of its weights.
        features: the settings.
        path: folder of a PCA; "auto": the project's for these weights, else `pca` in the current
            folder, whatever it was made for.
    """
    if not features.use_pca:
        return None
    if path != "auto":
        return read_pca(path)
    return _fitting(engine, source, features).pca or read_pca(PROJECT_PCA.name)


def _named_or_fitting(settings: DescribeSettings, describer: Describer) -> ChosenPca:
    if not describer.features.use_pca:
        return ChosenPca(None)
    if settings.pca_path != "auto":
        pca = read_pca(settings.pca_path)
        network = pca.about.get("network")
        fits = network and is_made_for(network, describer.engine, describer.source)
        return ChosenPca(pca, str(settings.pca_path), fits)
    return _fitting(describer.engine, describer.source, describer.features)


def _fitting(engine: Engine, source: str, features: DelfConfig) -> ChosenPca:
    """Return the project's PCA for the weights of an engine, of as many dimensions as wanted."""
    for folder in (PROJECT_PCA / engine.fingerprint, PROJECT_PCA):
        if (folder / MEAN_NAME).exists():
            pca = read_pca(folder)
            made_for = pca.about.get("network")
            if pca.holds(features.pca_dim) and is_made_for(made_for, engine, source):
                pca.about["network"] = engine.fingerprint
                return ChosenPca(pca, _in_project(folder))
    return ChosenPca(None)


def _for_other_weights(settings: DescribeSettings, describer: Describer) -> ChosenPca:
    """Return the project's PCA, which was made for other weights, and say how to fit one."""
    how = (
        f"fit one with `python3 -m src.describe.fit_pca --checkpoint {describer.source} "
        "--images_path TRAINING_PHOTOS`, or name photos to fit it on with --fit_pca_on=PHOTOS"
    )
    if settings.engine.mindir:
        how = "name photos to fit one on with --fit_pca_on=PHOTOS"
    if not (PROJECT_PCA / MEAN_NAME).exists():
        raise UserError(
            f"there is no PCA for the weights {describer.source}, and none in {PROJECT_PCA}; {how}"
            "; --use_pca=False keeps descriptors whole"
        )
    pca = read_pca(PROJECT_PCA)
    made = "for other weights" if "network" in pca.about else "nobody says for which weights"
    LOG.warning("the PCA in %s was made %s than these; %s", PROJECT_PCA, made, how)
    return ChosenPca(pca, _in_project(PROJECT_PCA), False if "network" in pca.about else None)


def _fitted(settings: DescribeSettings, describer: Describer, folder: Path) -> ChosenPca:
    """Return the PCA fitted on `fit_pca_on`, now or before."""
    if settings.pca_path != "auto":
        raise UserError(
            f"both pca_path ({settings.pca_path}) and fit_pca_on ({settings.fit_pca_on}) are set; "
            "give one of them"
        )
    photos = str(Path(settings.fit_pca_on).resolve())
    key = json.dumps([photos, settings.pca_images, settings.seed])
    place = folder / f"pca-{hashlib.sha256(key.encode()).hexdigest()[:10]}"
    pca = read_kept_pca(place)
    if pca is None:
        pca = keep_pca(place, fit_asked_pca(settings, describer))
    return ChosenPca(pca, "as asked by fit_pca_on")


def _of_before(folder: Path) -> Pca | None:
    """Return the PCA that was kept in a folder where its features were made by it."""
    described_by = _described_by(folder)
    if described_by is None:
        return None
    pca = read_kept_pca(folder / "pca")
    return pca if pca is not None and pca.fingerprint == described_by else None


def _described_by(folder: Path) -> str | None:
    """Return the fingerprint of the PCA that the features in a folder were made by."""
    return (claimed_settings(folder / "features") or {}).get("pca")


def _in_project(folder: Path) -> str:
    return str(folder.relative_to(PROJECT_ROOT))


def _is_same(source: str, images_path: PathLike) -> bool:
    return bool(source) and Path(source).resolve() == Path(images_path).resolve()
