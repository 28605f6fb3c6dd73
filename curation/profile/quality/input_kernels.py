"""Compiled loops over pixels that prepare what the networks see. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from numba import njit

_ONE, _NINTH = np.float32(1), np.float32(1 / 9)
_ZERO, _LOWEST, _HIGHEST = (np.float32(x) for x in (128.5, 0, 255))
#: Levels per step of what is told of a tile: luma, blue and red difference, and high frequencies enlarged `_ENLARGED` times.
TILE_STEPS = (1.5, 0.75, 0.75, 1.5)
_ENLARGED = 8
#: Bounds of luma between dark, middle and bright pixels.
DARK_LUMA, BRIGHT_LUMA = 70, 150
#: A channel beyond these is clipped, or too dark to have a color.
LOWEST, HIGHEST = 4, 248
#: Weakest edge counted: sum of differences of a channel in two directions, largest channel.
EDGE = 10
#: The strongest that is no edge at all: as drawn grounds have it, and skies.
FLAT = 1
#: ITU-R BT.601 luma and scaled color differences.
_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]], np.float32
) / np.float32(TILE_STEPS[:3]).reshape(3, 1)
_HIGH = np.float32(_ENLARGED * TILE_STEPS[0] / TILE_STEPS[3])


@njit(inline="always")
def _step(value: np.float32) -> np.uint8:
    """The nearest whole number about 128."""
    return np.uint8(min(max(value + _ZERO, _LOWEST), _HIGHEST))


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def tile_planes(tiles: np.ndarray, out: np.ndarray) -> None:
    """Luma and color differences about the mean of each tile, and high frequencies of luma, in steps of `TILE_STEPS`; 128 is
    none, what is beyond 0 and 255 is clipped.

    Args:
        tiles: uint8 [t, side, side, 3].
        out: uint8 [t, side / 2, side / 2, 16], filled: the four of each of 2 x 2 pixels, row by row.
    """
    count, side = tiles.shape[:2]
    luma = np.empty((side + 2, side + 2), np.float32)  # mirrored outward by a pixel
    blue, red = np.empty((side, side), np.float32), np.empty((side, side), np.float32)
    column = np.empty(side + 2, np.float32)
    share = _ONE / np.float32(side * side)
    for t in range(count):
        means = np.zeros(3, np.float32)
        for i in range(side):
            for j in range(side):
                r, g, b = (
                    np.float32(tiles[t, i, j, 0]),
                    np.float32(tiles[t, i, j, 1]),
                    np.float32(tiles[t, i, j, 2]),
                )
                luma[i + 1, j + 1] = _YCC[0, 0] * r + _YCC[0, 1] * g + _YCC[0, 2] * b
                blue[i, j] = _YCC[1, 0] * r + _YCC[1, 1] * g + _YCC[1, 2] * b
                red[i, j] = _YCC[2, 0] * r + _YCC[2, 1] * g + _YCC[2, 2] * b
            luma[i + 1, 0], luma[i + 1, side + 1] = luma[i + 1, 2], luma[i + 1, side - 1]
            of_luma = of_blue = of_red = np.float32(0)
            for j in range(side):
                of_luma += luma[i + 1, j + 1]
                of_blue += blue[i, j]
                of_red += red[i, j]
            means[0] += of_luma * share
            means[1] += of_blue * share
            means[2] += of_red * share
        luma[0], luma[side + 1] = luma[2], luma[side - 1]
        for i in range(side):
            for j in range(side + 2):
                column[j] = luma[i, j] + luma[i + 1, j] + luma[i + 2, j]
            for j in range(side):
                here = luma[i + 1, j + 1]
                high = here - (column[j] + column[j + 1] + column[j + 2]) * _NINTH
                cell, k = out[t, i // 2, j // 2], 8 * (i % 2) + 4 * (j % 2)
                cell[k] = _step(here - means[0])
                cell[k + 1] = _step(blue[i, j] - means[1])
                cell[k + 2] = _step(red[i, j] - means[2])
                cell[k + 3] = _step(high * _HIGH)


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
def count_colors(rgb: np.ndarray, logs: np.ndarray, chroma: np.ndarray, light: np.ndarray) -> None:
    """Counts of pixels by log chroma and by light, see `histograms`.

    Args:
        rgb: uint8 [h, w, 3].
        logs: float32 [256], of each level, in bins.
        chroma: int32 [CHROMA_CHANNELS, BINS, BINS], added to.
        light: int32 [LIGHT_BINS], added to.
    """
    last = np.float32(chroma.shape[1] - 1)
    middle = np.float32(chroma.shape[1] // 2) + np.float32(0.5)
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
            across = x > 0 and y > 0
            if across:
                red = min(255, abs(r - rgb[y - 1, x, 0]) + abs(r - rgb[y, x - 1, 0]))
                green = min(255, abs(g - rgb[y - 1, x, 1]) + abs(g - rgb[y, x - 1, 1]))
                blue = min(255, abs(b - rgb[y - 1, x, 2]) + abs(b - rgb[y, x - 1, 2]))
                strongest = max(red, green, blue)
                light[68 + (luma >> 5)] += strongest <= FLAT
            if low < LOWEST or high > HIGHEST:
                continue
            group = (luma >= DARK_LUMA) + (luma >= BRIGHT_LUMA)
            row = min(max(logs[g] - logs[r] + middle, np.float32(0)), last)
            column = min(max(logs[g] - logs[b] + middle, np.float32(0)), last)
            chroma[group, int(row), int(column)] += 1
            if across and strongest >= EDGE:
                row = min(max(logs[green] - logs[red] + middle, np.float32(0)), last)
                column = min(max(logs[green] - logs[blue] + middle, np.float32(0)), last)
                chroma[3, int(row), int(column)] += 1
