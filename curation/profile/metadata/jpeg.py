"""Metadata segments of a JPEG file (ITU-T T.81 annex B; Exif 2.32; XMP part 3; ISO 19566-5 annex D)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .blocks import MAX_EXIF_BYTES, MAX_ICC_BYTES, MAX_XMP_BYTES, Blocks
from .photoshop import read_resources

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_ICC = b"ICC_PROFILE\0"
_SOS, _EOI, _COM, _APP1, _APP2, _APP11, _APP13 = 0xDA, 0xD9, 0xFE, 0xE1, 0xE2, 0xEB, 0xED
_STANDALONE = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
_FILL = re.compile(rb"\xff+")

#: Fill bytes or rubbish between two segments beyond this ends the search.
_MAX_GAP_BYTES = 1 << 16

#: A file of nothing but tiny segments is cut off here.
_MAX_SEGMENTS = 20_000

#: Most different extended XMP packets; one is usual.
_MAX_EXTENDED = 8

#: Most segments of one JUMBF box; each holds up to 64 KiB.
_MAX_BOX_PARTS = 1000


def read_jpeg(data: bytes) -> Blocks:
    """The metadata blocks before the first scan of a JPEG file."""
    blocks = Blocks()
    if data[:2] != b"\xff\xd8":
        return blocks
    photoshop, icc, boxes, extended = bytearray(), {}, {}, {}
    for marker, start, end in _segments(data):
        if marker == _APP1:
            if data.startswith(b"Exif\0", start):
                _add_exif_part(data[start + 6 : end], blocks)
            elif data.startswith(_XMP, start):
                blocks.add_xmp(data[start + len(_XMP) : end])
            elif data.startswith(_EXTENDED_XMP, start):
                _add_extended(extended, data[start + len(_EXTENDED_XMP) : end])
        elif marker == _APP2:
            if data.startswith(_ICC, start) and end - start > 14:
                icc.setdefault(data[start + 12], data[start + 14 : end])
        elif marker == _APP11:
            _add_box_part(boxes, data[start:end])
        elif marker == _APP13:
            if data.startswith(_PHOTOSHOP, start):
                photoshop += data[start + len(_PHOTOSHOP) : end]
        else:
            blocks.add_comment(data[start:end])
    if photoshop:
        read_resources(bytes(photoshop), blocks)
    if icc:
        blocks.add_icc(b"".join(icc[i] for i in sorted(icc))[:MAX_ICC_BYTES])
    for parts in boxes.values():
        blocks.add_jumbf(b"".join(parts[i] for i in sorted(parts)))
    _join_extended(extended, blocks)
    return blocks


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the segments that may hold metadata, up to the first scan."""
    position, size = 2, len(data)
    for _ in range(_MAX_SEGMENTS):
        position = data.find(b"\xff", position, position + _MAX_GAP_BYTES)
        if position < 0:
            return
        position = _FILL.match(data, position, position + _MAX_GAP_BYTES).end()
        if position + 3 > size:
            return
        marker = data[position]
        position += 1
        if marker in _STANDALONE:
            continue
        if marker in (_SOS, _EOI):
            return
        end = position + (data[position] << 8 | data[position + 1])
        if end < position + 2 or end > size:
            return
        if marker in (_APP1, _APP2, _APP11, _APP13, _COM):
            yield marker, position + 2, end
        position = end


def _add_exif_part(part: bytes, blocks: Blocks) -> None:
    """An Exif segment; one without a TIFF header goes on where the one before it ended."""
    if blocks.exif and part[:4] not in (b"II*\0", b"MM\0*"):
        if len(blocks.exif[-1]) + len(part) <= MAX_EXIF_BYTES:
            blocks.exif[-1] += part
    else:
        blocks.add_exif(part)


def _add_box_part(boxes: dict[bytes, dict[int, bytes]], segment: bytes) -> None:
    """A part of a JUMBF box: every part repeats the box header, only the first keeps it."""
    if segment[:2] != b"JP" or len(segment) < 16:
        return
    instance, sequence = segment[2:4] + segment[8:16], int.from_bytes(segment[4:8], "big")
    parts = boxes.setdefault(instance, {})
    header = 24 if segment[8:12] == b"\0\0\0\1" else 16  # a length of 1 says that 64 bits of it follow
    if len(parts) < _MAX_BOX_PARTS:
        parts.setdefault(sequence, segment[8:] if not parts else segment[header:])


def _add_extended(extended: dict[bytes, dict[int, bytes]], segment: bytes) -> None:
    """A part of an extended XMP packet: digest (32), full length (4), offset (4), bytes."""
    known = segment[:32] in extended or len(extended) < _MAX_EXTENDED
    if known and len(segment) > 40 and int.from_bytes(segment[32:36], "big") <= MAX_XMP_BYTES:
        extended.setdefault(segment[:32], {}).setdefault(int.from_bytes(segment[36:40], "big"), segment[40:])


def _join_extended(extended: dict[bytes, dict[int, bytes]], blocks: Blocks) -> None:
    """Join the parts of the packet that the main packet names by its digest; drop strangers."""
    for digest, parts in extended.items():
        if any(digest in packet for packet in blocks.xmp[:1]):
            blocks.add_xmp(b"".join(parts[i] for i in sorted(parts)))
