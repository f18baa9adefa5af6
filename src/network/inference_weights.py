"""The weights of a checkpoint that describing photos needs: no classifier, nothing of a training.

    python3 src/network/inference_weights.py --checkpoint CKPT [--output WEIGHTS.ckpt]

With 81,313 landmarks the classifier is seven times as large as the network. A training writes such
a file at its end; this is for any other checkpoint, the best by validation for instance.
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
import logging
from pathlib import Path

from src.common.errors import UserError, run_command
from src.network.weight_files import read_weights, write_checkpoint
from src.network.weights import Weights

LOG = logging.getLogger(__name__)


def inference_weights(weights: Weights) -> Weights:
    """Return the backbone, and the attention where there is one."""
    return {
        name: value
        for name, value in weights.items()
        if name.startswith(("backbone.", "attention."))
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, type=Path, help="a .ckpt of either stage")
    parser.add_argument(
        "--output", type=Path, help="the file to write (default: weights_<name> beside it)"
    )
    arguments = parser.parse_args()
    checkpoint = arguments.checkpoint
    output = arguments.output or checkpoint.with_name(f"weights_{checkpoint.stem}.ckpt")
    if output.suffix != ".ckpt":
        raise UserError(f"--output is {output}; a checkpoint ends in .ckpt")
    weights = inference_weights(read_weights(checkpoint))
    if not weights:
        raise UserError(f"{checkpoint} holds no weights of this network")
    write_checkpoint(output, weights)
    LOG.info("%s: %d tensors, %.1f MB", output, len(weights), output.stat().st_size / 1e6)


if __name__ == "__main__":
    run_command(main)
