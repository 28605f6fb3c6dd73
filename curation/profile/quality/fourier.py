"""Fourier transforms of small planes by OpenCV, in NumPy's layout.

Importing this imports numba.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit


def forward(planes: np.ndarray) -> np.ndarray:
    """As `numpy.fft.rfft2`: complex64 [n, s, s / 2 + 1] of float32 [n, s, s], s even."""
    count, side = planes.shape[:2]
    out = np.empty((count, side, side // 2 + 1), np.complex64)
    for plane, spectrum in zip(planes, out, strict=True):
        unpack(cv2.dft(plane), spectrum)
    return out


@njit(cache=True, nogil=True)
def unpack(packed: np.ndarray, out: np.ndarray) -> None:
    """From the order in which OpenCV keeps half a spectrum, as many numbers as there are pixels: real and imaginary parts are
    neighbors in a row; but of the first and the middle frequency across, which are columns of their own, in a column.

    Args:
        packed: float32 [s, s].
        out: complex64 [s, s / 2 + 1], filled.
    """
    side = len(packed)
    half = side // 2
    for y in range(side):
        for x in range(1, half):
            out[y, x] = complex(packed[y, 2 * x - 1], packed[y, 2 * x])
    for column, x in ((0, 0), (side - 1, half)):
        out[0, x], out[half, x] = packed[0, column], packed[side - 1, column]
        for y in range(1, half):
            real, imaginary = packed[2 * y - 1, column], packed[2 * y, column]
            out[y, x], out[side - y, x] = complex(real, imaginary), complex(real, -imaginary)
