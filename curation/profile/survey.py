"""One pass over the full picture: all that is kept of it for the signals, and its hash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from .decoded import Decoded, pixel_hasher
from .noise import WINDOW_PX
from .shrink import halve_into, halvings

#: About so many bytes are gone through at a time: they stay in the processor's cache until all is done with them. Pictures of
#: 12 megapixels gain by it, those of 1.5 fit a cache as they are (`benchmarks/profile_kernels.py`).
_STRIP_BYTES = 512 << 10
#: About so many rows are sampled for the picture's tones.
_SAMPLED_ROWS = 64


@dataclass(frozen=True)
class Survey:
    """What the signals are measured on, but for the edges of the full picture; all as stored.

    Attributes:
        pixel_hash: 16 bytes, see `Decoded.pixel_hash`.
        halved: uint8 [h', w', 3] or [h', w'], `shrink_by_halves` of the picture.
        center: uint8 [h' <= 512, w' <= 512], luma of the central window.
        rows: uint8 [n, w], luma of evenly spaced rows.
    """

    pixel_hash: bytes
    halved: np.ndarray
    center: np.ndarray
    rows: np.ndarray


def survey(image: Decoded, short_side_px: int) -> Survey:
    """Go through a picture once.

    Args:
        image: the picture.
        short_side_px: what the short side of `Survey.halved` stays at or above.
    """
    pixels, hasher = image.pixels, None if image.stored_hash else pixel_hasher(image.mode, image.pixels.shape)
    height, width = pixels.shape[:2]
    times = halvings(height, width, short_side_px)
    halved = np.empty((height >> times, width >> times, *pixels.shape[2:]), np.uint8) if times else pixels
    # an odd step, so that no row of the 8 x 8 blocks is preferred
    step = max(1, height // _SAMPLED_ROWS) | 1
    rows = np.empty((-(-height // step), width), np.uint8)
    top, left = max(0, height - WINDOW_PX) // 2, max(0, width - WINDOW_PX) // 2
    center = np.empty((min(height, WINDOW_PX), min(width, WINDOW_PX)), np.uint8)
    for start, stop in _strips(height, pixels[0].nbytes, 1 << times):
        if hasher:
            hasher.update(pixels[start:stop])
        if times:
            halve_into(pixels[start:stop], times, halved[start >> times : stop >> times])
        first, last = -(-start // step), -(-stop // step)
        luma_into(pixels[first * step : stop : step], rows[first:last])
        upper, lower = max(start, top), min(stop, top + len(center))
        if upper < lower:
            luma_into(pixels[upper:lower, left : left + WINDOW_PX], center[upper - top : lower - top])
    return Survey(hasher.digest() if hasher else image.stored_hash, halved, center, rows)


def _strips(height: int, row_bytes: int, multiple: int) -> Iterator[tuple[int, int]]:
    """First and last row + 1 of every strip; all but the last a multiple of so many rows."""
    rows = max(1, _STRIP_BYTES // (row_bytes * multiple)) * multiple
    for start in range(0, height, rows):
        yield start, min(height, start + rows)


def luma_into(pixels: np.ndarray, out: np.ndarray) -> None:
    """Fill uint8 [h, w] with the luma of uint8 [h, w, 3] or [h, w]; no row is nothing to do."""
    if pixels.ndim == 2:
        out[:] = pixels
    elif len(pixels):
        cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY, out)
