"""Compiled inner loop of `icc_cube`. Importing this imports numba, so import it inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit

_RED, _GREEN, _BLUE = 33 * 33, 33, 1


@njit(nogil=True, cache=True)
def look_up(pixels, cube, out):
    """Tetrahedral interpolation in a cube of 33 x 33 x 33 colors, 8 levels apart.

    Args:
        pixels: uint8 [n * 3], red, green, blue in turn.
        cube: uint64 [33 ** 3], red slowest; red, green and blue of a node in 16 bits each from the
            lowest on, so that one product weighs all three.
        out: uint8 [n * 3], filled.

    Source: the tetrahedral interpolation of ICC workflows, e.g. Kasson et al., "Performing color space
    conversions with three-dimensional linear interpolation", Journal of Electronic Imaging 4(3), 1995.
    """
    half = np.uint64(0x0004_0004_0004)
    for i in range(0, pixels.size, 3):
        red, green, blue = np.int32(pixels[i]), np.int32(pixels[i + 1]), np.int32(pixels[i + 2])
        r, g, b = red & 7, green & 7, blue & 7
        # from the near corner along the axes, the largest fraction first, to the far corner
        if r >= g:
            if g >= b:
                first, second, high, middle, low = _RED, _GREEN, r, g, b
            elif r >= b:
                first, second, high, middle, low = _RED, _BLUE, r, b, g
            else:
                first, second, high, middle, low = _BLUE, _RED, b, r, g
        elif r >= b:
            first, second, high, middle, low = _GREEN, _RED, g, r, b
        elif g >= b:
            first, second, high, middle, low = _GREEN, _BLUE, g, b, r
        else:
            first, second, high, middle, low = _BLUE, _GREEN, b, g, r
        near = (red >> 3) * _RED + (green >> 3) * _GREEN + (blue >> 3) * _BLUE
        total = (
            np.uint64(8 - high) * cube[near]
            + np.uint64(high - middle) * cube[near + first]
            + np.uint64(middle - low) * cube[near + first + second]
            + np.uint64(low) * cube[near + _RED + _GREEN + _BLUE]
            + half
        ) >> np.uint64(3)
        out[i] = np.uint8(total & np.uint64(255))
        out[i + 1] = np.uint8((total >> np.uint64(16)) & np.uint64(255))
        out[i + 2] = np.uint8((total >> np.uint64(32)) & np.uint64(255))
