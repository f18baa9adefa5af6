"""Reading the `.datum` files of the DELF release: a tensor as a protocol buffer.

The message is `DatumProto`: field 1 `shape` (field 1: the dimensions, int64), and one of field 2
`float_list` (field 1: float) or field 3 `uint32_list` (field 1: uint32), row-major. Repeated
numbers stand packed in one length-delimited field, or one by one; both are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from src.common.errors import UserError
from src.common.protobuf import LENGTH_DELIMITED, bytes_of, fields, to_varint, whole_numbers
from src.common.regular_files import read_regular
from src.describe.pca import Pca

SHAPE, FLOAT_LIST, UINT32_LIST = 1, 2, 3


def read_datum(path: str | Path) -> np.ndarray:
    """Read a datum file as a float32 or uint32 array of the shape it names.

    Raises:
        UserError: the file is missing or is not a datum.
    """
    try:
        return parse_datum(read_regular(path))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except ValueError as error:
        raise UserError(f"{path} is not a datum file of the DELF release: {error}") from error


def read_datum_pca(folder: str | Path) -> Pca:
    """Read the PCA of a DELF release: `mean.datum`, `pca_proj_mat.datum`, `pca_variances.datum`.

    Raises:
        UserError: one is missing or damaged, or they do not fit together.
    """
    files = sorted(Path(folder).glob("*.datum"))
    return pca_of_datums({path.stem: read_datum(path) for path in files}, str(folder))


def pca_of_datums(arrays: Mapping[str, np.ndarray], source: str) -> Pca:
    """Return the PCA that the datums of a release make up, by their names without ending.

    Raises:
        UserError: one is missing, or they do not fit together; `source` is named.
    """
    found = {
        part: next((array for name, array in sorted(arrays.items()) if word in name), None)
        for part, word in (("mean", "mean"), ("projection", "proj"), ("variances", "var"))
    }
    missing = [part for part, array in found.items() if array is None]
    if missing:
        raise UserError(
            f"{source} holds no {' and no '.join(missing)} of a PCA among its datum files; "
            "mean.datum, pca_proj_mat.datum and pca_variances.datum belong together"
        )
    mean, variances = (found[part].astype(np.float32).reshape(-1) for part in ("mean", "variances"))
    # One component a row, as the release applies it: (descriptors - mean) · matrixᵀ.
    projection = found["projection"].astype(np.float32)
    fits = projection.ndim == 2 and projection.shape[1] == len(mean)
    if not fits or not 0 < len(projection) <= len(variances):
        raise UserError(
            f"the PCA in {source} does not fit together: mean {mean.shape}, projection "
            f"{projection.shape}, variances {variances.shape}; [C], [D, C] and [D] are wanted"
        )
    return Pca(mean, projection, variances[: len(projection)])


def parse_datum(data: bytes) -> np.ndarray:
    """Return the tensor of a serialised `DatumProto`.

    Raises:
        ValueError: the bytes are no such message, or shape and values do not fit together.
    """
    shape: list[int] = []
    values: np.ndarray | None = None
    for field, content in fields(memoryview(data)):
        if field == SHAPE:
            shape += _varints(content)
        elif field == FLOAT_LIST:
            values = _floats(content)
        elif field == UINT32_LIST:
            values = np.array(_varints(content), dtype=np.uint32)
    if values is None:
        raise ValueError("it holds no values")
    if any(side < 0 for side in shape) or int(np.prod(shape, dtype=object)) != values.size:
        raise ValueError(f"{values.size} values do not fill the shape {shape}")
    return values.reshape(shape)


def datum_bytes(array: np.ndarray) -> bytes:
    """Return an array as a serialised `DatumProto` of floats, as the release writes it."""
    sides = b"".join(to_varint(side) for side in array.shape)
    values = np.ascontiguousarray(array, "<f4").tobytes()
    message = b""
    for field, content in ((SHAPE, sides), (FLOAT_LIST, values)):
        inner = b"\n" + to_varint(len(content)) + content  # packed, in field 1
        message += bytes([field << 3 | LENGTH_DELIMITED]) + to_varint(len(inner)) + inner
    return message


def _varints(message: int | memoryview) -> list[int]:
    """Return field 1 of a message as signed 64-bit numbers."""
    numbers: list[int] = []
    for field, content in fields(bytes_of(message)):
        if field == 1:
            numbers += whole_numbers(content)
    return numbers


def _floats(message: int | memoryview) -> np.ndarray:
    """Return field 1 of a message as float32."""
    parts = (content for field, content in fields(bytes_of(message)) if field == 1)
    content = b"".join(map(bytes_of, parts))
    if len(content) % 4:
        raise ValueError("a list of floats ends in the middle of one")
    return np.frombuffer(content, dtype="<f4").astype(np.float32)
