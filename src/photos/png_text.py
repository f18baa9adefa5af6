"""PNGs with more text in them than Pillow accepts: a scanner's or an editor's notes."""

from __future__ import annotations

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
#: Text that says how a photo is displayed: ImageMagick's EXIF, and XMP.
_KEPT = (b"Raw profile type exif", b"Raw profile type APP1", b"XML:com.adobe.xmp")


def without_text(data: bytes, all_of_it: bool = False) -> bytes:
    """Return a PNG without its texts and colour profile.

    Args:
        data: the file.
        all_of_it: drop also what says how the photo is displayed: it is no photo's, so much it is.
    """
    kept, position = [_SIGNATURE], len(_SIGNATURE)
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 12 + length  # length, kind, content, checksum
        kind, content = data[position + 4 : position + 8], data[position + 8 : position + 40]
        if kind not in _TEXT or (content.startswith(_KEPT) and not all_of_it):
            kept.append(data[position:end])
        position = end
    return b"".join(kept)
