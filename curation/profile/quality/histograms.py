"""Color and light of a picture as histograms: all that its cast and exposure are judged by.

In log-chroma coordinates (log green/red, log green/blue) a change of white balance shifts every pixel alike
(Barron, "Convolutional color constancy", 2015), so what a cast does to the histogram of a neutral picture is a
translation.
"""

from __future__ import annotations

import numpy as np

from ..shrink_kernels import shrink_by
from .input_kernels import count_colors, look_up

#: Side of the copy in which is counted, in pixels.
COARSE_PX = 80
#: Bins along a side of a log-chroma histogram, and bins per unit of (natural) log chroma; 0 is in the middle.
BINS, BINS_PER_UNIT = 64, 16
#: Histograms: of dark, middle, bright pixels and of edges.
CHROMA_CHANNELS = 4
#: Numbers on light.
LIGHT_BINS = 32 + 16 + 16 + 4 + 8

#: Log of every level, in bins.
_LOGS = np.log(np.arange(256, dtype=np.float32) + 1) * np.float32(BINS_PER_UNIT)
#: Square root of the share that a count stands for.
_ROOTS = np.sqrt(np.arange(COARSE_PX**2 + 1, dtype=np.float32) / np.float32(COARSE_PX**2))


def chroma_plane() -> np.ndarray:
    """Quantities of every bin of log chroma whose means tell where a histogram lies and how wide it is.

    Returns:
        float32 [BINS * BINS, 9]: log g/r, log g/b, both squared, their product, their length, and how near the middle that
        is, in three scales.
    """
    place = (np.arange(BINS, dtype=np.float32) - BINS // 2) / BINS_PER_UNIT
    row, column = np.meshgrid(place, place, indexing="ij")
    radius = np.hypot(row, column)
    near = [np.exp(-0.5 * (radius / r) ** 2) for r in (0.1, 0.2, 0.4)]
    plane = np.stack([row, column, row * row, column * column, row * column, radius, *near], axis=-1)
    return plane.reshape(BINS * BINS, -1).astype(np.float32)


def coarse(overview: np.ndarray) -> np.ndarray:
    """uint8 [320, 320, 3] to [80, 80, 3] by area."""
    out = np.empty((COARSE_PX, COARSE_PX, 3), np.uint8)
    shrink_by(np.ascontiguousarray(overview).reshape(len(overview), -1), len(overview) // COARSE_PX, out)
    return out


def color_histograms(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All that cast and exposure are judged by.

    Args:
        rgb: uint8 [80, 80, 3].

    Returns:
        Square roots of shares of all pixels, so that rare colors count:
        of log chroma, float32 [CHROMA_CHANNELS, BINS, BINS], axes (channel, log g/r, log g/b);
        of luma, of the largest and of the smallest channel, of what is clipped or without color, and of luma where there
        is no edge: float32 [LIGHT_BINS].
    """
    chroma, light = np.zeros((CHROMA_CHANNELS, BINS, BINS), np.int32), np.zeros(LIGHT_BINS, np.int32)
    count_colors(rgb, _LOGS, chroma, light)
    roots = np.empty(chroma.shape, np.float32)
    look_up(chroma.reshape(-1), _ROOTS, roots.reshape(-1))
    return roots, _ROOTS[light]
