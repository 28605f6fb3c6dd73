"""JPEG XL: its size read from the header, its pixels by the optional package pillow-jxl-plugin."""

from __future__ import annotations

import io

from PIL import Image

from .errors import TruncatedImageError, UnreadableImageError, UnsupportedFormatError

_CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
#: Width over height for the ratios 1..7 of the header.
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_MOST_BOXES = 1000
_MOST_HEADER_BYTES = 64


def is_jpeg_xl(data: bytes) -> bool:
    return data[:2] == _CODESTREAM or data[:12] == _CONTAINER


def open_jpeg_xl(data: bytes) -> Image.Image:
    """The opened image; the plugin has decoded it by then, and turned it as the file asks.

    Raises:
        UnsupportedFormatError: the plugin is not installed; the message gives the pip command.
    """
    try:
        from pillow_jxl import JpegXLImagePlugin
    except ImportError as e:
        raise UnsupportedFormatError(
            "JPEG XL needs an optional package: pip install pillow-jxl-plugin (or 'zcurate[jxl]')"
        ) from e
    JpegXLImagePlugin.DECODE_THREADS = 0
    return JpegXLImagePlugin.JXLImageFile(io.BytesIO(data))


def jpeg_xl_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels, from the SizeHeader (ISO/IEC 18181-1, section D.1).

    Raises:
        TruncatedImageError, UnreadableImageError: there is none.
    """
    return _size(_header(data))


def jpeg_xl_bits(data: bytes) -> int | None:
    """Bits per sample, from the ImageMetadata that follows the size (section D.2).

    None for a picture with an embedded preview: what comes before the depth is then not read here.
    """
    bits = _header(data)
    _size(bits)
    if bits.take(1):  # all default
        return 8
    if bits.take(1):  # extra fields
        bits.take(3)  # orientation
        if bits.take(1):
            _size(bits)  # intrinsic
        if bits.take(1):
            return None
        if bits.take(1):  # animation: ticks per second as a fraction, loops, time codes
            for widths in ((0, 0, 10, 30), (0, 0, 8, 10), (0, 3, 16, 32)):
                bits.take(widths[bits.take(2)])
            bits.take(1)
    known = (32, 16, 24) if bits.take(1) else (8, 10, 12)  # float or integer samples
    selected = bits.take(2)
    return known[selected] if selected < 3 else bits.take(6) + 1


def _header(data: bytes) -> _BitReader:
    start = _codestream(data) + 2
    return _BitReader(data[start : start + _MOST_HEADER_BYTES])


def _size(bits: _BitReader) -> tuple[int, int]:
    small = bits.take(1)
    height = _dimension(bits, small)
    ratio = bits.take(3)
    if ratio:
        wide, high = _RATIOS[ratio]
        return height * wide // high, height
    return _dimension(bits, small), height


class _BitReader:
    """Bits of a codestream, least significant first."""

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise TruncatedImageError("JPEG XL: the file ends inside its header")
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        self._left -= count
        return value


def _dimension(bits: _BitReader, small: int) -> int:
    if small:
        return 8 * (bits.take(5) + 1)
    return bits.take((9, 13, 18, 30)[bits.take(2)]) + 1


def _codestream(data: bytes) -> int:
    """Where the codestream starts: in a container, inside its first box of one."""
    if data[:2] == _CODESTREAM:
        return 0
    at = 0
    for _ in range(_MOST_BOXES):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        start = at + 8
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        if kind == b"jxlp":
            start += 4  # number of the part
        if kind in (b"jxlc", b"jxlp"):
            if data[start : start + 2] != _CODESTREAM:
                raise UnreadableImageError("JPEG XL: its codestream has no signature")
            return start
        if size < 8 or len(kind) < 4:
            break
        at += size
    raise UnreadableImageError("JPEG XL: no codestream in the container")
