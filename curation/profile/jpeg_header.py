"""The facts in a JPEG file's marker segments, read without decoding (ITU-T T.81 annex B)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SOI, _SOS, _EOI = 0xD8, 0xDA, 0xD9
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
#: A marker that is followed by its length, or the end of the picture: none of those within a scan.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_AFTER_FILL = re.compile(rb"[^\xff]")
#: Segments looked at. Cameras write tens, the largest profiles and metadata some hundreds.
_MOST_SEGMENTS = 4096
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


@dataclass(frozen=True)
class JpegHeader:
    """Attributes:
    process: low byte of the SOF marker: 0xC0 baseline, 0xC1 extended, 0xC2 progressive.
    bits: sample precision, in bits.
    width_px, height_px: as stored, before orientation.
    components: number of color components.
    exif: payload of the first Exif segment, starting at its TIFF header; empty if none.
    icc: ICC profile put together from its segments; empty if none.
    multi_picture: has an MPF index (several pictures in one file).
    scans: 1 where the first scan holds the whole picture; else all up to the end of the picture.
    """

    process: int
    bits: int
    width_px: int
    height_px: int
    components: int
    exif: bytes
    icc: bytes
    multi_picture: bool
    scans: int


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Read the segments up to the first scan; None when they are not well formed."""
    if data[:2] != b"\xff\xd8":
        return None
    position, frame, exif, multi_picture = 2, None, b"", False
    icc_chunks: dict[int, bytes] = {}
    for _ in range(_MOST_SEGMENTS):
        position = data.find(b"\xff", position)
        after_fill = _AFTER_FILL.search(data, position) if position >= 0 else None
        if after_fill is None:
            return None
        position = after_fill.end()
        marker = data[position - 1]
        if marker in _STANDALONE or marker in (0x00, _SOI):
            continue
        if marker in (_SOS, _EOI):
            in_first_scan = data[position + 2] if marker == _SOS and position + 2 < len(data) else 0
            break
        length = int.from_bytes(data[position : position + 2], "big")
        body = data[position + 2 : position + length]
        if length < 2 or len(body) != length - 2:
            return None
        position += length
        if marker in _START_OF_FRAME:
            if len(body) < 6:
                return None
            frame = (marker, body[0], body[3:5], body[1:3], body[5])
        elif marker == 0xE1 and not exif and body[:6] == b"Exif\0\0":
            exif = body[6:]
        elif marker == 0xE2 and body[:12] == b"ICC_PROFILE\0" and len(body) > 14:
            icc_chunks[body[12]] = body[14:]
        elif marker == 0xE2 and body[:4] == b"MPF\0":
            multi_picture = True
    else:
        return None
    if frame is None:
        return None
    process, bits, width, height, components = frame
    return JpegHeader(
        process=process,
        bits=bits,
        width_px=int.from_bytes(width, "big"),
        height_px=int.from_bytes(height, "big"),
        components=components,
        exif=exif,
        icc=b"".join(icc_chunks[i] for i in sorted(icc_chunks)),
        multi_picture=multi_picture,
        # libjpeg reads no further scan of a sequential picture whose first one has all its components
        scans=1 if process != 0xC2 and in_first_scan >= components else _scans(data, position - 2),
    )


def _scans(data: bytes, position: int) -> int:
    """Scans from a marker on to the end of the picture. What is within segments or behind it, a film perhaps, does not count."""
    scans = 0
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            return scans
        position, marker = found.end(), data[found.end() - 1]
        if marker == _EOI:
            return scans
        scans += marker == _SOS
        position += int.from_bytes(data[position : position + 2], "big")
    return data.count(b"\xff\xda")  # nobody writes so many: take it for the worst


def exif_orientation(exif: bytes) -> int:
    """The Orientation tag (0x0112) of IFD0, 1..8; 1 when absent or out of range.

    Args:
        exif: Exif data from its TIFF header on, with or without the `Exif\\0\\0` prefix.
    """
    if exif[:6] == b"Exif\0\0":
        exif = exif[6:]
    if exif[:4] == b"II*\0":
        order = "little"
    elif exif[:4] == b"MM\0*":
        order = "big"
    else:
        return 1
    ifd = int.from_bytes(exif[4:8], order)
    for i in range(int.from_bytes(exif[ifd : ifd + 2], order)):
        entry = exif[ifd + 2 + 12 * i : ifd + 14 + 12 * i]
        if len(entry) < 12:
            break
        if int.from_bytes(entry[:2], order) == 0x0112:
            # SHORT by the standard; some writers use LONG
            size = 4 if int.from_bytes(entry[2:4], order) == 4 else 2
            value = int.from_bytes(entry[8 : 8 + size], order)
            return value if 1 <= value <= 8 else 1
    return 1
