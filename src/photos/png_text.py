"""PNGs with more text in them than Pillow accepts: a scanner's or an editor's notes."""

from __future__ import annotations

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
#: Text that says how a photo is displayed: ImageMagick's EXIF, and XMP.
_KEPT = (b"Raw profile type exif", b"Raw profile type APP1", b"XML:com.adobe.xmp")


def without_text(data: bytes) -> bytes | None:
    """Return a PNG without its texts and colour profile; None for what is none, or has none."""
    if data[:8] != _SIGNATURE:
        return None
    kept, position, dropped = [_SIGNATURE], 8, False
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 12 + length  # length, kind, content, checksum
        kind, content = data[position + 4 : position + 8], data[position + 8 : end - 4]
        if kind in _TEXT and not content.startswith(_KEPT):
            dropped = True
        else:
            kept.append(data[position:end])
        position = end
    return b"".join(kept) if dropped else None
