"""Compiled sums over a grid of windows: what the models choose their tiles by. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def green_edges(
    rgb: np.ndarray, tops: np.ndarray, lefts: np.ndarray, side: int, dark: int, bright: int
) -> np.ndarray:
    """Sum of absolute differences of green to the neighbors on the right and below, and count of clipped values, in
    every pixel of every seventh row. With steps of two or three along a row all differences would fall within one copied
    pixel of some picture enlarged by copying pixels.

    Args:
        rgb: uint8 [h, w, 3].
        tops, lefts: int64, where windows of `side` px start; all inside the picture.
        dark, bright: values below or above are clipped.

    Returns:
        int64 [len(tops) * len(lefts), 2], row by row.
    """
    out = np.zeros((len(tops) * len(lefts), 2), np.int64)
    for i in range(len(tops)):
        for y in range(tops[i], tops[i] + side - 1, 7):
            for j in range(len(lefts)):
                total = clipped = np.int32(0)  # narrow numbers: more of them at a time
                for x in range(lefts[j], lefts[j] + side - 1):
                    value = np.int32(rgb[y, x, 1])
                    total += abs(value - np.int32(rgb[y, x + 1, 1])) + abs(value - np.int32(rgb[y + 1, x, 1]))
                    clipped += np.int32((value < dark) | (value > bright))
                place = i * len(lefts) + j
                out[place, 0] += total
                out[place, 1] += clipped
    return out


@njit(cache=True, nogil=True)
def green_differences(rgb: np.ndarray, tops: np.ndarray, lefts: np.ndarray, side: int) -> np.ndarray:
    """Sum of absolute differences of horizontal neighbors in green, in every fourth row of each window.

    Args:
        rgb, tops, lefts, side: as in `green_edges`.

    Returns:
        int64 [len(tops) * len(lefts)], row by row.
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
