"""Weights in files: MindSpore's checkpoints, and Keras' h5 where one may stand in its place."""

from __future__ import annotations

from pathlib import Path

from src.common.atomic_files import atomic_path
from src.common.errors import UserError
from src.network.keras_h5 import convert_h5
from src.network.weights import Weights


def read_weights(path: str | Path) -> Weights:
    """Return the tensors of a checkpoint (.ckpt) or of Keras weights (.h5), in our names."""
    is_h5 = Path(path).suffix.lower() in (".h5", ".hdf5")
    return convert_h5(path) if is_h5 else read_checkpoint(path)


def read_checkpoint(path: str | Path) -> Weights:
    """Return every tensor of a MindSpore checkpoint by name.

    Raises `UserError` for a file that is missing, damaged or no checkpoint.
    """
    import mindspore as ms

    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist; give the path of a .ckpt or .h5 file")
    try:
        parameters = ms.load_checkpoint(str(path))
    except Exception as error:  # MindSpore raises ValueError, RuntimeError or protobuf's own errors
        raise UserError(
            f"checkpoint {path} cannot be read; it is damaged or no MindSpore checkpoint"
        ) from error
    return {name: parameter.asnumpy() for name, parameter in parameters.items()}


def write_checkpoint(path: str | Path, weights: Weights) -> None:
    """Write named tensors as a MindSpore checkpoint, in one step."""
    import mindspore as ms

    with atomic_path(path) as temporary:
        try:
            ms.save_checkpoint(
                [{"name": name, "data": ms.Tensor(value)} for name, value in weights.items()],
                str(temporary),
            )
        finally:
            # MindSpore has a temporary file of its own, and leaves it on a full disk.
            temporary.with_suffix(".tmp").unlink(missing_ok=True)
        # MindSpore makes files that their owner can only read.
        temporary.chmod(0o644)
