"""Compiled sums of differences between neighboring pixels: each reads the picture once. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from numba import njit

# Numbers are kept as narrow as the sums allow, which is what lets the compiler do 16 or 32 pixels at a time; slices that
# are shifted against each other, in place of indices with offsets, spare it the test for negative indices.
_ROWS_IN_16_BITS = 32  # of second differences, each at most 2,040


@njit(cache=True, nogil=True)
def second_difference_sum(luma: np.ndarray) -> int:
    """Sum of absolute responses to the mask [1, -2, 1] x [1, -2, 1], where it fits inside.

    Args:
        luma: uint8 [h, w], contiguous, both sides 3 px or more.
    """
    height, width = luma.shape
    column = np.empty(width, np.int16)
    left, center, right = column[:-2], column[1:-1], column[2:]
    sums = np.zeros(width - 2, np.uint16)
    total = np.int64(0)
    for y in range(1, height - 1):
        above, here, below = luma[y - 1], luma[y], luma[y + 1]
        for x in range(width):
            column[x] = np.int16(np.int16(above[x]) + np.int16(below[x])) - np.int16(np.int16(here[x]) << 1)
        for x in range(width - 2):
            sums[x] += np.uint16(abs(np.int16(np.int16(left[x] + right[x]) - np.int16(center[x] << 1))))
        if y % _ROWS_IN_16_BITS == 0 or y == height - 2:
            for x in range(width - 2):
                total += np.int64(sums[x])
                sums[x] = 0
    return total


@njit(cache=True, nogil=True)
def step_sums(luma: np.ndarray, most: int, across: np.ndarray, down: np.ndarray) -> None:
    """Sums of absolute differences to the next pixel, each at most `most`: of every column and of every row.

    Args:
        luma: uint8 [h, w], contiguous.
        most: levels.
        across: uint32 [w - 1], zeros, filled: steps to the right.
        down: uint32 [h - 1], filled: steps downward.
    """
    height, width = luma.shape
    limit = np.uint8(most)
    for y in range(height):
        here = luma[y]
        left, right = here[:-1], here[1:]
        for x in range(width - 1):
            low, high = min(left[x], right[x]), max(left[x], right[x])
            across[x] += np.uint32(min(np.uint8(high - low), limit))
        if y + 1 == height:
            break
        below = luma[y + 1]
        total = np.uint32(0)
        for x in range(width):
            low, high = min(here[x], below[x]), max(here[x], below[x])
            total = np.uint32(total + np.uint32(min(np.uint8(high - low), limit)))
        down[y] = total


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def laplacian_moments(smooth: np.ndarray, sums: np.ndarray, squares: np.ndarray) -> None:
    """Sums of the Laplacian and of its square over a grid of equal tiles; what is left over at the right and below
    is left out. Beyond the edges the picture is mirrored, without repeating the edge.

    Args:
        smooth: float32 [h, w], contiguous, each side 2 px or more and as many as there are tiles along it.
        sums, squares: float64 [rows, columns] of tiles, zeros, filled.
    """
    height, width = smooth.shape
    rows, columns = sums.shape
    tile_height, tile_width = height // rows, width // columns
    edges = np.empty(width, np.float32)
    inner = edges[1:-1]
    two, four = np.float32(2), np.float32(4)
    for y in range(rows * tile_height):
        above, here = smooth[y - 1 if y else 1], smooth[y]
        below = smooth[y + 1 if y + 1 < height else height - 2]
        left, center, right = here[:-2], here[1:-1], here[2:]
        center_above, center_below = above[1:-1], below[1:-1]
        for x in range(width - 2):
            inner[x] = center_above[x] + center_below[x] + left[x] + right[x] - four * center[x]
        edges[0] = above[0] + below[0] + two * here[1] - four * here[0]
        edges[width - 1] = (
            above[width - 1] + below[width - 1] + two * here[width - 2] - four * here[width - 1]
        )
        for k in range(columns):
            part = edges[k * tile_width : (k + 1) * tile_width]
            total = square = np.float32(0)
            for x in range(tile_width):
                total += part[x]
                square += part[x] * part[x]
            sums[y // tile_height, k] += total
            squares[y // tile_height, k] += square


@njit(cache=True, nogil=True)
def seam_counts(luma: np.ndarray, step: int, counts: np.ndarray) -> None:
    """Of each column, pixels that belong to a seam: differences stand out by more than `step` levels.

    A seam that has been shrunk is smeared over two columns: differences are taken over a distance of two.

    Args:
        luma: uint8 [h, w], contiguous, at least 9 px wide, less than 65,536 high.
        step: levels.
        counts: uint16 [3, w - 8], zeros, filled: where two pictures meet; thin lines brighter than both sides; darker.
    """
    height, width = luma.shape
    met, brighter, darker = counts[0], counts[1], counts[2]
    i16, over = np.int16, np.int16(step)
    for y in range(height):
        row = luma[y]
        for x in range(width - 8):
            before_2, before, after, after_2 = (
                i16(row[x + 1]),
                i16(row[x + 3]),
                i16(row[x + 5]),
                i16(row[x + 7]),
            )
            far_left, left, center = i16(row[x]), i16(row[x + 2]), i16(row[x + 4])
            right, far_right = i16(row[x + 6]), i16(row[x + 8])
            texture = max(abs(i16(before - before_2)), abs(i16(after - after_2)))
            met[x] += i16(i16(abs(i16(before - after)) - texture) > over)
            texture = max(abs(i16(far_left - left)), abs(i16(right - far_right)))
            brighter[x] += i16(i16(center - max(left, right) - texture) > over)
            darker[x] += i16(i16(min(left, right) - texture - center) > over)
