"""Metadata chunks of a PNG file (W3C PNG, third edition), decompressed within bounds."""

from __future__ import annotations

import binascii
import re
import zlib

from .blocks import MAX_EXIF_BYTES, MAX_ICC_BYTES, MAX_TEXT_BYTES, MAX_TEXTS, MAX_XMP_BYTES, Blocks
from .photoshop import read_resources
from .text import decode_text

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

#: libpng writes pixels in chunks of 8 KiB; a file of more chunks than this is cut off here.
_MAX_CHUNKS = 100_000

#: Most bytes decompressed over all chunks of a file.
_MAX_INFLATED_BYTES = 16 << 20

# ImageMagick's way of putting other formats' profiles into text: name, size, hexadecimal digits.
_RAW_PROFILE = re.compile(r"Raw profile type (exif|APP1|xmp|iptc|8bim)", re.IGNORECASE)


def read_png(data: bytes) -> Blocks:
    """The metadata blocks of a PNG file, before and after its pixels."""
    blocks = Blocks()
    if data[:8] != _SIGNATURE:
        return blocks
    position, size, budget = 8, len(data), _MAX_INFLATED_BYTES
    for _ in range(_MAX_CHUNKS):
        kind = data[position + 4 : position + 8]
        if len(kind) < 4 or kind == b"IEND":
            break
        start = position + 8
        end = start + int.from_bytes(data[position : position + 4], "big")
        position = end + 4
        if kind == b"IDAT":
            continue
        if end > size:
            break
        if kind == b"tEXt":
            key, _, value = data[start : min(end, start + 80 + MAX_TEXT_BYTES)].partition(b"\0")
            _add_text(blocks, key, value)
        elif kind == b"zTXt":
            key, _, value = data[start:end].partition(b"\0")
            value = _inflated(value[1:], min(budget, MAX_TEXT_BYTES))
            budget -= len(value)
            _add_text(blocks, key, value)
        elif kind == b"iTXt":
            budget -= _read_international(data[start:end], budget, blocks)
        elif kind == b"eXIf":
            blocks.add_exif(data[start:end])
        elif kind == b"caBX":
            blocks.add_jumbf(data[start:end])
        elif kind == b"iCCP":
            name, _, value = data[start:end].partition(b"\0")
            blocks.icc_name = name[:79].decode("latin-1")
            profile = _inflated(value[1:], min(budget, MAX_ICC_BYTES))
            budget -= len(profile)
            blocks.add_icc(profile)
    return blocks


def _read_international(chunk: bytes, budget: int, blocks: Blocks) -> int:
    """An iTXt chunk: key, compression flag and method, language, translated key, UTF-8 text.

    Returns:
        Number of bytes decompressed.
    """
    key, _, rest = chunk.partition(b"\0")
    compressed = rest[:1] == b"\1"
    _, _, rest = rest[2:].partition(b"\0")
    _, _, value = rest.partition(b"\0")
    inflated = 0
    if compressed:
        value = _inflated(value, min(budget, MAX_XMP_BYTES))
        inflated = len(value)
    if key == b"XML:com.adobe.xmp":
        blocks.add_xmp(value)
    else:
        _add_text(blocks, key, value)
    return inflated


def _add_text(blocks: Blocks, key: bytes, value: bytes) -> None:
    name = key[:79].decode("latin-1")
    profile = _RAW_PROFILE.fullmatch(name)
    if profile:
        _add_raw_profile(profile.group(1).lower(), value, blocks)
    elif name and len(blocks.texts) < MAX_TEXTS:
        blocks.add_text(name, decode_text(value[:MAX_TEXT_BYTES]))


def _add_raw_profile(kind: str, value: bytes, blocks: Blocks) -> None:
    lines = value[: 2 * MAX_EXIF_BYTES].strip().split(b"\n", 2)
    if len(lines) < 3:
        return
    try:
        profile = binascii.unhexlify(lines[2].translate(None, b" \r\n\t"))
    except binascii.Error:
        return
    if kind == "xmp" or profile.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
        blocks.add_xmp(profile.removeprefix(b"http://ns.adobe.com/xap/1.0/\0"))
    elif kind in ("exif", "app1"):
        blocks.add_exif(profile)
    else:
        if profile[:4] == b"8BIM":
            read_resources(profile, blocks)
        else:
            blocks.add_iptc(profile)


def _inflated(value: bytes, max_bytes: int) -> bytes:
    """At most `max_bytes` of decompressed data; what came out before any damage."""
    if max_bytes <= 0:
        return b""
    try:
        return zlib.decompressobj().decompress(value, max_bytes)
    except zlib.error:
        return b""
