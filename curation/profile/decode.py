"""One safe decode of untrusted bytes: what every pixel signal is measured on.

Ordinary JPEG, PNG and WebP files are decoded in this process, all others by a process of their own
(`isolated.py`) with limits on memory and time; `trust.py` says which is which.
"""

from __future__ import annotations

import numpy as np
import simplejpeg

from .color import pending_profile
from .decoded import Decoded, DecodeLimits, oriented
from .errors import (
    EmptyImageError,
    ImageTooLargeError,
    TruncatedImageError,
    UnreadableImageError,
)
from .jpeg_header import JpegHeader, exif_orientation, read_jpeg_header
from .pillow_decode import FORMATS, check_size, opened
from .trust import MAX_JPEG_SCANS, is_trusted

__all__ = ["FORMATS", "DecodeLimits", "Decoded", "decode", "decode_here", "oriented"]


def decode(data: bytes, limits: DecodeLimits = DecodeLimits()) -> Decoded:  # noqa: B008 (frozen)
    """Decode the first picture of an image file.

    Args:
        data: the whole file. Nothing about it is trusted.
        limits: what to refuse.

    Raises:
        UnsupportedFormatError: not a format of `FORMATS`, HEIF or JPEG XL.
        UnreadableImageError: corrupt, or a variant that is not read.
        EmptyImageError, DecoderCrashError: kinds of it.
        TruncatedImageError: the file ends too early.
        ImageTooLargeError: over `max_pixels` or `max_file_bytes`.
        DecompressionBombError: so, and far larger than the file can account for.
        DecodeTimeoutError, DecodeMemoryError: over `decode_s`, `memory_bytes`.
    """
    if not data:
        raise EmptyImageError("the file is empty")
    if len(data) > limits.max_file_bytes:
        raise ImageTooLargeError(
            f"{len(data):,} bytes is over max_file_bytes = {limits.max_file_bytes:,}; raise it to accept the file"
        )
    header = read_jpeg_header(data)
    if is_trusted(data, header):
        return decode_here(data, limits, header)
    from .isolated import decode_isolated

    return decode_isolated(data, limits)


def decode_here(data: bytes, limits: DecodeLimits, header: JpegHeader | None = None) -> Decoded:
    """`decode` in this process, whatever the file; only pixels are limited.

    Args:
        header: what `read_jpeg_header` says of the data, if it was asked.
    """
    plain = decode_plain_jpeg(data, limits, header or read_jpeg_header(data))
    if plain is not None:
        return plain
    with opened(data, limits) as (facts, height, width, strips):
        pixels = np.empty((height, width, 3), np.uint8)
        top = 0
        for strip in strips:
            pixels[top : top + len(strip)] = strip
            top += len(strip)
    return Decoded(pixels=pixels, **facts)


def decode_plain_jpeg(data: bytes, limits: DecodeLimits, header: JpegHeader | None) -> Decoded | None:
    """8-bit grey or three-component Huffman JPEG through libjpeg-turbo; None for the rest."""
    if header is None:
        return None
    check_size(header.width_px, header.height_px, limits, len(data))
    if header.scans > MAX_JPEG_SCANS:
        raise UnreadableImageError(f"JPEG with {header.scans} scans, more than {MAX_JPEG_SCANS}")
    ordinary = header.process in (0xC0, 0xC1, 0xC2) and header.bits == 8 and header.components in (1, 3)
    if not ordinary or header.multi_picture or not (header.width_px and header.height_px):
        return None
    mode = "L" if header.components == 1 else "RGB"
    try:
        pixels = simplejpeg.decode_jpeg(data, "gray" if mode == "L" else "rgb", strict=True)
    except ValueError as e:
        message = str(e)
        if "remature end" in message:
            raise TruncatedImageError(f"JPEG: {message}") from e
        if "bad Huffman" in message or "instead of RST" in message:
            raise UnreadableImageError(f"JPEG: {message}") from e
        return None  # harmless by libjpeg's own account, e.g. bytes between segments: Pillow reads it
    if mode == "L":
        pixels = pixels[..., 0]
    orientation = exif_orientation(header.exif)
    return Decoded(
        pixels=pixels,
        icc=pending_profile(header.icc, mode),
        turn=orientation,
        format="JPEG",
        mode=mode,
        bit_depth=header.bits,
        frames=1,
        orientation=orientation,
        has_icc=bool(header.icc),
        has_alpha=False,
    )
