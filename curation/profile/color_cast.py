"""Color cast: a tint over everything."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .count_kernels import neutral_sums
from .shrink import shrink_by_halves

#: A tint is no matter of detail: it is measured at about this short side, in pixels.
_SIDE_PX = 64

#: CIELAB lightness range that is trusted: darker pixels are noise, brighter ones are clipped.
_DARK, _BRIGHT = 15.0, 98.0


def color_cast(rgb: np.ndarray) -> float:
    """Mean chroma shift of the least colorful half of the picture, in CIELAB.

    Of the pixels with 15 <= L* <= 98, the half nearest to neutral is taken; the length of their mean
    (a*, b*) is the cast. A tint moves all of them the same way, while real colors of several hues
    cancel. A picture that truly has one color throughout (grass, sky) reads as a cast as well.

    Args:
        rgb: uint8 [h, w, 3], sRGB; meant for the working image.

    Returns:
        CIELAB units, 0 (neutral) .. about 130; around 2 to 8 for photographs with correct white
        balance. 0 when no pixel is in the lightness range.
    """
    small = shrink_by_halves(rgb, _SIDE_PX)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).reshape(-1, 3)  # L* x 255/100, a* + 128, b* + 128
    a, b, count = neutral_sums(lab, math.ceil(_DARK * 2.55), math.floor(_BRIGHT * 2.55))
    return math.hypot(a / count, b / count) if count else 0.0
