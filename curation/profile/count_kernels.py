"""Compiled counts and sums over small copies, each in one pass. Importing this imports numba.

On copies this small NumPy's and OpenCV's calls take longer to begin than to do, and after a decode none of their code is
in the processor's cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def level_counts(luma: np.ndarray, counts: np.ndarray) -> None:
    """How often each grey level occurs.

    Args:
        luma: uint8 [n].
        counts: int64 [256], zeros, filled.
    """
    # four tables: a level that follows itself need not wait for its count to be written
    tables = np.zeros((4, 256), np.uint32)
    first, second, third, fourth = tables[0], tables[1], tables[2], tables[3]
    whole = len(luma) // 4 * 4
    for i in range(0, whole, 4):
        first[luma[i]] += np.uint32(1)
        second[luma[i + 1]] += np.uint32(1)
        third[luma[i + 2]] += np.uint32(1)
        fourth[luma[i + 3]] += np.uint32(1)
    for i in range(whole, len(luma)):
        first[luma[i]] += np.uint32(1)
    for level in range(256):
        counts[level] = np.int64(first[level]) + second[level] + third[level] + fourth[level]


@njit(cache=True, nogil=True)
def most_frequent_cube(pixels: np.ndarray, shift: int) -> int:
    """Pixels in the fullest cube of colors; cubes overlap by half along every axis.

    Args:
        pixels: uint8 [n * 3], red, green and blue in turn.
        shift: half a cube is 2 ** shift levels a side.
    """
    side = 256 >> shift
    counts = np.zeros((side, side, side), np.int32)
    for i in range(0, len(pixels), 3):
        counts[pixels[i] >> shift, pixels[i + 1] >> shift, pixels[i + 2] >> shift] += 1
    most = 0
    for r in range(side - 1):
        for g in range(side - 1):
            near, far = counts[r, g], counts[r + 1, g]
            near_next, far_next = counts[r, g + 1], counts[r + 1, g + 1]
            before = near[0] + far[0] + near_next[0] + far_next[0]
            for b in range(1, side):
                here = near[b] + far[b] + near_next[b] + far_next[b]
                most = max(most, before + here)
                before = here
    return most


@njit(cache=True, nogil=True)
def neutral_sums(lab: np.ndarray, dark: int, bright: int) -> tuple[int, int, int]:
    """Sums of a* and b* over the half of the pixels that is nearest to neutral.

    Args:
        lab: uint8 [n, 3], a* and b* plus 128.
        dark, bright: the lightness of pixels that count is from the first to the second.

    Returns:
        sum of a*, sum of b*, number of pixels; all 0 if none counts.
    """
    chromas = np.empty(len(lab), np.int32)  # squared; -1 of pixels that do not count
    counted = 0
    coarse = np.zeros((2 * 128 * 128 >> 8) + 1, np.int32)
    for i in range(len(lab)):
        a, b = np.int32(lab[i, 1]) - 128, np.int32(lab[i, 2]) - 128
        if dark <= lab[i, 0] <= bright:
            chromas[i] = a * a + b * b
            coarse[chromas[i] >> 8] += 1
            counted += 1
        else:
            chromas[i] = -1
    # the lower of the two middle values: nothing lies between it and the median. First its bin of 256, then its place there
    place, below = 0, 0
    while 2 * (below + coarse[place]) < counted:
        below += coarse[place]
        place += 1
    fine = np.zeros(256, np.int32)
    for i in range(len(lab)):
        if chromas[i] >> 8 == place:
            fine[chromas[i] & 255] += 1
    median = place << 8
    below += fine[0]
    while 2 * below < counted:
        median += 1
        below += fine[median & 255]
    total_a = total_b = taken = 0
    for i in range(len(lab)):
        if 0 <= chromas[i] <= median:
            total_a += np.int32(lab[i, 1]) - 128
            total_b += np.int32(lab[i, 2]) - 128
            taken += 1
    return total_a, total_b, taken


@njit(cache=True, nogil=True)
def border_moments(rgb: np.ndarray, depth: int, sums: np.ndarray, squares: np.ndarray) -> None:
    """Sums of each channel, and of its squares, in the strips along the sides.

    Args:
        rgb: uint8 [h, w, 3], contiguous.
        depth: how wide a strip is, in px.
        sums, squares: int64 [4, 3], zeros, filled: top, right, bottom, left.
    """
    height, width = rgb.shape[:2]
    for side in range(4):
        top, bottom = (height - depth if side == 2 else 0), (depth if side == 0 else height)
        left, right = (width - depth if side == 1 else 0), (depth if side == 3 else width)
        for y in range(top, bottom):
            for x in range(left, right):
                for channel in range(3):
                    value = np.int64(rgb[y, x, channel])
                    sums[side, channel] += value
                    squares[side, channel] += value * value


@njit(cache=True, nogil=True)
def any_plain_side(pixels: np.ndarray, points: int, every: int, most: int) -> bool:
    """Whether the outermost line of any side may be of one color, by a few of its points.

    Args:
        pixels: uint8 [h, w, channels].
        points, every: of about so many points of a line every so many-th is looked at.
        most: the largest difference within one color, in levels. Where there are more than four points, the lowest and
            the highest do not count.
    """
    height, width, channels = pixels.shape
    for side in range(4):
        length = width if side < 2 else height
        step = max(1, length // points) * every
        count = -(-length // step)
        widest = 0
        for channel in range(channels):
            low, next_low, high, next_high = 256, 256, -1, -1
            for k in range(count):
                if side == 0:
                    value = np.int64(pixels[0, k * step, channel])
                elif side == 1:
                    value = np.int64(pixels[height - 1, k * step, channel])
                elif side == 2:
                    value = np.int64(pixels[k * step, 0, channel])
                else:
                    value = np.int64(pixels[k * step, width - 1, channel])
                if value < low:
                    low, next_low = value, low
                elif value < next_low:
                    next_low = value
                if value > high:
                    high, next_high = value, high
                elif value > next_high:
                    next_high = value
            widest = max(widest, next_high - next_low if count > 4 else high - low)
        if widest <= most:
            return True
    return False


@njit(cache=True, nogil=True)
def plain_lines(
    lines: np.ndarray, color: np.ndarray, levels: int, enough: float, after: int
) -> tuple[int, float]:
    """How many lines are of a color before the first that is not, and how little of it the lines from there on have.

    Args:
        lines: uint8 [n, m, channels].
        color: uint8 [channels].
        levels: a pixel is of the color when no channel is farther from it.
        enough: a line is, when this share of its pixels is.
        after: so many lines are looked at from the first that is not.

    Returns:
        number of lines, and the least share among those after them; -1 and 1 when all lines are of the color.
    """
    depth, least = -1, 1.0
    for i in range(len(lines)):
        plain = 0
        for k in range(lines.shape[1]):
            within = True
            for channel in range(lines.shape[2]):
                within &= abs(np.int32(lines[i, k, channel]) - np.int32(color[channel])) <= levels
            plain += within
        share = plain / lines.shape[1]
        if depth < 0 and share < enough:
            depth = i
        if depth >= 0:
            least = min(least, share)
            if i + 1 >= depth + after:
                break
    return depth, least
