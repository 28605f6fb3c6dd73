"""Comment and application extensions of a GIF file (GIF89a; XMP part 3 for its packet)."""

from __future__ import annotations

from .blocks import MAX_JUMBF_BYTES, MAX_TEXT_BYTES, Blocks

#: Pixels come in sub-blocks of at most 255 bytes; a file of more than this is cut off here.
_MAX_SUB_BLOCKS = 400_000


def read_gif(data: bytes) -> Blocks:
    """The metadata blocks of a GIF file."""
    blocks = Blocks()
    if data[:6] not in (b"GIF87a", b"GIF89a") or len(data) < 13:
        return blocks
    position, budget = 13 + _color_table_bytes(data[10]), _MAX_SUB_BLOCKS
    while position + 1 < len(data) and budget > 0:
        introducer, label = data[position], data[position + 1]
        if introducer == 0x2C and position + 9 < len(data):
            position, count = _skip(data, position + 11 + _color_table_bytes(data[position + 9]), budget)
        elif introducer == 0x21:
            start = position + 2
            position, count = _skip(data, start, budget)
            if label == 0xFE:
                blocks.add_comment(_joined(data, start, position, MAX_TEXT_BYTES))
            elif label == 0xFF and data[start : start + 1] == b"\x0b":
                _read_application(data, start, position, blocks)
        else:
            break
        budget -= count
    return blocks


def _read_application(data: bytes, start: int, end: int, blocks: Blocks) -> None:
    name, body = data[start + 1 : start + 12], start + 12
    if name == b"XMP DataXMP":
        # The packet itself stands where sub-blocks would; a tail of 258 bytes brings readers back in step.
        blocks.add_xmp(data[body : max(body, end - 258)])
    elif name == b"ICCRGBG1012":
        blocks.add_icc(_joined(data, body, end, MAX_JUMBF_BYTES))
    elif name[:8] == b"C2PA_GIF":
        blocks.add_jumbf(_joined(data, body, end, MAX_JUMBF_BYTES))


def _color_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip(data: bytes, position: int, budget: int) -> tuple[int, int]:
    """The position after the sub-blocks that begin here, and how many there were."""
    size = len(data)
    for count in range(budget):
        if position >= size:
            return size, count + 1
        length = data[position]
        position += 1 + length
        if not length:
            return position, count + 1
    return size, budget


def _joined(data: bytes, start: int, end: int, max_bytes: int) -> bytes:
    """The content of the sub-blocks from `start` on, without their length bytes."""
    parts, total = [], 0
    while start < end and data[start] and total < max_bytes:
        parts.append(data[start + 1 : start + 1 + data[start]])
        total += data[start]
        start += 1 + data[start]
    return b"".join(parts)
