"""Compiled loops of `edges`: steepness and direction of the brightness at every place. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from numba import njit

#: Directions of a histogram, over half a turn, and its classes of steepness: half octaves from one level per pixel on.
DIRECTIONS, STEPS = 16, 16
_FLAT = DIRECTIONS * STEPS
#: Differences of brightness reach from -_MOST to _MOST quarter levels. Two would be a table too large to stay near the
#: processor, so each is rounded to a sixth of an octave first.
_MOST = 1020
_OCTAVES = np.rint(6 * np.log2(np.arange(1, _MOST + 1))).astype(int)
_SIDE = 2 * (_OCTAVES[-1] + 1) + 1
#: Difference + _MOST -> its class, 0.._SIDE - 1; the middle one is none.
_ROUNDED = (np.concatenate([-1 - _OCTAVES[::-1], [0], 1 + _OCTAVES]) + _SIDE // 2).astype(np.uint8)


def _places() -> np.ndarray:
    """Place in the histogram by the classes of the two diagonal differences, uint16 [_SIDE * _SIDE]; _FLAT is none."""
    octaves = np.arange(_SIDE // 2) / 6
    size = np.concatenate([-(2 ** octaves[::-1]), [0], 2**octaves])
    u, v = np.meshgrid(size, size, indexing="ij")
    steep = np.hypot(u, v) / np.sqrt(2) / 4  # levels per pixel of the mean slope in a square of 2 x 2
    step = np.clip(np.floor(2 * np.log2(np.maximum(steep, 1e-9))), -1, STEPS - 1).astype(int)
    turn = np.arctan2(np.abs(v), np.abs(u)) / np.pi
    turn = np.where((u < 0) != (v < 0), 1 - turn, turn)
    direction = np.floor(turn * DIRECTIONS + 0.5).astype(int) % DIRECTIONS
    return np.where(step < 0, _FLAT, direction * STEPS + step).astype(np.uint16).reshape(-1)


_PLACES = _places()


@njit(cache=True, nogil=True)
def _luma(rgb: np.ndarray) -> np.ndarray:
    """Brightness in quarter levels, int16 [h, w]: red, twice green and blue."""
    height, width = rgb.shape[:2]
    out = np.empty((height, width), np.int16)
    for y in range(height):
        for x in range(width):
            out[y, x] = np.int16(rgb[y, x, 0]) + 2 * np.int16(rgb[y, x, 1]) + np.int16(rgb[y, x, 2])
    return out


@njit(cache=True, nogil=True)
def _halved(luma: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = luma.shape[0] // 2, luma.shape[1] // 2
    out = np.empty((height, width), np.int16)
    for y in range(height):
        for x in range(width):
            total = (
                luma[2 * y, 2 * x]
                + luma[2 * y, 2 * x + 1]
                + luma[2 * y + 1, 2 * x]
                + luma[2 * y + 1, 2 * x + 1]
            )
            out[y, x] = (total + 2) >> 2
    return out


@njit(cache=True, nogil=True)
def _count(luma: np.ndarray, every: int, rounded: np.ndarray, places: np.ndarray, counts: np.ndarray) -> int:
    """Count what is in one row of every so many; gives how many pixels were looked at."""
    most, side, width = np.int32(_MOST), np.uint32(_SIDE), luma.shape[1] - 1
    looked = 0
    for y in range(0, luma.shape[0] - 1, every):
        above, below = luma[y], luma[y + 1]
        for x in range(width):  # without signs: an index that may be negative costs as much as all else here
            u = np.uint32(np.int32(below[x + 1]) - np.int32(above[x]) + most)
            v = np.uint32(np.int32(below[x]) - np.int32(above[x + 1]) + most)
            counts[places[np.uint32(rounded[u]) * side + np.uint32(rounded[v])]] += np.uint32(1)
        looked += width
    return looked


@njit(cache=True, nogil=True)
def _shares(rgb: np.ndarray, every: int, rounded: np.ndarray, places: np.ndarray, out: np.ndarray) -> None:
    luma = _luma(rgb)
    for scale in range(out.shape[0]):
        if scale:
            luma = _halved(luma)
        counts = np.zeros(_FLAT + 1, np.uint32)
        looked = _count(luma, every if scale == 0 else 1, rounded, places, counts)
        for direction in range(DIRECTIONS):
            steeper = np.uint32(0)
            for step in range(STEPS - 1, -1, -1):
                steeper += counts[direction * STEPS + step]
                out[scale, step, direction] = np.float32(steeper) / np.float32(max(1, looked))


def steeper_shares(rgb: np.ndarray, scales: int, every: int) -> np.ndarray:
    """Share of pixels whose slope has a direction and is at least so steep, at several scales, each half the last.

    Slopes are those of the mean brightness in squares of 2 x 2 pixels. Step k is a slope of 2^(k/2) levels per pixel and more.
    Direction 0 is a diagonal; a quarter of a turn is 8 on, a mirrored picture has (8 - k) mod 16 for k.

    Args:
        rgb: uint8 [h, w, 3], both sides at least 2^scales.
        scales: how many.
        every: at the first scale, one row in so many is looked at.

    Returns:
        float32 [scales, STEPS, DIRECTIONS], 0..1.
    """
    out = np.empty((scales, STEPS, DIRECTIONS), np.float32)
    _shares(rgb, every, _ROUNDED, _PLACES, out)
    return out
