"""Counting colors, compiled: see `color_evidence`, which says what for. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from numba import njit

#: Bins per unit of log chroma, and of how far a pixel's channels lie apart.
PER_UNIT = 32
#: Bins of projected log chroma, 0 in the middle, and of how far channels lie apart.
PROJECTED, APART = 128, 64
#: Largest channel from which a pixel is of middle brightness, and bright.
MIDDLE, BRIGHT = 85, 170
#: Smallest channel at which a pixel's color is not told by rounding alone.
DARKEST = 5


@njit(cache=True, nogil=True)
def count_levels(rgb: np.ndarray, counts: np.ndarray) -> None:
    """Of each channel how many pixels have each level, of every other pixel in every other row.

    Both halves of the picture take turns and have counts of their own: neighbors are often alike, and of two counts of the same
    level in a row the second waits for the first.

    Args:
        rgb: uint8 [h, w, 3], h a multiple of 4: in others some rows would count that should not.
        counts: int32 [3, 256], added to.
    """
    half = rgb.shape[0] // 2
    of_halves = np.zeros((2, 3, 256), np.int32)
    for y in range(0, half, 2):
        for x in range(0, rgb.shape[1], 2):
            for c in range(3):
                of_halves[0, c, rgb[y, x, c]] += 1
                of_halves[1, c, rgb[half + y, x, c]] += 1
    counts += of_halves[0] + of_halves[1]


@njit(cache=True, nogil=True)
def quantiles(counts: np.ndarray, shares: np.ndarray, out: np.ndarray) -> None:
    """First bins up to which there are such shares of each row's sum; -1 where that is 0.

    Args:
        counts: int32 [n, bins].
        shares: float32 [k], rising, below 1.
        out: float32 [n, k], replaced.
    """
    for n in range(len(counts)):
        total = counts[n].sum()
        below, at = 0, -1
        for k in range(len(shares)):
            while total > 0 and (at < 0 or below < shares[k] * total):
                at += 1
                below += counts[n, at]
            out[n, k] = at


@njit(cache=True, nogil=True)
def count_chroma(
    rgb: np.ndarray,
    logs: np.ndarray,
    directions: np.ndarray,
    apart: np.ndarray,
    projected: np.ndarray,
) -> None:
    """Every other pixel, as the black fields of a chessboard lie, by how far its channels lie apart, and by its log chroma in
    some directions.

    Pixels with a channel below `DARKEST` are left out.

    Args:
        rgb: uint8 [h, w, 3].
        logs: float32 [256], of each level, times `PER_UNIT`.
        directions: float32 [d, 2], unit vectors in the plane of log g/r and log g/b.
        apart: int32 [3, APART], of dark, middle and bright pixels, added to.
        projected: int32 [d, PROJECTED], added to.
    """
    for y in range(rgb.shape[0]):
        for x in range(y & 1, rgb.shape[1], 2):
            r, g, b = rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2]
            least, most = min(r, g, b), max(r, g, b)
            if least < DARKEST:
                continue
            group = (most >= MIDDLE) + (most >= BRIGHT)
            apart[group, min(APART - 1, int(logs[most] - logs[least]))] += 1
            down, across = logs[g] - logs[r], logs[g] - logs[b]
            for k in range(len(directions)):
                at = int(down * directions[k, 0] + across * directions[k, 1] + np.float32(PROJECTED // 2))
                projected[k, min(PROJECTED - 1, max(0, at))] += 1


@njit(cache=True, nogil=True)
def count_steps(rgb: np.ndarray, levels: np.ndarray, steps: np.ndarray) -> None:
    """How many pixels have each level, and how many differ by so many levels from the one above, of each channel.

    Args:
        rgb: uint8 [h, w, 3].
        levels: int32 [3, 256], added to.
        steps: int32 [3, 256], added to.
    """
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            for c in range(3):
                level = np.int32(rgb[y, x, c])
                levels[c, level] += 1
                if y > 0:
                    steps[c, abs(level - np.int32(rgb[y - 1, x, c]))] += 1


@njit(cache=True, nogil=True)
def brightest(rgb: np.ndarray, wanted: np.ndarray, sums: np.ndarray) -> None:
    """Mean color of the brightest pixels, by their least channel and by the sum of channels.

    Args:
        rgb: uint8 [h, w, 3].
        wanted: int32 [k], numbers of pixels, 1 or more, rising; as many more as are as bright as the last are taken, too.
        sums: float64 [2, k, 3], replaced by the means, in levels.
    """
    pixels = rgb.reshape(-1, 3)
    counts, bright = np.zeros((2, 766), np.int32), np.empty((2, len(pixels)), np.int16)
    for i in range(len(pixels)):
        r, g, b = np.int32(pixels[i, 0]), np.int32(pixels[i, 1]), np.int32(pixels[i, 2])
        bright[0, i], bright[1, i] = min(r, g, b), r + g + b
        counts[0, bright[0, i]] += 1
        counts[1, bright[1, i]] += 1
    lowest = np.zeros(len(wanted), np.int32)
    for by in range(2):
        above, level = 0, 766
        for k in range(len(wanted)):
            while above < wanted[k]:
                level -= 1
                above += counts[by, level]
            lowest[k] = level
        taken = np.zeros(len(wanted), np.int32)
        sums[by] = 0
        for i in range(len(pixels)):
            if bright[by, i] < level:
                continue
            for k in range(len(wanted)):
                if bright[by, i] >= lowest[k]:
                    taken[k] += 1
                    for c in range(3):
                        sums[by, k, c] += pixels[i, c]
        for k in range(len(wanted)):
            sums[by, k] /= taken[k]
