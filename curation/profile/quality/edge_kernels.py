"""Compiled loops of `edges`: steepness and direction of the brightness at every place. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from numba import njit

#: Directions of a histogram, over half a turn, and its classes of steepness: half octaves from one level per pixel on, the
#: last open.
DIRECTIONS, STEPS = 16, 15
#: A class is 16 times the direction, and the step, or this where it is flat.
_FLAT = 15
#: Histograms that take turns: in plain places one class follows itself, and counting it would wait for its last count.
_TURNS = 4


def _classes() -> np.ndarray:
    """Class by the two diagonal differences, uint8 [2 * 256 * 256]: whether their signs differ, and their sizes.

    Sizes alone keep the table small enough to stay near the processor.
    """
    u, v = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    steep = np.hypot(u, v) / np.sqrt(2)  # levels per pixel of the mean slope in a square of 2 x 2
    step = np.clip(np.floor(2 * np.log2(np.maximum(steep, 1e-9))), -1, STEPS - 1).astype(int)
    turn = np.arctan2(v, u) / np.pi
    either = np.stack([turn, 1 - turn])
    direction = np.floor(either * DIRECTIONS + 0.5).astype(int) % DIRECTIONS
    return np.where(step < 0, _FLAT, direction * 16 + step).astype(np.uint8).reshape(-1)


_CLASSES = _classes()


@njit(cache=True, nogil=True)
def _halved(grey: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = grey.shape[0] // 2, grey.shape[1] // 2
    out = np.empty((height, width), np.uint8)
    for y in range(height):
        above, below, row = grey[2 * y], grey[2 * y + 1], out[y]
        for x in range(width):
            left = np.uint16(above[2 * x]) + np.uint16(below[2 * x])
            right = np.uint16(above[2 * x + 1]) + np.uint16(below[2 * x + 1])
            row[x] = (left + right + np.uint16(2)) >> np.uint16(2)
    return out


@njit(cache=True, nogil=True)
def _count(grey: np.ndarray, every: int, classes: np.ndarray, counts: np.ndarray) -> int:
    """Count what is in one row of every so many; gives how many pixels were looked at.

    Args:
        counts: uint32 [_TURNS * 256], added to.
    """
    width = grey.shape[1] - 1
    found = np.empty(width, np.uint32)
    looked = 0
    for y in range(0, grey.shape[0] - 1, every):
        above, above_right = grey[y, :width], grey[y, 1:]
        below, below_right = grey[y + 1, :width], grey[y + 1, 1:]
        for x in range(width):  # apart from the counting, so that many are done at a time
            u = np.int32(below_right[x]) - np.int32(above[x])
            v = np.int32(below[x]) - np.int32(above_right[x])
            differ = np.uint32(u ^ v) >> np.uint32(31)
            found[x] = (differ << np.uint32(16)) | (np.uint32(abs(u)) << np.uint32(8)) | np.uint32(abs(v))
        for x in range(width):
            turn = np.uint32(x % _TURNS) << np.uint32(8)
            counts[turn | np.uint32(classes[found[x]])] += np.uint32(1)
        looked += width
    return looked


@njit(cache=True, nogil=True)
def _shares(grey: np.ndarray, every: int, classes: np.ndarray, out: np.ndarray) -> None:
    for scale in range(out.shape[0]):
        if scale:
            grey = _halved(grey)
        counts = np.zeros(_TURNS * 256, np.uint32)
        looked = _count(grey, every if scale == 0 else 1, classes, counts)
        for direction in range(DIRECTIONS):
            steeper = np.uint32(0)
            for step in range(STEPS - 1, -1, -1):
                for turn in range(_TURNS):
                    steeper += counts[256 * turn + 16 * direction + step]
                out[scale, step, direction] = np.float32(steeper) / np.float32(max(1, looked))


def steeper_shares(grey: np.ndarray, scales: int, every: int) -> np.ndarray:
    """Share of pixels whose slope has a direction and is at least so steep, at several scales, each half the last.

    Slopes are those of the mean in squares of 2 x 2 pixels. Step k is a slope of 2^(k/2) levels per
    pixel and more. Direction 0 is a diagonal; a quarter of a turn is 8 on, a mirrored picture has (8 - k) mod 16 for k.

    Args:
        grey: uint8 [h, w], both sides at least 2^scales.
        scales: how many.
        every: at the first scale, one row in so many is looked at.

    Returns:
        float32 [scales, STEPS, DIRECTIONS], 0..1.
    """
    out = np.empty((scales, STEPS, DIRECTIONS), np.float32)
    _shares(grey, every, _CLASSES, out)
    return out
