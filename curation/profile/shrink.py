"""Shrink once: the smaller copies all signals share."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from .shrink_kernels import halve, interpolate


def shrink(
    pixels: np.ndarray, short_side_px: int, max_aspect: int = 8, halved: np.ndarray | None = None
) -> np.ndarray:
    """Average down to a short side; never enlarges.

    By halves as long as that leaves enough, then once by a factor under 2, bilinearly: at such factors
    that is as good as an area average of a fractional factor, which takes five times as long.

    Args:
        pixels: uint8 [h, w, 3] or [h, w].
        short_side_px: wanted length of the short side.
        max_aspect: the long side is at most this many times `short_side_px`, so that a strip of
            1 x 100,000 pixels stays small.
        halved: what `shrink_by_halves` made of `pixels` for this short side or a longer one; spares doing it again.

    Returns:
        uint8 [h', w', 3] or [h', w'], both sides at least 1; the input itself when it is small enough.
    """
    height, width = pixels.shape[:2]
    short, long = min(height, width), max(height, width)
    scale = min(1.0, short_side_px / short, max_aspect * short_side_px / long)
    if scale == 1.0:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    pixels = shrink_by_halves(pixels if halved is None else halved, short_side_px)
    narrow = 2 * size[0] < pixels.shape[1] or 2 * size[1] < pixels.shape[0]
    if pixels.ndim == 3 and not narrow:
        return interpolated(pixels, *size)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if narrow else cv2.INTER_LINEAR)


def interpolated(pixels: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """Bilinear interpolation, as OpenCV's INTER_LINEAR in less time.

    Args:
        pixels: uint8 [h, w, 3].

    Returns:
        uint8 [height_px, width_px, 3].
    """
    height, width = pixels.shape[:2]
    out = np.empty((height_px, width_px, 3), np.uint8)
    row = np.zeros(3 * width + 4, np.uint16)
    interpolate(
        np.ascontiguousarray(pixels).reshape(height, -1),
        *_rows(height, height_px),
        *_columns(width, width_px),
        row,
        row[3:],
        np.empty(3 * width_px + 1, np.uint16),
        out.reshape(height_px, -1),
    )
    return out


@lru_cache(maxsize=64)
def _rows(height: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """`above` and `down` of `interpolate`."""
    above, down = _places(height, wanted)
    return above, np.rint(256 * down).astype(np.uint16)


@lru_cache(maxsize=64)
def _columns(width: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """`before` and `right` of `interpolate`, of pixels of three values."""
    before, right = _places(width, wanted)
    return 3 * before.astype(np.uint64), np.rint(64 * right).astype(np.uint64)


def _places(length: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Where pixels of a shorter line lie between those of the line: after which, and how far on its way to the next.

    Returns:
        int64 [wanted], 0 .. length - 1; float64 [wanted], 0..1.
    """
    centers = np.clip((np.arange(wanted) + 0.5) * (length / wanted) - 0.5, 0, length - 1)
    before = np.minimum(centers.astype(np.int64), max(0, length - 2))
    return before, centers - before


def shrink_by_halves(pixels: np.ndarray, short_side_px: int) -> np.ndarray:
    """Average 2 x 2 pixels as often as that keeps the short side at `short_side_px` or more.

    Factors of 2 are several times faster than any other. An odd last row or column is dropped.
    """
    height, width = pixels.shape[:2]
    times = halvings(height, width, short_side_px)
    if not times:
        return pixels
    out = np.empty((height >> times, width >> times, *pixels.shape[2:]), np.uint8)
    halve_into(pixels, times, out)
    return out


def halvings(height: int, width: int, short_side_px: int) -> int:
    """How often `shrink_by_halves` halves a picture."""
    return max(0, (min(height, width) // short_side_px).bit_length() - 1)


def halve_into(pixels: np.ndarray, times: int, out: np.ndarray) -> None:
    """Average 2 x 2 pixels so many times.

    Args:
        pixels: uint8 [h, w, 3] or [h, w].
        times: 1 or more.
        out: uint8 [h >> times, w >> times, ...], contiguous, filled. It may be empty.
    """
    for left in reversed(range(times)):
        height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
        if not (height and width):
            return
        into = np.empty((height, width, *pixels.shape[2:]), np.uint8) if left else out
        if pixels.ndim == 3:
            whole = np.ascontiguousarray(pixels)
            halve(whole.reshape(len(whole), -1), into.reshape(height, -1))
        else:
            even = pixels[: 2 * height, : 2 * width]
            cv2.resize(even, (width, height), into, interpolation=cv2.INTER_AREA)
        pixels = into
