"""Compiled loops over pixels that prepare what the networks see. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from numba import njit

_ONE, _NINTH = np.float32(1), np.float32(1 / 9)
_ZERO, _LOWEST, _HIGHEST = (np.float32(x) for x in (128.5, 0, 255))
#: Levels per step of what is told of a tile: luma, blue and red difference, and high frequencies enlarged `_ENLARGED` times.
TILE_STEPS = (1.5, 0.75, 0.75, 1.5)
_ENLARGED = 8
#: Strongest difference that is no edge at all, as drawn grounds have it, and skies: sum of two directions, largest channel.
FLAT = 1
#: ITU-R BT.601 luma and scaled color differences.
_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]], np.float32
) / np.float32(TILE_STEPS[:3]).reshape(3, 1)
_HIGH = np.float32(_ENLARGED * TILE_STEPS[0] / TILE_STEPS[3])


@njit(inline="always")
def _step(value: np.float32) -> np.uint32:
    """The nearest whole number about 128."""
    return np.uint32(np.int32(min(max(value + _ZERO, _LOWEST), _HIGHEST)))


@njit(cache=True, nogil=True)
def tile_planes(tiles: np.ndarray, out: np.ndarray) -> None:
    """Luma and color differences about the mean of each tile, and high frequencies of luma, in steps of `TILE_STEPS`; 128 is
    none, what is beyond 0 and 255 is clipped.

    Args:
        tiles: uint8 [t, side, 3 side], contiguous.
        out: uint64 [t, side / 2, side / 2, 2], filled: the two rows of 2 x 2 pixels, of which each is four bytes.
    """
    count, side = tiles.shape[:2]
    luma = np.empty((side + 2, side + 2), np.float32)  # mirrored outward by a pixel
    blue, red = np.empty((side, side), np.float32), np.empty((side, side), np.float32)
    columns, pixels = np.empty(side + 2, np.float32), np.empty(side, np.uint32)
    pairs = pixels.view(np.uint64)
    share = _ONE / np.float32(side * side)
    for t in range(count):
        means = np.zeros(3, np.float32)
        for i in range(side):
            row = luma[i + 1]
            sums = _colors(tiles[t, i], row[1 : side + 1], blue[i], red[i])
            for plane in range(3):
                means[plane] += sums[plane] * share
            row[0], row[side + 1] = row[2], row[side - 1]
        luma[0], luma[side + 1] = luma[2], luma[side - 1]
        for i in range(side):
            above, here, below = luma[i], luma[i + 1], luma[i + 2]
            for j in range(side + 2):
                columns[j] = above[j] + here[j] + below[j]
            _steps(here, columns, blue[i], red[i], means, pixels)
            cells, k = out[t, i // 2], i % 2
            for j in range(side // 2):
                cells[j, k] = pairs[j]


# Loops over a row in functions of their own, which the compiler does many pixels at a time of.


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _colors(
    row: np.ndarray, luma: np.ndarray, blue: np.ndarray, red: np.ndarray
) -> tuple[np.float32, np.float32, np.float32]:
    """Luma and color differences of uint8 [3 n] into float32 [n] each; gives their sums."""
    count = len(blue)
    for j in range(count):
        r, g, b = np.float32(row[3 * j]), np.float32(row[3 * j + 1]), np.float32(row[3 * j + 2])
        luma[j] = _YCC[0, 0] * r + _YCC[0, 1] * g + _YCC[0, 2] * b
        blue[j] = _YCC[1, 0] * r + _YCC[1, 1] * g + _YCC[1, 2] * b
        red[j] = _YCC[2, 0] * r + _YCC[2, 1] * g + _YCC[2, 2] * b
    of_luma = of_blue = of_red = np.float32(0)
    for j in range(count):
        of_luma += luma[j]
        of_blue += blue[j]
        of_red += red[j]
    return of_luma, of_blue, of_red


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _steps(
    luma: np.ndarray,
    columns: np.ndarray,
    blue: np.ndarray,
    red: np.ndarray,
    means: np.ndarray,
    out: np.ndarray,
) -> None:
    """What is told of each pixel of a row, in one number: uint32 [n].

    Args:
        luma, columns: float32 [n + 2], with the pixels beside the row; sums of three rows of it.
        blue, red: float32 [n].
        means: float32 [3], of the tile.
    """
    of_luma, of_blue, of_red = means[0], means[1], means[2]
    center, left, middle, right = luma[1:-1], columns[:-2], columns[1:-1], columns[2:]
    u32 = np.uint32
    for j in range(len(out)):
        high = (center[j] - (left[j] + middle[j] + right[j]) * _NINTH) * _HIGH
        out[j] = u32(
            _step(center[j] - of_luma)
            | u32(_step(blue[j] - of_blue) << u32(8))
            | u32(_step(red[j] - of_red) << u32(16))
            | u32(_step(high) << u32(24))
        )


@njit(cache=True, nogil=True)
def gather(luma: np.ndarray, color: np.ndarray, out: np.ndarray) -> None:
    """Four, or two, neighboring values at a time into cells of 4 x 4 pixels.

    Args:
        luma: uint32 [4 n, n], four pixels of a row each.
        color: uint16 [2, 2 n, n], two values of a row each, blue then red.
        out: uint16 [n, n, 12], filled: 8 of luma, 2 each of blue and red.
    """
    count = out.shape[0]
    for y in range(count):
        for k in range(4):
            for x in range(count):
                four = luma[4 * y + k, x]
                out[y, x, 2 * k] = four & np.uint32(0xFFFF)
                out[y, x, 2 * k + 1] = four >> np.uint32(16)
        for plane in range(2):
            for k in range(2):
                for x in range(count):
                    out[y, x, 8 + 2 * plane + k] = color[plane, 2 * y + k, x]


@njit(cache=True, nogil=True)
def count_light(rgb: np.ndarray, light: np.ndarray) -> None:
    """Counts of pixels by light, see `histograms`.

    Args:
        rgb: uint8 [h, w, 3].
        light: int32 [LIGHT_BINS], added to.
    """
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            r, g, b = np.int32(rgb[y, x, 0]), np.int32(rgb[y, x, 1]), np.int32(rgb[y, x, 2])
            low, high = min(r, g, b), max(r, g, b)
            luma = (9798 * r + 19235 * g + 3735 * b + 16384) >> 15  # as OpenCV has it
            light[luma >> 3] += 1
            light[32 + (high >> 4)] += 1
            light[48 + (low >> 4)] += 1
            light[64] += high >= 253
            light[65] += low >= 250
            light[66] += high <= 5
            light[67] += high - low <= 4
            if x > 0 and y > 0:
                red = abs(r - rgb[y - 1, x, 0]) + abs(r - rgb[y, x - 1, 0])
                green = abs(g - rgb[y - 1, x, 1]) + abs(g - rgb[y, x - 1, 1])
                blue = abs(b - rgb[y - 1, x, 2]) + abs(b - rgb[y, x - 1, 2])
                light[68 + (luma >> 5)] += max(red, green, blue) <= FLAT
