"""Compiled inner loop of `icc_cube`. Importing this imports numba, so import it inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit

_RED, _GREEN, _BLUE = np.uint32(33 * 33), np.uint32(33), np.uint32(1)
#: A fraction of an eighth, and below it the distance to the next node along its axis, in one number that sorts by the first.
_DISTANCE_BITS = np.uint32(11)
_DISTANCE = np.uint32(2**11 - 1)


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
    # unsigned throughout: an index that may be negative is tested for it
    u32, u64 = np.uint32, np.uint64
    fraction, step = u32(7), u32(3)
    half = u64(0x0004_0004_0004)
    for pixel in range(pixels.size // 3):
        i = u64(3) * u64(pixel)
        red, green, blue = u32(pixels[i]), u32(pixels[i + u64(1)]), u32(pixels[i + u64(2)])
        # from the near corner along the axes, the largest fraction first, to the far corner; sorted without branches,
        # which the processor would guess wrong in every other pixel
        r = u32(u32(u32(red & fraction) << _DISTANCE_BITS) | _RED)
        g = u32(u32(u32(green & fraction) << _DISTANCE_BITS) | _GREEN)
        b = u32(u32(u32(blue & fraction) << _DISTANCE_BITS) | _BLUE)
        more, less = max(r, g), min(r, g)
        other = min(more, b)
        top, center, bottom = max(more, b), max(less, other), min(less, other)
        near = u32(u32(red >> step) * _RED + u32(green >> step) * _GREEN + u32(blue >> step))
        first = u32(near + u32(top & _DISTANCE))
        second = u32(first + u32(center & _DISTANCE))
        color, color_1, color_2 = cube[u64(near)], cube[u64(first)], cube[u64(second)]
        color_3 = cube[u64(near) + u64(_RED + _GREEN + _BLUE)]
        # what one color borrows from the next in a difference it gets back in the sum
        total = (color << u64(3)) + half
        total += u64(top >> _DISTANCE_BITS) * (color_1 - color)
        total += u64(center >> _DISTANCE_BITS) * (color_2 - color_1)
        total += u64(bottom >> _DISTANCE_BITS) * (color_3 - color_2)
        total >>= u64(3)
        out[i] = np.uint8(total)
        out[i + u64(1)] = np.uint8(total >> u64(16))
        out[i + u64(2)] = np.uint8(total >> u64(32))
