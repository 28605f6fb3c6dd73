"""Shrink once: the smaller copies all signals share."""

from __future__ import annotations

import cv2
import numpy as np

from .shrink_kernels import halve


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
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if narrow else cv2.INTER_LINEAR)


def shrink_by_halves(pixels: np.ndarray, short_side_px: int) -> np.ndarray:
    """Average 2 x 2 pixels as often as that keeps the short side at `short_side_px` or more.

    Factors of 2 are several times faster than any other. An odd last row or column is dropped.
    """
    while min(pixels.shape[:2]) >= 2 * short_side_px:
        height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
        if pixels.ndim == 3:
            whole, pixels = np.ascontiguousarray(pixels), np.empty((height, width, 3), np.uint8)
            halve(whole.reshape(len(whole), -1), pixels.reshape(height, -1))
        else:
            pixels = cv2.resize(
                pixels[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA
            )
    return pixels
