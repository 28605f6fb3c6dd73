"""From counts of colors to the numbers that a cast is judged by, compiled: see `color_evidence`. Importing this imports numba.

Who changes `color_kernels` has to touch this file as well: what numba keeps of it on disk has those loops in it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .color_kernels import PER_UNIT, PROJECTED, brightest, count_chroma, count_steps, quantiles


@njit(cache=True, nogil=True)
def write_colors(logs: np.ndarray, out: np.ndarray, at: int) -> int:
    """Of logs of colors those without their brightness, then how far apart the channels of each are, then the brightness of each.

    Args:
        logs: float64 [n, 3].
        out: float32, written to from index `at` on: 5 * n numbers.

    Returns:
        the index after the last.
    """
    n = len(logs)
    for i in range(n):
        r, g, b = logs[i]
        mean = (r + g + b) / 3
        out[at + 3 * i], out[at + 3 * i + 1], out[at + 3 * i + 2] = r - mean, g - mean, b - mean
        out[at + 3 * n + i] = max(r, g, b) - min(r, g, b)
        out[at + 4 * n + i] = mean
    return at + 5 * n


@njit(cache=True, nogil=True)
def write_levels(counts: np.ndarray, shares: np.ndarray, out: np.ndarray, at: int) -> int:
    """`write_colors` of levels that such shares of each channel's pixels do not exceed.

    Args:
        counts: int32 [3, 256], of levels.
        shares: float32 [k], see `quantiles`.
        out, at, returns: see `write_colors`.
    """
    levels = np.empty((3, len(shares)), np.float32)
    quantiles(counts, shares, levels)
    return write_colors(np.log(levels.T + 1.0), out, at)


@njit(cache=True, nogil=True)
def write_walls(
    counts: np.ndarray, top: float, below_top: np.ndarray, upper: np.ndarray, lower: np.ndarray,
    out: np.ndarray, at: int,
) -> int:  # fmt: skip
    """Square roots of the shares of pixels near a channel's highest level, near white and near black; then of these the largest
    and the smallest of the three channels.

    Args:
        counts: int32 [3, 256], of levels.
        top: share of the pixels up to the highest level: a few are left out.
        below_top: int64, so many levels below the highest one, and from there on, pixels count.
        upper: int64, levels from which pixels count as near white.
        lower: int64, levels below which they count as near black.
        out, at, returns: see `write_colors`.
    """
    n = len(below_top) + len(upper) + len(lower)
    walls, near, highest = np.empty((3, n)), np.empty(257), np.empty((3, 1), np.float32)
    quantiles(counts, np.array([top], np.float32), highest)
    for c in range(3):
        near[0] = 0
        for level in range(256):
            near[level + 1] = near[level] + counts[c, level]
        for k in range(len(below_top)):
            walls[c, k] = near[256] - near[max(0, int(highest[c, 0]) - below_top[k])]
        for k in range(len(upper)):
            walls[c, len(below_top) + k] = near[256] - near[upper[k]]
        for k in range(len(lower)):
            walls[c, len(below_top) + len(upper) + k] = near[lower[k]]
        for k in range(n):
            walls[c, k] = np.sqrt(walls[c, k] / near[256])
            out[at + n * c + k] = walls[c, k]
    for k in range(n):
        out[at + 3 * n + k] = max(walls[0, k], walls[1, k], walls[2, k])
        out[at + 4 * n + k] = min(walls[0, k], walls[1, k], walls[2, k])
    return at + 5 * n


@njit(cache=True, nogil=True)
def write_estimates(small: np.ndarray, shares: np.ndarray, out: np.ndarray, at: int) -> int:
    """`write_colors` of the color of light as classical assumptions have it: of the brightest pixels by least channel and by sum,
    then of edges, of the sixth power, and of the mean.

    Args:
        small: uint8 [h, w, 3], of two rows and 200 pixels or more.
        shares: float64 [k], of the pixels that count as the brightest.
        out, at, returns: see `write_colors`.
    """
    h, w, k = small.shape[0], small.shape[1], len(shares)
    wanted, bright = (shares * (h * w)).astype(np.int32), np.empty((2, k, 3))
    brightest(small, wanted, bright)
    levels, steps = np.zeros((3, 256), np.int32), np.zeros((3, 256), np.int32)
    count_steps(small, levels, steps)
    colors = np.empty((2 * k + 3, 3))
    for c in range(3):
        for i in range(k):
            colors[i, c], colors[k + i, c] = bright[0, i, c] / 255 + 0.004, bright[1, i, c] / 255 + 0.004
        mean, sixth, edges = 0.0, 0.0, 0.0
        for level in range(256):
            share = level / 255
            mean += levels[c, level] * share
            sixth += levels[c, level] * share**6
            edges += steps[c, level] * share**4
        colors[2 * k, c] = (edges / ((h - 1) * w)) ** 0.25 + 0.002
        colors[2 * k + 1, c] = (sixth / (h * w)) ** (1 / 6) + 0.001
        colors[2 * k + 2, c] = mean / (h * w) + 0.004
    return write_colors(np.log(colors), out, at)


@njit(cache=True, nogil=True)
def write_distances(
    small: np.ndarray, logs: np.ndarray, directions: np.ndarray,
    apart: np.ndarray, projected: np.ndarray,
    shares: tuple[np.ndarray, np.ndarray, np.ndarray],
    out: np.ndarray, at: int,
) -> int:  # fmt: skip
    """How far from grey pixels are, by groups of brightness and over all, the shares of these groups, on which sides of grey the
    pixels lie, and how deep grey lies among them.

    Args:
        small: uint8 [h, w, 3], h * w even.
        logs, directions: see `count_chroma`.
        apart, projected: int32, all 0, see `count_chroma`: they are counted in.
        shares: float32 each: quantiles of how far channels lie apart in each group, and in all; and of projected log chroma.
        out, at, returns: see `write_colors`.
    """
    count_chroma(small, logs, directions, apart, projected)
    in_group, in_all, of_projected = shares
    at = _write_quantiles(apart, in_group, 0, out, at)
    everywhere = apart[:1] + apart[1:2] + apart[2:]
    at = _write_quantiles(everywhere, in_all, 0, out, at)
    for group in range(3):  # twice, as every other pixel was counted
        out[at + group] = 2 * apart[group].sum() / (small.shape[0] * small.shape[1])
    at += 3
    first, d, n = at, len(directions), len(of_projected)
    at = _write_quantiles(projected, of_projected, PROJECTED // 2, out, at)
    for k in range(3):  # at the shallowest side; below 0 grey is outside
        inside = np.inf
        for i in range(d):
            row = first + i * n
            inside = min(inside, -out[row + k], out[row + n - 1 - k])
        out[at + k] = inside
    return at + 3


@njit(cache=True, nogil=True)
def _write_quantiles(counts: np.ndarray, shares: np.ndarray, zero: int, out: np.ndarray, at: int) -> int:
    """`quantiles` of every row, in units of log chroma from bin `zero` on; as of `write_colors`."""
    found = np.empty((len(counts), len(shares)), np.float32)
    quantiles(counts, shares, found)
    for value in found.ravel():
        out[at] = (value - zero) / PER_UNIT
        at += 1
    return at
