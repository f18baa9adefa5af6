"""What the objects of a TensorFlow 2 checkpoint are called.

Its tensors are named by one of the ways that lead to them from the object that was saved, the
shortest one, so `variables/98` as well as `backbone/l2a/conv2a/kernel`. But a checkpoint also holds
the objects themselves, each with its parts by their names: `TrackableObjectGraph` in TensorFlow's
`trackable_object_graph.proto` (1: objects; of an object 1: parts, 2: attributes; of a part 1: which
object, 2: name; of an attribute 1: name, 3: tensor).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from src.common.errors import UserError, one_line
from src.common.protobuf import bytes_of, fields
from src.network.tf_bundle import Bundle

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_VALUE = "VARIABLE_VALUE"


class SavedObject(NamedTuple):
    """An object of a checkpoint.

    Attributes:
        parts: numbers of other objects, by the names it has for them.
        tensor: name of the tensor with its value, where it is a variable.
    """

    parts: Mapping[str, int]
    tensor: str | None


def read_objects(bundle: Bundle) -> list[SavedObject]:
    """Return the objects of a checkpoint, the saved one first; none of one of TensorFlow 1.

    Raises:
        UserError: what says so is damaged.
    """
    if GRAPH not in bundle.entries:
        return []
    message = memoryview(bundle.read_text(GRAPH))
    try:
        return [_object(bytes_of(content)) for field, content in fields(message) if field == 1]
    except ValueError as error:
        raise UserError(
            f"{bundle.prefix}.data-… is damaged: its objects cannot be read ({one_line(error)})"
        ) from None


def tensors_below(
    objects: list[SavedObject], number: int, depth: int, stem: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield (name, tensor) of the variables of an object and its parts, named by the way to them.

    Args:
        objects: of the checkpoint.
        number: of the object.
        depth: how many steps to go at most.
        stem: what the names begin with.
    """
    for name, part in objects[number].parts.items():
        if not part < len(objects):
            continue
        tensor = objects[part].tensor
        if tensor is not None:
            yield stem + name, tensor
        elif depth > 1:
            yield from tensors_below(objects, part, depth - 1, f"{stem}{name}/")


def _object(message: memoryview) -> SavedObject:
    parts: dict[str, int] = {}
    tensor = None
    for field, content in fields(message):
        if field == 1:
            part = dict(fields(bytes_of(content)))
            number = part.get(1, 0)
            if isinstance(number, int):
                parts[_text(part.get(2))] = number
        elif field == 2:
            attribute = dict(fields(bytes_of(content)))
            if _text(attribute.get(1)) == _VALUE:
                tensor = _text(attribute.get(3))
    return SavedObject(parts, tensor)


def _text(content: int | memoryview | None) -> str:
    return "" if content is None else bytes(bytes_of(content)).decode()
