"""Bits per channel as the file stores them; Pillow's mode alone hides 10, 12 and most 16-bit files."""

from __future__ import annotations

import re

from PIL import Image

from .jpeg_xl import jpeg_xl_bits

#: How far into a file its header is looked for, in bytes.
_HEADER_BYTES = 1 << 16
_BITS_OF_MODE = {"1": 1, "I": 32, "F": 32, "I;16": 16, "I;16B": 16, "I;16L": 16, "I;16N": 16}


#: Of a portable grey or pixel map: width, height and highest value, with comments between them.
_PNM_HIGHEST = re.compile(rb"P[2356]" + 2 * rb"(?:\s|#[^\n]*\n)+\d+" + rb"(?:\s|#[^\n]*\n)+(\d{1,5})\s")


def stored_bits(image: Image.Image, data: bytes) -> int:
    """Bits per channel of an opened image, 1..64.

    The colors of a palette have 8, whatever the size of an index.

    Args:
        image: opened, not necessarily loaded.
        data: the file it was opened from.

    Returns:
        what the header says where it can be read, else the depth of Pillow's mode.
    """
    by_mode = _BITS_OF_MODE.get(image.mode, 8)
    if image.mode in ("P", "PA"):
        return by_mode
    bits = _bits_in_header(image, data)
    return bits if bits is not None and 1 <= bits <= 64 else by_mode


def _bits_in_header(image: Image.Image, data: bytes) -> int | None:
    head = data[:_HEADER_BYTES]
    match image.format:
        case "JPEG" | "MPO":
            return getattr(image, "bits", None)
        case "PNG":
            return data[24] if len(data) > 24 else None
        case "TIFF":
            bits = image.tag_v2.get(258, 1)  # the standard's default is a bilevel picture
            depths = bits if isinstance(bits, tuple) else (bits,)
            return max((b for b in depths if isinstance(b, int)), default=None)
        case "HEIF":
            bits = image.info.get("bit_depth")
            return bits if isinstance(bits, int) else None
        case "AVIF":
            # AV1CodecConfigurationBox: marker and version, profile and level, then tier, high_bitdepth, twelve_bit
            at = head.find(b"av1C")
            flags = head[at + 6] if 0 <= at < len(head) - 6 else 0
            return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
        case "JPEG2000":
            # SIZ: marker, length, capabilities, eight sizes, component count, then Ssiz of each component
            at = data.find(b"\xff\x4f\xff\x51")  # boxes of any size may come before it
            return (data[at + 42] & 0x7F) + 1 if 0 <= at < len(data) - 42 else None
        case "PSD":
            return int.from_bytes(head[22:24], "big")
        case "SGI":
            return 8 * head[3] if len(head) > 3 else None
        case "JXL":
            return jpeg_xl_bits(data)
        case "PPM":
            highest = _PNM_HIGHEST.match(head)
            return int(highest[1]).bit_length() if highest else None
    return None
