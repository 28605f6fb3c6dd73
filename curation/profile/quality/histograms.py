"""Light of a picture as histograms."""

from __future__ import annotations

import numpy as np

from ..shrink_kernels import shrink_by
from .input_kernels import count_light

#: Side of the copy in which is counted, in pixels.
COARSE_PX = 80
#: Numbers on light.
LIGHT_BINS = 32 + 16 + 16 + 4 + 8

#: Square root of the share that a count stands for.
_ROOTS = np.sqrt(np.arange(COARSE_PX**2 + 1, dtype=np.float32) / np.float32(COARSE_PX**2))


def coarse(overview: np.ndarray) -> np.ndarray:
    """uint8 [320, 320, 3] to [80, 80, 3] by area."""
    out = np.empty((COARSE_PX, COARSE_PX, 3), np.uint8)
    shrink_by(np.ascontiguousarray(overview).reshape(len(overview), -1), len(overview) // COARSE_PX, out)
    return out


def light_histogram(rgb: np.ndarray) -> np.ndarray:
    """All that exposure is judged by, and part of what cast is.

    Args:
        rgb: uint8 [80, 80, 3].

    Returns:
        float32 [LIGHT_BINS], square roots of shares of all pixels, so that rare ones count: by luma, by the largest and the
        smallest channel, of what is clipped or without color, and by luma where there is no edge.
    """
    counts = np.zeros(LIGHT_BINS, np.int32)
    count_light(rgb, counts)
    return _ROOTS[counts]
