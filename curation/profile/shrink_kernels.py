"""Compiled means of squares of pixels, the same as OpenCV's in less time. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def halve(rows: np.ndarray, out: np.ndarray) -> None:
    """Means of squares of 2 x 2 pixels, rounded, halves up: OpenCV's INTER_AREA, which takes twice as long.

    Args:
        rows: uint8 [h, 3 w], contiguous, red, green and blue in turn.
        out: uint8 [h // 2, 3 (w // 2)], contiguous, filled.
    """
    height, width = out.shape[0], out.shape[1] // 3
    sums, means = np.empty(6 * width, np.uint16), np.empty(6 * width, np.uint8)
    beside, covered = sums[3:], 6 * width - 3
    for y in range(height):
        upper, lower, into = rows[2 * y], rows[2 * y + 1], out[y]
        for k in range(6 * width):
            sums[k] = np.uint16(np.uint16(upper[k]) + np.uint16(lower[k]))
        # of every pixel with the next, though every other is needed: all at once is faster than picking first
        for k in range(covered):
            means[k] = np.uint8(np.uint16(np.uint16(sums[k] + beside[k]) + np.uint16(2)) >> np.uint16(2))
        for x in range(width):
            into[3 * x] = means[6 * x]
            into[3 * x + 1] = means[6 * x + 1]
            into[3 * x + 2] = means[6 * x + 2]


@njit(cache=True, nogil=True)
def interpolate(
    rows: np.ndarray,
    above: np.ndarray,
    down: np.ndarray,
    before: np.ndarray,
    right: np.ndarray,
    row: np.ndarray,
    next_row: np.ndarray,
    sums: np.ndarray,
    out: np.ndarray,
) -> None:
    """Bilinear interpolation: as OpenCV's INTER_LINEAR, but for weights of columns in 1/64: off by three levels at
    the worst of edges, and by less on average. `benchmarks/profile_kernels.py` compares the two.

    Args:
        rows: uint8 [h, 3 w], contiguous, red, green and blue in turn.
        above, down: int64 and uint16 [h'], the row above every wanted one, and how far it is to the next, in 1/256.
        before, right: uint64 [w'], where the pixel before every wanted one begins in a row, and how far it is to the next,
            in 1/64.
        row: uint16 [3 w + 4], written over.
        next_row: `row[3:]`. An array of its own, or the compiler would read the values that the two share only once, and
            all of them one by one.
        sums: uint16 [3 w' + 1], written over.
        out: uint8 [h', 3 w'], filled.
    """
    filled = row[: rows.shape[1]]
    for y in range(len(out)):
        lower = min(above[y] + 1, len(rows) - 1)
        _mix(rows[above[y]], rows[lower], down[y], filled)
        _mix_across(row, next_row, before, right, sums)
        _narrow(sums, out[y])


# Functions of their own, as the compiler makes less of loops that it finds inside one another.


@njit(cache=True, nogil=True)
def _mix(upper: np.ndarray, lower: np.ndarray, down: int, out: np.ndarray) -> None:
    """Four times the weighted means of two rows, rounded: uint8 [n] each, of which `down` / 256 is the lower's; uint16 [n].

    Whole levels would be rounded twice, which plain grounds show.
    """
    u16 = np.uint16
    up = u16(u16(256) - down)
    for k in range(len(out)):
        total = u16(u16(u16(upper[k]) * up) + u16(u16(lower[k]) * down))
        out[k] = u16(u16(total + u16(32)) >> u16(6))


@njit(cache=True, nogil=True)
def _mix_across(
    row: np.ndarray, next_row: np.ndarray, before: np.ndarray, right: np.ndarray, sums: np.ndarray
) -> None:
    """64 times the weighted means of pixels and their neighbors, which are four times their levels, and a half of the 256 in
    all; see `interpolate`.

    Red, green and blue of a pixel go through one product, 16 bits each in a number of 64; none overflows, as the weights
    sum to 64. What is read and written as four neighboring values takes the compiler one instruction.
    """
    u16, u64 = np.uint16, np.uint64
    one, two, three = u64(1), u64(2), u64(3)
    half = u64(0x0080_0080_0080_0080)
    for x in range(len(before)):
        i, k = before[x], u64(3 * x)
        here = u64(row[i]) | u64(row[i + one]) << u64(16)
        here |= u64(row[i + two]) << u64(32) | u64(row[i + three]) << u64(48)
        beside = u64(next_row[i]) | u64(next_row[i + one]) << u64(16)
        beside |= u64(next_row[i + two]) << u64(32) | u64(next_row[i + three]) << u64(48)
        # here * (64 - right) + beside * right: what the colors borrow from one another they get back
        total = (here << u64(6)) + (beside - here) * right[x] + half
        sums[k], sums[k + one] = u16(total), u16(total >> u64(16))
        sums[k + two], sums[k + three] = u16(total >> u64(32)), u16(total >> u64(48))


@njit(cache=True, nogil=True)
def _narrow(sums: np.ndarray, out: np.ndarray) -> None:
    for k in range(len(out)):
        out[k] = np.uint8(sums[k] >> np.uint16(8))


@njit(cache=True, nogil=True)
def shrink_by(rows: np.ndarray, factor: int, out: np.ndarray) -> None:
    """Means of squares of `factor` pixels, rounded, halves to even: what OpenCV's INTER_AREA gives, in half the time.

    Args:
        rows: uint8 [h, 3 w], contiguous, red, green and blue in turn.
        factor: 3 or 4.
        out: uint8 [h // factor, w // factor, 3], filled.
    """
    height, width = out.shape[:2]
    sums = np.empty(rows.shape[1], np.uint16)
    for y in range(height):
        sums[:] = 0
        for i in range(factor):
            for k in range(len(sums)):
                sums[k] += rows[factor * y + i, k]
        for x in range(width):
            for channel in range(3):
                k = 3 * factor * x + channel
                total = np.uint32(sums[k]) + sums[k + 3] + sums[k + 6]
                if factor == 3:  # a ninth of a whole number is never halfway
                    out[y, x, channel] = (total + np.uint32(4)) // np.uint32(9)
                else:
                    total += sums[k + 9]
                    out[y, x, channel] = (
                        total + np.uint32(7) + (total >> np.uint32(4) & np.uint32(1))
                    ) >> np.uint32(4)
