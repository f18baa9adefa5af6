"""Convert the ImageNet ResNet50 of Keras (h5) into a checkpoint of this network.

python3 src/convert_h5_to_weight.py --h5 WEIGHTS.h5 --output resnet50_imagenet.ckpt
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
import logging

from src.common.errors import UserError, run_command
from src.network.keras_h5 import convert_h5
from src.network.weight_files import write_checkpoint

LOG = logging.getLogger(__name__)


def main() -> None:
    """Run the conversion from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--h5", required=True, help="the Keras weights of ResNet50")
    parser.add_argument("--output", required=True, help="the checkpoint to write (.ckpt)")
    arguments = parser.parse_args()
    if not arguments.output.endswith(".ckpt"):
        raise UserError(f"--output is {arguments.output}; a checkpoint ends in .ckpt")
    weights = convert_h5(arguments.h5)
    write_checkpoint(arguments.output, weights)
    LOG.info("%d tensors written to %s", len(weights), arguments.output)


if __name__ == "__main__":
    run_command(main)
