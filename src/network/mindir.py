"""Reading what an exported model (MindIR) holds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import UserError, one_line, raise_if_of_system
from src.common.regular_files import read_regular
from src.network.weights import LAYOUT, Weights, check_numbers, fingerprint

if TYPE_CHECKING:
    from mindspore.train.mind_ir_pb2 import ModelProto, TensorProto

_SIGNATURE = "delf.weights"
_LAYOUT = "delf.layout"
_SEAL = "delf.file"
# In the exported network conv5 stands here, in a checkpoint there.
_POOLING, _CONV5 = "pooling.stage5.", "backbone.stage5."


@dataclass(frozen=True)
class MindIr:
    """An exported model.

    Attributes:
        version: of the format.
        input_shape: [N, 3, H, W]; -1 for any.
        fingerprint: of its weights without conv5, that of the checkpoint it was exported from.
        weights: by the names of the checkpoint.
        conv5: those of conv5, where a vector of the picture is among the outputs; else none.
    """

    version: int
    input_shape: tuple[int, ...]
    fingerprint: str
    weights: Weights = field(repr=False, compare=False)
    conv5: Weights = field(default_factory=dict, repr=False, compare=False)


def read_proto(path: PathLike) -> ModelProto:
    """Return the content of a MindIR file.

    Raises:
        UserError: there is no such file, it is something else, or it is not as `to_bytes` made it.
            Models that were written before files were sealed are read without.
    """
    from google.protobuf.message import DecodeError
    from mindspore.train.mind_ir_pb2 import ModelProto

    model = ModelProto()
    try:
        content = read_regular(path)
        model.ParseFromString(content)
    except FileNotFoundError:
        raise UserError(f"there is no model {path}; export one with export.py") from None
    except (DecodeError, OSError, ValueError, RecursionError) as error:
        raise_if_of_system(error, path)
        reason = one_line(error)[:200]
        raise UserError(f"model {path} cannot be read ({reason}); export it again") from None
    if not model.graph.node:
        raise UserError(f"model {path} is no MindIR; export it with export.py")
    if _SEAL in model.user_info and not _is_sealed(content):
        raise UserError(
            f"model {path} is damaged: its bytes are not those that were exported; export it again"
        )
    return model


def to_bytes(model: ModelProto) -> bytes:
    """Return a model as a file whose last field says the sum of all bytes before it.

    The runtimes believe what a file says of its graph, and fall when it is wrong. They read over
    the field: it is one of the notes that MindIR has room for.
    """
    model.user_info.pop(_SEAL, None)
    content = model.SerializeToString()
    return content + _seal(content)


def _is_sealed(content: bytes) -> bool:
    body = memoryview(content)[: -len(_seal(b""))]
    return content.endswith(_seal(body))


def _seal(content: bytes | memoryview) -> bytes:
    from mindspore.train.mind_ir_pb2 import ModelProto

    said = {_SEAL: hashlib.sha256(content).hexdigest()}
    return ModelProto(user_info=said).SerializePartialToString()


def sign(model: ModelProto, weights: Weights) -> None:
    """Note the weights of a model in it, so that every reader can tell whether they still are.

    The arrangement of the network, of the `weights` it was made with, is noted too: the graph has
    it, but whoever makes another graph of this file's weights needs to know.
    """
    if LAYOUT in weights:
        model.user_info[_LAYOUT] = weights[LAYOUT].tobytes().decode()
    model.user_info[_SIGNATURE] = fingerprint(_weights(model))


def read_mindir(path: PathLike) -> MindIr:
    """Return what identifies a model that `export.py` wrote.

    Raises:
        UserError: there is no such file, it is no DELF network, or its weights are damaged. Models
            that were written before they were signed are read without.
    """
    model = read_proto(path)
    shapes = [tuple(value.tensor[0].dims) for value in model.graph.input if value.tensor]
    names = {_own_name(tensor) for tensor in model.graph.parameter}
    is_photo = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1] == 3
    if not is_photo or "backbone.conv1.conv.weight" not in names:
        raise UserError(
            f"model {path} takes {' and '.join(map(str, shapes)) or 'nothing'}: it is no DELF "
            "network; export one with export.py"
        )
    try:
        weights = _weights(model)
    except ValueError as error:
        raise UserError(f"model {path} is damaged ({one_line(error)}); export it again") from error
    check_numbers(weights, f"model {path}")
    found = fingerprint(weights)
    if model.user_info.get(_SIGNATURE, found) != found:
        raise UserError(
            f"model {path} is damaged: its weights are not those that were exported; export it "
            "again"
        )
    conv5 = {
        name.replace(_POOLING, _CONV5, 1): weights.pop(name)
        for name in [*weights]
        if name.startswith(_POOLING)
    }
    return MindIr(model.mind_ir_version, shapes[0], fingerprint(weights), weights, conv5)


def as_pooling(conv5: Weights) -> Weights:
    """Return weights of conv5, by the names of a checkpoint, by those of the exported network."""
    return {name.replace(_CONV5, _POOLING, 1): value for name, value in conv5.items()}


def is_whole(path: PathLike) -> bool:
    """Return whether there is a model of `export.py` at a path, and nothing is wrong with it."""
    try:
        read_mindir(path)
    except UserError:
        return False
    return True


def _own_name(tensor: TensorProto) -> str:
    # The graph's name stands in front of each parameter's own.
    return tensor.name.rpartition(":")[2]


def _weights(model: ModelProto) -> Weights:
    """Return the parameters of a model; `ValueError` where one is no array of its shape."""
    weights = {
        _own_name(tensor): np.frombuffer(tensor.raw_data, np.float32).reshape(tuple(tensor.dims))
        for tensor in model.graph.parameter
    }
    if _LAYOUT in model.user_info:
        weights[LAYOUT] = np.frombuffer(model.user_info[_LAYOUT].encode(), np.uint8)
    return weights
