"""A page on which a person draws a box around what is to be looked for in a query photo."""

from __future__ import annotations

import html
import shlex
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from src.common.atomic_files import PathLike, atomic_path, write_text
from src.photos.reading import read_image

PICTURE_NAME = "query.jpg"
PAGE_NAME = "box.html"
#: Longest side of the copy of the photo on the page.
SHOWN_SIDE = 1600

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Box of {title}</title>
<style>
body {{ margin: 0 auto; max-width: 100rem; padding: 1rem; color: #222; background: #fafafa;
  font: 1rem/1.5 system-ui, sans-serif; }}
#photo {{ position: relative; display: inline-block; touch-action: none; cursor: crosshair; }}
#photo img {{ display: block; max-width: 100%; height: auto; user-select: none; }}
#box {{ position: absolute; border: 3px solid #ffd600; box-shadow: 0 0 0 1px #222; display: none; }}
pre {{ padding: .6rem; background: #fff; border: 1px solid #d9d9d9; white-space: pre-wrap;
  overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>What is to be looked for?</h1>
<p>Draw a box on the photo with the mouse or a finger, then run this command:</p>
<pre id="command">{command}</pre>
<p><button id="copy" type="button">Copy the command</button></p>
<div id="photo"><img src="{picture}" alt="{title}" draggable="false"><div id="box"></div></div>
<script>
const photo = document.getElementById("photo"), box = document.getElementById("box");
const command = document.getElementById("command"), begin = command.textContent;
const width = {width}, height = {height};
let start = null;
function place(event) {{
  const frame = photo.getBoundingClientRect();
  const share = (at, from, size) => Math.min(Math.max((at - from) / size, 0), 1);
  return [share(event.clientX, frame.left, frame.width),
          share(event.clientY, frame.top, frame.height)];
}}
photo.addEventListener("pointerdown", event => {{
  start = place(event);
  if (event.isTrusted) photo.setPointerCapture(event.pointerId);
}});
photo.addEventListener("pointermove", event => {{
  if (start === null) return;
  const end = place(event);
  const [left, top] = [0, 1].map(i => Math.min(start[i], end[i]));
  const [right, bottom] = [0, 1].map(i => Math.max(start[i], end[i]));
  Object.assign(box.style, {{ display: "block", left: `${{100 * left}}%`, top: `${{100 * top}}%`,
    width: `${{100 * (right - left)}}%`, height: `${{100 * (bottom - top)}}%` }});
  const numbers = [left * width, top * height, (right - left) * width, (bottom - top) * height];
  command.textContent = `${{begin}} --box=${{numbers.map(Math.round).join(",")}}`;
}});
for (const name of ["pointerup", "pointercancel"]) {{
  photo.addEventListener(name, () => {{ start = null; }});
}}
document.getElementById("copy").addEventListener("click", () => {{
  navigator.clipboard.writeText(command.textContent);
}});
</script>
</body>
</html>
"""


def write_box_page(folder: PathLike, photo: PathLike, command: Sequence[str]) -> Path:
    """Write a page that shows a photo and the command that searches with a box drawn on it.

    Args:
        folder: for the page and a copy of the photo as it is read here, upright.
        photo: the query photo.
        command: the words of the command without the box.

    Returns:
        The page.

    Raises:
        UnreadableImageError: the photo cannot be read.
    """
    image = read_image(photo)
    height, width = image.shape[:2]
    scale = min(1.0, SHOWN_SIDE / max(height, width))
    side = (max(1, round(width * scale)), max(1, round(height * scale)))
    shown = cv2.resize(image, side, interpolation=cv2.INTER_AREA)
    _write_jpeg(Path(folder, PICTURE_NAME), shown)
    text = _PAGE.format(
        title=html.escape(Path(photo).name.encode("utf-8", "replace").decode()),
        command=html.escape(shlex.join(command).encode("utf-8", "replace").decode()),
        picture=PICTURE_NAME,
        width=width,
        height=height,
    )
    page = Path(folder, PAGE_NAME)
    write_text(page, text)
    return page


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    with atomic_path(path) as temporary:
        Path(temporary).write_bytes(encoded.tobytes())
