"""Principal component analysis of descriptors: fitting, keeping, applying."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import PathLike, write_json, write_npy
from src.common.errors import UserError, raise_if_of_system
from src.common.json_files import read_json, shaped
from src.common.npy_format import read_npy
from src.extract_utils_np import unit_length

MEAN_NAME = "mean.npy"
PROJECTION_NAME = "pca_proj_mat.npy"
VARIANCES_NAME = "pca_variances.npy"
ABOUT_NAME = "pca.json"
_LEAST_VARIANCE = 1e-12  # a direction without variance must not be blown up by whitening


@dataclass(frozen=True)
class Pca:
    """A projection on principal components.

    Attributes:
        mean: float32 [C], the mean descriptor.
        projection: float32 [D, C], one component a row, by falling variance.
        variances: float32 [D], the variance along each component.
        about: where it comes from (JSON values); empty for files made elsewhere.
    """

    mean: np.ndarray
    projection: np.ndarray
    variances: np.ndarray
    about: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def fingerprint(self) -> str:
        """A short text that differs where the numbers differ."""
        digest = hashlib.sha256()
        for array in (self.mean, self.projection, self.variances):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array, "<f4").tobytes())
        return digest.hexdigest()[:16]

    def holds(self, dimension: int) -> bool:
        """Tell whether it can bring descriptors to a length."""
        return dimension <= len(self.projection)

    def check_dimension(self, dimension: int, channels: int | None = None) -> None:
        """Raise `UserError` where it cannot bring descriptors (of so many channels) to a length."""
        if not self.holds(dimension) or channels not in (None, len(self.mean)):
            have = "" if channels is None else f"the features have {channels} and "
            raise UserError(
                f"the PCA takes {len(self.mean)} dimensions to at most {len(self.projection)}, "
                f"{have}pca_dim is {dimension}; fit one with src/describe/fit_pca.py "
                "--dimensions"
            )

    def project(self, descriptors: np.ndarray, dimension: int, whiten: bool) -> np.ndarray:
        """Reduce descriptors and bring them to unit length.

        Args:
            descriptors: float32 [N, C], unit length.
            dimension: length of the result, at most the number of components.
            whiten: divide each component by its standard deviation.

        Returns:
            float32 [N, dimension].

        Raises:
            UserError: there are fewer components, or other channels than in the descriptors.
        """
        self.check_dimension(dimension, descriptors.shape[1])
        # Not a BLAS product: its last bits depend on the number of threads and on the other rows.
        reduced = np.einsum("nc,dc->nd", descriptors - self.mean, self.projection[:dimension])
        if whiten:
            reduced /= np.sqrt(np.maximum(self.variances[:dimension], _LEAST_VARIANCE))
        return unit_length(reduced)


def fit_pca(descriptors: np.ndarray | Iterable[np.ndarray], dimension: int) -> Pca:
    """Fit a PCA to descriptors.

    Mean and covariance are gathered block by block in double precision (Chan, Golub and LeVeque,
    1979), so that the memory needed does not grow with the number of descriptors. The sign of a
    component is chosen so that its largest entry is positive.

    Args:
        descriptors: [N, C], or blocks of such rows.
        dimension: number of components to keep.

    Raises:
        UserError: there are no more descriptors than components, or fewer channels.
    """
    blocks = [descriptors] if isinstance(descriptors, np.ndarray) else descriptors
    count, mean, scatter = 0, None, None
    for block in blocks:
        if not len(block):
            continue
        block = np.asarray(block, np.float64)
        block_mean = block.mean(axis=0)
        centred = block - block_mean
        block_scatter = centred.T @ centred
        if mean is None:
            count, mean, scatter = len(block), block_mean, block_scatter
            continue
        total = count + len(block)
        shift = block_mean - mean
        scatter += block_scatter + np.outer(shift, shift) * (count * len(block) / total)
        mean = mean + shift * (len(block) / total)
        count = total
    if count <= dimension or len(mean) < dimension:
        raise UserError(
            f"a PCA of {dimension} dimensions cannot be fitted to {count} descriptors"
            f"{f' of length {len(mean)}' if mean is not None else ''}; use more photos"
        )
    values, vectors = np.linalg.eigh(scatter / (count - 1))
    components = vectors.T[::-1][:dimension]
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(dimension), largest])[:, None]
    return Pca(
        mean.astype(np.float32),
        np.ascontiguousarray(components, np.float32),
        values[::-1][:dimension].clip(0).astype(np.float32),
    )


def read_pca(folder: PathLike) -> Pca:
    """Read a PCA from a folder of `mean.npy`, `pca_proj_mat.npy` and `pca_variances.npy`.

    Raises:
        UserError: a file is missing or damaged, or the shapes do not belong together.
    """
    folder = Path(folder)
    mean = _read_array(folder / MEAN_NAME).reshape(-1)
    projection = _read_array(folder / PROJECTION_NAME)
    variances = _read_array(folder / VARIANCES_NAME).reshape(-1)
    fits = (
        projection.ndim == 2
        and projection.shape[1] == len(mean)
        and 0 < len(projection) <= len(variances)
    )
    if not fits:
        raise UserError(
            f"the PCA in {folder} does not fit together: mean {mean.shape}, projection "
            f"{projection.shape}, variances {variances.shape}; [C], [D, C] and [D] are wanted"
        )
    about_path = folder / ABOUT_NAME
    try:
        about = shaped(read_json(about_path), dict[str, Any]) if about_path.exists() else {}
    except (OSError, ValueError) as error:
        raise_if_of_system(error, about_path)
        raise UserError(f"cannot read {about_path} ({error}); fit the PCA again") from None
    pca = Pca(mean, projection, variances[: len(projection)], about)
    if about.get("fingerprint", pca.fingerprint) != pca.fingerprint:
        raise UserError(
            f"the arrays of {folder} are not those that {ABOUT_NAME} was written for; fit the PCA "
            f"again, or delete {about_path} if you replaced them on purpose"
        )
    return pca


def _read_array(path: Path) -> np.ndarray:
    try:
        array = read_npy(path)
    except FileNotFoundError:
        raise UserError(
            f"there is no {path}; fit a PCA with src/describe/fit_pca.py, or download one with "
            "scripts/download_pretrained.sh"
        ) from None
    except (OSError, ValueError) as error:
        raise_if_of_system(error, path)
        raise UserError(f"cannot read {path} ({error}); fit the PCA again") from None
    if not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
        raise UserError(f"{path} holds values that are not finite numbers; fit the PCA again")
    return np.ascontiguousarray(array, np.float32)


def write_pca(folder: PathLike, pca: Pca) -> None:
    """Write a PCA as the three arrays that `read_pca` reads, and what is said about it.

    Raises:
        UserError: what is there afterwards is not this PCA: the folder went away meanwhile.
    """
    folder = Path(folder)
    arrays = ((MEAN_NAME, pca.mean), (PROJECTION_NAME, pca.projection))
    for name, array in (*arrays, (VARIANCES_NAME, pca.variances)):
        write_npy(folder / name, array)
    write_json(folder / ABOUT_NAME, {**pca.about, "fingerprint": pca.fingerprint})
    if read_pca(folder).fingerprint != pca.fingerprint:
        raise UserError(f"{folder} holds another PCA than was written; write it again")
