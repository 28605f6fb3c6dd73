"""Color cast: a tint over everything."""

from __future__ import annotations

import cv2
import numpy as np

from .shrink import shrink_by_integer

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
    small = shrink_by_integer(rgb, _SIDE_PX)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).reshape(-1, 3)  # L* x 255/100, a* + 128, b* + 128
    lightness = lab[:, 0]
    trusted = lab[(lightness >= _DARK * 2.55) & (lightness <= _BRIGHT * 2.55), 1:]
    if not len(trusted):
        return 0.0
    ab = trusted.astype(np.float32) - 128
    chroma_squared = (ab * ab).sum(axis=1)
    neutral = ab[chroma_squared <= np.median(chroma_squared)]
    return float(np.hypot(*neutral.mean(axis=0, dtype=np.float64)))
