"""Photoshop image resources (Adobe Photoshop File Formats Specification), in JPEG, TIFF and PSD."""

from __future__ import annotations

from .blocks import Blocks

_IPTC, _ICC, _EXIF, _XMP, _IPTC_DIGEST = 0x0404, 0x040F, 0x0422, 0x0424, 0x0425
_SIGNATURES = frozenset({b"8BIM", b"MeSa", b"PHUT", b"AgHg", b"DCSR"})
_MAX_RESOURCES = 2000


def read_resources(data: bytes, blocks: Blocks) -> None:
    """Add the metadata blocks among image resources to `blocks`."""
    position = 0
    for _ in range(_MAX_RESOURCES):
        if data[position : position + 4] not in _SIGNATURES or position + 12 > len(data):
            return
        kind = int.from_bytes(data[position + 4 : position + 6], "big")
        name_bytes = data[position + 6] + 1
        position += 6 + name_bytes + name_bytes % 2
        size = int.from_bytes(data[position : position + 4], "big")
        value = data[position + 4 : position + 4 + size]
        position += 4 + size + size % 2
        if len(value) < size:
            return
        if kind == _IPTC:
            blocks.add_iptc(value)
        elif kind == _IPTC_DIGEST:
            blocks.iptc_digest = value
        elif kind == _XMP:
            blocks.add_xmp(value)
        elif kind == _EXIF:
            blocks.add_exif(value)
        elif kind == _ICC:
            blocks.add_icc(value)


def read_psd(data: bytes) -> Blocks:
    """The metadata blocks of a PSD or PSB file."""
    blocks = Blocks()
    if data[:4] != b"8BPS":
        return blocks
    start = 30 + int.from_bytes(data[26:30], "big")
    size = int.from_bytes(data[start : start + 4], "big")
    read_resources(data[start + 4 : start + 4 + size], blocks)
    return blocks
