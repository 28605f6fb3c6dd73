"""Quality a JPEG was saved with, from its quantization tables, without decoding (ITU-T T.81)."""

from __future__ import annotations

import struct
from functools import lru_cache

import numpy as np

# Tables K.1 and K.2 of ITU-T T.81, in natural order.
# fmt: off
_LUMINANCE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61,     12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,     14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,   24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99])
_CHROMINANCE = np.array([
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *[99] * 32])
_ZIGZAG = np.array([
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63])
# fmt: on

_SOS, _EOI, _DQT = 0xDA, 0xD9, 0xDB
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


def _scaled(table: np.ndarray, quality: int, most: int) -> np.ndarray:
    """The Annex K table as libjpeg scales it for a quality of 1..100 (`jpeg_set_quality`)."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((table * scale + 50) // 100, 1, most)


# [100, 64], row k for quality k + 1; and the mean log divisor, which falls as quality rises.
_TABLES = np.stack([_scaled(_LUMINANCE, q, 255) for q in range(1, 101)])
#: As of `force_baseline=FALSE`, which takes divisors of more than 8 bits.
_DEEP_TABLES = np.stack([_scaled(_LUMINANCE, q, 32767) for q in range(1, 101)])
_LEVELS = np.log(_TABLES).mean(axis=1)


def jpeg_quality(data: bytes) -> float | None:
    """Estimated quality on the scale of libjpeg, from the table of the first (luminance) component.

    A table that libjpeg and its kin (Pillow, OpenCV, libjpeg-turbo) write gives exactly the quality
    that was asked for. Any other (cameras, Photoshop, mozjpeg) gives the quality, with a fraction, at
    which libjpeg's table is as coarse by geometric mean: finer tables never give a lower figure.

    Args:
        data: the file, or its beginning.

    Returns:
        1 .. 100, or None: no JPEG, lossless, or no table before the first scan.
    """
    table = _luminance_table(data)
    return None if table is None else _quality(table)


@lru_cache(maxsize=256)
def _quality(table: tuple[int, ...]) -> float | None:
    values = np.empty(64)
    values[_ZIGZAG] = table
    if values.min() < 1:
        return None
    for tables in (_TABLES, _DEEP_TABLES):
        exact = np.flatnonzero((values == tables).all(axis=1))
        if len(exact):
            return float(exact[0] + 1)
    return float(np.interp(np.log(values).mean(), _LEVELS[::-1], np.arange(100, 0, -1)))


def _luminance_table(data: bytes) -> tuple[int, ...] | None:
    """The 64 divisors of the first component, in zigzag order."""
    if data[:2] != b"\xff\xd8":
        return None
    tables: dict[int, tuple[int, ...]] = {}
    wanted: int | None = None
    position = 2
    while (position := data.find(b"\xff", position)) >= 0:
        marker = data[position + 1] if position + 1 < len(data) else _EOI
        if marker in (0xFF, 0x00) or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in (_SOS, _EOI) or length < 2:
            break
        if marker == _DQT:
            tables.update(_read_tables(data[position + 4 : position + 2 + length]))
        elif marker in _START_OF_FRAME and length >= 11 and position + 13 <= len(data):
            wanted = data[
                position + 12
            ]  # after precision, height, width, count, and the component's id, sampling
        position += 2 + length
    return None if wanted is None else tables.get(wanted)


def _read_tables(body: bytes) -> dict[int, tuple[int, ...]]:
    """Tables of one DQT segment: destination -> divisors. A damaged rest is left out."""
    tables, position = {}, 0
    while position < len(body):
        wide, destination = body[position] >> 4, body[position] & 15
        size = 128 if wide else 64
        values = body[position + 1 : position + 1 + size]
        if len(values) < size:
            break
        tables[destination] = struct.unpack(">64H", values) if wide else tuple(values)
        position += 1 + size
    return tables
