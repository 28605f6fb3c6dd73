"""Shrink once: the smaller copies all signals share."""

from __future__ import annotations

import cv2
import numpy as np


def shrink(rgb: np.ndarray, short_side_px: int, max_aspect: int = 8) -> np.ndarray:
    """Area-average down to a short side; never enlarges.

    Args:
        rgb: uint8 [h, w, 3].
        short_side_px: wanted length of the short side.
        max_aspect: the long side is at most this many times `short_side_px`, so that a strip of
            1 x 100,000 pixels stays small.

    Returns:
        uint8 [h', w', 3], both sides at least 1; the input itself when it is small enough.
    """
    height, width = rgb.shape[:2]
    short, long = min(height, width), max(height, width)
    scale = min(1.0, short_side_px / short, max_aspect * short_side_px / long)
    if scale == 1.0:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def shrink_by_integer(rgb: np.ndarray, short_side_px: int) -> np.ndarray:
    """Area-average by the largest whole factor that keeps the short side at `short_side_px` or more.

    Several times faster than a fractional factor on large pictures: the first step of all others.
    """
    height, width = rgb.shape[:2]
    factor = min(height, width) // short_side_px
    if factor < 2:
        return rgb
    size = (width // factor, height // factor)
    whole = rgb[: size[1] * factor, : size[0] * factor]  # a remainder would take the slow path
    return cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
