"""Compiled loops of `spectra`. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from numba import njit

#: Added to power: what rounding to whole levels leaves everywhere.
_FLOOR = np.float32(0.1)
#: So many powers are multiplied before their log is taken, which is slow; float32 has room for that.
_TOGETHER = 4


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def without_mean(windows: np.ndarray, taper: np.ndarray, out: np.ndarray) -> None:
    """Each window less its mean, tapered, in the first corner of its plane.

    Args:
        windows: uint8 [n, side, side].
        taper: float32 [side, side].
        out: float32 [n, s, s], s at least side.
    """
    side = windows.shape[1]
    for k in range(len(windows)):
        total = np.int32(0)
        for y in range(side):
            for x in range(side):
                total += np.int32(windows[k, y, x])
        mean = np.float32(total) / np.float32(side * side)
        for y in range(side):
            for x in range(side):
                out[k, y, x] = (np.float32(windows[k, y, x]) - mean) * taper[y, x]


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def multiplied_power(spectra: np.ndarray) -> np.ndarray:
    """Squared magnitudes and a little, four spectra at a time multiplied: float32 [n / 4, m] of complex64 [n, m].

    n is a multiple of four: what is over would be left out.
    """
    count, size = spectra.shape
    out = np.empty((count // _TOGETHER, size), np.float32)
    for k in range(count // _TOGETHER):
        a, b, c, d = (
            spectra[_TOGETHER * k],
            spectra[_TOGETHER * k + 1],
            spectra[_TOGETHER * k + 2],
            spectra[_TOGETHER * k + 3],
        )
        for i in range(size):
            out[k, i] = (
                (a[i].real * a[i].real + a[i].imag * a[i].imag + _FLOOR)
                * (b[i].real * b[i].real + b[i].imag * b[i].imag + _FLOOR)
                * (c[i].real * c[i].real + c[i].imag * c[i].imag + _FLOOR)
                * (d[i].real * d[i].real + d[i].imag * d[i].imag + _FLOOR)
            )
    return out


@njit(cache=True, nogil=True)
def mirror(halves: np.ndarray, out: np.ndarray) -> None:
    """Whole planes of even functions, of which the half is known that real transforms give.

    Args:
        halves: float32 [n, s, s / 2 + 1].
        out: float32 [n, s, s], filled.
    """
    side = out.shape[1]
    for n in range(len(out)):
        for y in range(side):
            here, there, row = halves[n, y], halves[n, (side - y) % side], out[n, y]
            for x in range(side // 2 + 1):
                row[x] = here[x]
            for x in range(1, side // 2):
                row[side - x] = there[x]


@njit(cache=True, nogil=True)
def along_rays(
    plane: np.ndarray, places: np.ndarray, weights: np.ndarray, scale: float, out: np.ndarray
) -> None:
    """Weighted sums of a plane's values.

    Args:
        plane: float32 [m].
        places, weights: int32 and float32 [radii, directions, taps].
        out: float32 [radii, directions], filled.
    """
    for r in range(out.shape[0]):
        for k in range(out.shape[1]):
            total = np.float32(0)
            for t in range(places.shape[2]):
                total += weights[r, k, t] * plane[places[r, k, t]]
            out[r, k] = total * np.float32(scale)
