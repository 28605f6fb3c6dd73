"""Compiled loop that turns values between convolutions into whole numbers. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from numba import njit

_HALF, _LOWEST, _HIGHEST = (np.float32(x) for x in (0.5, 0, 255))


@njit(cache=True, nogil=True)
def count_steps(values: np.ndarray, per_unit: np.ndarray, zero: int, out: np.ndarray) -> None:
    """Nearest numbers of steps; what is beyond 0 and 255 is clipped.

    Args:
        values: float32 [m, channels].
        per_unit: float32 [channels], steps in a unit.
        zero: steps that stand for 0.
        out: uint8 [m, channels], filled.
    """
    start = np.float32(zero) + _HALF
    for i in range(values.shape[0]):
        for c in range(values.shape[1]):
            steps = values[i, c] * per_unit[c] + start
            out[i, c] = np.uint8(min(max(steps, _LOWEST), _HIGHEST))
