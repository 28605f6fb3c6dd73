"""Noise of a single picture."""

from __future__ import annotations

import math

import numpy as np

from .difference_kernels import second_difference_sum

#: Side of the central window that is measured, in pixels.
WINDOW_PX = 512


def noise_sigma(luma: np.ndarray) -> float:
    """Standard deviation of additive white noise, from the response to a second-difference mask.

    Measured at native resolution. Fine texture counts as noise, so pictures of grass or fabric read
    high; noise that a JPEG has smoothed reads low.

    Args:
        luma: uint8 [h, w].

    Returns:
        levels, >= 0. 0 when a side is under 3 px.

    Source: J. Immerkær, "Fast Noise Variance Estimation", CVIU 64(2), 1996.
    """
    height, width = luma.shape
    if min(height, width) < 3:
        return 0.0
    total = second_difference_sum(np.ascontiguousarray(luma))
    return math.sqrt(math.pi / 2) * total / (6 * (width - 2) * (height - 2))
