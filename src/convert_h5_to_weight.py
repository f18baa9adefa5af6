"""Convert other people's ResNet50, DELF or DELG into a checkpoint of this network.

    python3 src/convert_h5_to_weight.py --h5 WEIGHTS.h5 --output resnet50_imagenet.ckpt
    python3 src/convert_h5_to_weight.py --weights resnet50.pth --output resnet50.ckpt
    python3 src/convert_h5_to_weight.py --weights variables/variables.index --output delf.ckpt \\
        --datum pca/ --pca pca_delf/

Read are Keras' h5 of all ages, torchvision's ResNet50 (.pth, .safetensors), and the checkpoints of
TensorFlow's DELF and DELG; --datum names a folder of their PCA (*.datum), written to --pca.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import dataclasses
import logging

from src.common.errors import UserError, run_command
from src.describe.datum_io import read_datum_pca
from src.describe.pca import write_pca
from src.network.feature_weights import read_feature_weights
from src.network.foreign import convert_weights
from src.network.weight_files import write_checkpoint
from src.network.weights import fingerprint

LOG = logging.getLogger(__name__)


def main() -> None:
    """Run the conversion from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        *("--h5", "--weights"),
        dest="weights",
        required=True,
        help="the weights: .h5, .pth, .safetensors, or a TensorFlow checkpoint (.index)",
    )
    parser.add_argument("--output", required=True, help="the checkpoint to write (.ckpt)")
    parser.add_argument("--datum", help="folder with the PCA that belongs to them (*.datum)")
    parser.add_argument("--pca", help="where that PCA is written; later give it as --pca_path")
    arguments = parser.parse_args()
    if not arguments.output.endswith(".ckpt"):
        raise UserError(f"--output is {arguments.output}; a checkpoint ends in .ckpt")
    if bool(arguments.datum) != bool(arguments.pca):
        raise UserError("--datum and --pca go together: the PCA to read, and where to write it")
    pca = read_datum_pca(arguments.datum) if arguments.datum else None
    weights = convert_weights(arguments.weights)
    write_checkpoint(arguments.output, weights)
    LOG.info("%d tensors written to %s", len(weights), arguments.output)
    if pca is not None:
        network = fingerprint(read_feature_weights(arguments.output))
        about = {"network": network, "source": str(arguments.datum)}
        write_pca(arguments.pca, dataclasses.replace(pca, about=about))
        LOG.info("the PCA of %d dimensions written to %s", len(pca.projection), arguments.pca)


if __name__ == "__main__":
    run_command(main)
