"""Which files may be decoded in this process: those whose headers bound memory and time."""

from __future__ import annotations

from .jpeg_header import JpegHeader

#: More scans than any encoder writes: a file of that many is a known way to burn hours.
MAX_JPEG_SCANS = 200

#: Most pixels of a picture that is decoded here: about half a second, and at most 600 MB (WebP).
#: Sequential JPEG of one scan has no such bound besides `max_pixels`; it takes three bytes per pixel.
_MOST_PX = 32_000_000
#: Most pixels times scans of a JPEG of several: each scan goes over all of them. Seconds at worst.
_MOST_SCAN_PX = 400_000_000
_MOST_FILE_BYTES = 64 << 20
#: Chunks are walked one by one, here and in Pillow. libpng writes 8 kB of pixels to a chunk.
_MOST_PNG_CHUNKS = 20_000


def is_trusted(data: bytes, jpeg: JpegHeader | None) -> bool:
    """Whether a file is an ordinary JPEG, PNG or WebP.

    All else goes to the decoder process: formats whose decoders are slow or have a history of crashes
    (TIFF, JPEG 2000, HEIF, AVIF, JPEG XL, PSD, ICO...), animation, malformed or odd JPEGs (arithmetic
    or lossless coding, more than 8 bits, too many scans), and pictures large enough to need its limits.

    Args:
        data: the file.
        jpeg: its JPEG header where it has a well-formed one.
    """
    if jpeg is not None:
        return _is_trusted_jpeg(data, jpeg)
    if len(data) > _MOST_FILE_BYTES:
        return False
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _is_trusted_png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _is_trusted_webp(data)
    return False


def _is_trusted_jpeg(data: bytes, header: JpegHeader) -> bool:
    pixels = header.width_px * header.height_px
    if header.process not in (0xC0, 0xC1, 0xC2) or header.bits != 8:
        return False
    several = header.process == 0xC2 or header.scans > 1  # coefficients of all the picture are kept
    if several and (pixels > _MOST_PX or pixels * header.scans > _MOST_SCAN_PX):
        return False
    plain = header.components in (1, 3) and not header.multi_picture
    return plain or (pixels <= _MOST_PX and len(data) <= _MOST_FILE_BYTES)


def _is_trusted_png(data: bytes) -> bool:
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[12:16] != b"IHDR" or width * height > _MOST_PX:
        return False
    at = 8
    for _ in range(_MOST_PNG_CHUNKS):
        if at >= len(data) or data[at + 4 : at + 8] == b"IEND":
            return True
        if at > 8 and data[at + 4 : at + 8] == b"IHDR":
            return False  # Pillow would believe the later one
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return False


def _is_trusted_webp(data: bytes) -> bool:
    kind = data[12:16]
    if kind == b"VP8 ":
        width = int.from_bytes(data[26:28], "little") & 0x3FFF
        height = int.from_bytes(data[28:30], "little") & 0x3FFF
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8X":
        if data[20:21] and data[20] & 0x02:  # animation
            return False
        width, height = (int.from_bytes(data[i : i + 3], "little") + 1 for i in (24, 27))
    else:
        return False
    return width * height <= _MOST_PX
