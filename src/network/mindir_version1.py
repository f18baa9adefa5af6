"""Rewriting an exported model for runtimes that read MindIR of version 1 only.

MindSpore 2.10 writes version 3: operators of the newer kind ("primitive functions") carry their
settings as inputs, where version 1 has attributes. The rewritten file holds the same graph and the
same weights; MindSpore still reads it, which is how the export proves that nothing changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.common.atomic_files import PathLike, atomic_path
from src.common.errors import UserError
from src.network.mindir import read_proto, to_bytes

if TYPE_CHECKING:
    from mindspore.train.mind_ir_pb2 import ModelProto, PrimitiveProto

OLD_VERSION = 1
# What the exported network is made of. Anything else has not been tried on an old runtime.
_COMPUTING = ("Add", "BiasAdd", "Conv2D", "MaxPool", "Pad", "ReLU", "Softplus")
_POOLING = ("Pow", "ReduceMean")  # of what becomes the global descriptor
_KNOWN = frozenset((*_COMPUTING, *_POOLING, "Depend", "Load", "MakeTuple", "UpdateState"))
_STRING = 8  # a type of attributes
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
    for operator, name in (("BiasAdd", "format"), ("ReduceMean", "keep_dims")):
        _move_third_input(model, operator, name)
    model.mind_ir_version = OLD_VERSION


def write_version1(source: PathLike, target: PathLike) -> None:
    """Write a copy of version 1 of a model.

    Raises:
        UserError: see `to_version1`.
    """
    model = read_proto(source)
    to_version1(model)
    with atomic_path(target) as temporary:
        temporary.write_bytes(to_bytes(model))


def _drop_pad_list(primitive: PrimitiveProto) -> None:
    """Forget the padding that was computed for one size, unless it was given as such.

    Without padding it is zero, but old runtimes take its presence as padding of a fixed size.
    """
    attributes = {attribute.name: attribute for attribute in primitive.attribute}
    if attributes["pad_mode"].s != b"pad" and "pad_list" in attributes:
        primitive.attribute.remove(attributes["pad_list"])


def _move_third_input(model: ModelProto, operator: str, name: str) -> None:
    """Turn the third input of an operator, a constant, into an attribute."""
    constants = {
        node.output[0]: node.attribute[0] for node in model.graph.node if node.op_type == "Constant"
    }
    for primitive in model.primitives:
        if primitive.op_type != operator:
            continue
        nodes = [n for n in model.graph.node if n.op_type == _REFERENCE + primitive.name]
        values = {constants[node.input[2]].i for node in nodes}
        if len(values) != 1:
            raise UserError(
                f"the model mixes {operator}'s {name}, of which MindIR version 1 holds one"
            )
        attribute = primitive.attribute.add(name=name)
        if name == "format":
            attribute.type, attribute.s = _STRING, _FORMATS[values.pop()]
        else:
            attribute.type, attribute.i = constants[nodes[0].input[2]].type, values.pop()
        for node in nodes:
            del node.input[2:]
