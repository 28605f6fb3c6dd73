"""Metadata chunks of a WebP file (RFC 9649)."""

from __future__ import annotations

from .blocks import Blocks

#: An animation has one chunk per frame; a file of more chunks than this is cut off here.
_MAX_CHUNKS = 100_000


def read_webp(data: bytes) -> Blocks:
    """The metadata blocks of a WebP file."""
    blocks = Blocks()
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return blocks
    position = 12
    for _ in range(_MAX_CHUNKS):
        kind = data[position : position + 4]
        if len(kind) < 4:
            break
        start = position + 8
        size = int.from_bytes(data[position + 4 : start], "little")
        position = start + size + size % 2
        if kind == b"EXIF":
            blocks.add_exif(data[start : start + size])
        elif kind == b"XMP ":
            blocks.add_xmp(data[start : start + size])
        elif kind == b"ICCP":
            blocks.add_icc(data[start : start + size])
        elif kind == b"C2PA":
            blocks.add_jumbf(data[start : start + size])
    return blocks
