"""Compiled sums over a grid of windows: what the models choose their tiles by. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def green_moments(
    rgb: np.ndarray, tops: np.ndarray, lefts: np.ndarray, side: int, dark: int, bright: int
) -> np.ndarray:
    """Sum, sum of squares and count of clipped values of green, in every other pixel of every other row.

    Args:
        rgb: uint8 [h, w, 3].
        tops, lefts: int64, where windows of `side` px start; all inside the picture.
        dark, bright: values below or above are clipped.

    Returns:
        int64 [len(tops) * len(lefts), 3], row by row.
    """
    out = np.zeros((len(tops) * len(lefts), 3), np.int64)
    for i in range(len(tops)):
        for y in range(tops[i], tops[i] + side, 2):
            for j in range(len(lefts)):
                total = squares = clipped = 0
                for x in range(lefts[j], lefts[j] + side, 2):
                    value = np.int64(rgb[y, x, 1])
                    total += value
                    squares += value * value
                    clipped += (value < dark) | (value > bright)
                place = i * len(lefts) + j
                out[place, 0] += total
                out[place, 1] += squares
                out[place, 2] += clipped
    return out


@njit(cache=True, nogil=True)
def green_differences(rgb: np.ndarray, tops: np.ndarray, lefts: np.ndarray, side: int) -> np.ndarray:
    """Sum of absolute differences of horizontal neighbors in green, in every fourth row of each window.

    Args and order of the int64 result as in `green_moments`.
    """
    out = np.zeros(len(tops) * len(lefts), np.int64)
    for i in range(len(tops)):
        for y in range(tops[i], tops[i] + side, 4):
            for j in range(len(lefts)):
                total = 0
                before = np.int64(rgb[y, lefts[j], 1])
                for x in range(lefts[j] + 1, lefts[j] + side):
                    value = np.int64(rgb[y, x, 1])
                    total += abs(value - before)
                    before = value
                out[i * len(lefts) + j] += total
    return out
