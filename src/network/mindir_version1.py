"""Rewriting an exported model for runtimes that read MindIR of version 1 only.

MindSpore 2.10 writes version 3: operators of the newer kind ("primitive functions") carry their
settings as inputs, where version 1 has attributes. The rewritten file holds the same graph and the
same weights; MindSpore still reads it, which is how the export proves that nothing changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.common.atomic_files import PathLike, atomic_path
from src.common.errors import UserError
from src.network.mindir import read_proto

if TYPE_CHECKING:
    from mindspore.train.mind_ir_pb2 import ModelProto, PrimitiveProto

OLD_VERSION = 1
# What the exported network is made of. Anything else has not been tried on an old runtime.
_COMPUTING = ("Add", "BiasAdd", "Conv2D", "MaxPool", "Pad", "ReLU", "Softplus")
_KNOWN = frozenset((*_COMPUTING, "Depend", "Load", "MakeTuple", "UpdateState"))
_FORMATS = {0: b"NCHW", 1: b"NHWC"}  # mindspore/include/mindapi/base/format.h
_REFERENCE = "REF::"  # a node whose operator stands in the list of primitives


def to_version1(model: ModelProto) -> None:
    """Rewrite a model in place.

    Raises:
        UserError: it holds an operator that is not known to mean the same in version 1.
    """
    from mindspore.train.mind_ir_pb2 import PrimitiveProto

    unknown = sorted({p.op_type for p in model.primitives} - _KNOWN)
    if unknown:
        raise UserError(
            f"MindIR version 1 cannot be written for the operator(s) {', '.join(unknown)}; export "
            "the native version and use the runtime of your own MindSpore release"
        )
    any_size = -1 in model.graph.input[0].tensor[0].dims
    for primitive in model.primitives:
        primitive.prim_type = PrimitiveProto.PRIMITIVE
        if any_size and primitive.op_type == "Conv2D":
            _drop_pad_list(primitive)
    _move_bias_format(model)
    model.mind_ir_version = OLD_VERSION


def write_version1(source: PathLike, target: PathLike) -> None:
    """Write a copy of version 1 of a model.

    Raises:
        UserError: see `to_version1`.
    """
    model = read_proto(source)
    to_version1(model)
    with atomic_path(target) as temporary:
        temporary.write_bytes(model.SerializeToString())


def _drop_pad_list(primitive: PrimitiveProto) -> None:
    """Forget the padding that was computed for one size, unless it was given as such.

    Without padding it is zero, but old runtimes take its presence as padding of a fixed size.
    """
    attributes = {attribute.name: attribute for attribute in primitive.attribute}
    if attributes["pad_mode"].s != b"pad" and "pad_list" in attributes:
        primitive.attribute.remove(attributes["pad_list"])


def _move_bias_format(model: ModelProto) -> None:
    """Turn the third input of BiasAdd, the data format, into an attribute."""
    constants = {
        node.output[0]: node.attribute[0].i
        for node in model.graph.node
        if node.op_type == "Constant"
    }
    for primitive in model.primitives:
        if primitive.op_type != "BiasAdd":
            continue
        nodes = [n for n in model.graph.node if n.op_type == _REFERENCE + primitive.name]
        formats = {_FORMATS[constants[node.input[2]]] for node in nodes}
        if len(formats) != 1:
            raise UserError("the model mixes data formats, which MindIR version 1 cannot hold")
        for node in nodes:
            del node.input[2:]
        primitive.attribute.add(name="format", type=8, s=formats.pop())  # 8: STRING
