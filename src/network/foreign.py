"""Other people's weights: what a file is by its content, and its weights in our names."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from src.common.errors import UserError, raise_if_of_system
from src.common.regular_files import open_regular
from src.network.keras_h5 import convert_h5
from src.network.resnet50 import listed
from src.network.tf_bundle import bundle_prefix, is_bundle
from src.network.tf_resnet50 import convert_bundle
from src.network.torch_file import is_safetensors, is_torch
from src.network.torch_resnet50 import convert_torch
from src.network.weights import Weights

READABLE = (
    "weights are read of Keras (.h5, .weights.h5), torchvision (.pth, .safetensors), and "
    "TensorFlow's DELF and DELG (.index with .data-…)"
)
_HDF5 = b"\x89HDF\r\n\x1a\n"
_LFS = b"version https://git-lfs"
_HEAD = 1024
#: How a file begins → what it is.
_BEGINNINGS = (
    (_LFS, "a pointer of Git LFS, not the file itself: run `git lfs pull`"),
    (b"\x1f\x8b", "packed by gzip: unpack it first"),
    (b"BZh", "packed by bzip2: unpack it first"),
    (b"\xfd7zXZ\0", "packed by xz: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "packed by Zstandard: unpack it first"),
    (b"\x93NUMPY", "an array of NumPy"),
    (b"\xff\xd8\xff", "a JPEG photo"),
    (b"\x89PNG", "a PNG picture"),
    (b"%PDF", "a PDF document"),
    (b"TFL3", "a model of TensorFlow Lite"),
)


def convert_weights(path: str | Path) -> Weights:
    """Return the weights of anybody's ResNet50, with an attention where there is one.

    Args:
        path: a file, or for a checkpoint of TensorFlow its prefix, its folder, or a SavedModel.

    Raises:
        UserError: it is missing or damaged, or something else; one line says what it looks like.
    """
    reader = _reader(Path(path))
    if reader is None:
        raise UserError(f"{path} holds no weights that are known here: it is {looks_like(path)}")
    return reader(path)


def _reader(path: Path) -> Callable[[str | Path], Weights] | None:
    """Return what reads a file, by its content; None where nothing does.

    Raises:
        UserError: there is no such file.
    """
    if is_bundle(path):
        return convert_bundle
    if path.is_dir():
        bundle_prefix(path)  # says what is wrong
        return None
    try:
        if not path.exists():
            raise UserError(f"there is no file {path}, nor a TensorFlow checkpoint {path}.index")
        with open_regular(path) as file:
            head = file.read(len(_HDF5))
        if head == _HDF5:
            return convert_h5
        return convert_torch if is_torch(path) or is_safetensors(path) else None
    except (OSError, zipfile.BadZipFile) as error:
        raise_if_of_system(error, path)
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None


def looks_like(path: str | Path) -> str:
    """Say in some words what a file that nothing reads is."""
    path = Path(path)
    with open_regular(path) as file:
        head = file.read(_HEAD)
    size = path.stat().st_size
    if not head:
        return "empty"
    for beginning, words in _BEGINNINGS:
        if head.startswith(beginning):
            return words
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
        if "model.weights.h5" in names:
            return "a whole model of Keras 3 (.keras): unpack model.weights.h5 out of it"
        return f"a zip archive of {listed(names)}"
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it first"
    if head[:1] == b"\x80" and size > 2:
        return "a pickle, but not of PyTorch; save a state dict by torch.save"
    return _text_or_bytes(path, head, size)


def _text_or_bytes(path: Path, head: bytes, size: int) -> str:
    try:
        start = head.decode("utf-8", "strict" if size <= _HEAD else "ignore").lstrip()
    except UnicodeDecodeError:
        start = ""
    is_text = start and sum(not (c.isprintable() or c.isspace()) for c in start) == 0
    is_text = is_text and len(start.encode()) > 0.9 * len(head.lstrip())
    if is_text and start[:1] == "<":
        return "a page of HTML or XML, as servers send instead of a file: get the file again"
    if is_text:
        return f"a text that begins with {' '.join(start.split())[:40]!r}"
    if head[:1] == b"\n" and path.suffix == ".ckpt":
        return "a checkpoint of MindSpore, it seems, which needs no conversion"
    if ".data-" in path.name:
        return "the numbers of a TensorFlow checkpoint, whose .index is missing beside it"
    return f"{size} bytes of no known kind, beginning with {head[:8].hex(' ')}; {READABLE}"
