"""Writing pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from src.common.atomic_files import atomic_path

JPEG_QUALITY = 90


def write_jpeg(path: Path, picture: np.ndarray) -> None:
    """Write a picture, uint8 RGB [h, w, 3], in one step."""
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise RuntimeError(f"OpenCV could not encode {path}")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
