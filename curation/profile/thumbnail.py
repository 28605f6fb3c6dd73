"""Thumbnails: what later stages and the report look at."""

from __future__ import annotations

import numpy as np
import simplejpeg

from .shrink import shrink

#: Longest short side of a thumbnail, in pixels.
SHORT_SIDE_PX = 336
_QUALITY = 85


def thumbnail(rgb: np.ndarray) -> tuple[bytes, int, int]:
    """A JPEG (quality 85, 4:2:0) of short side at most 336 px, long side at most 2,688 px.

    Args:
        rgb: uint8 [h, w, 3], sRGB as displayed. Never enlarged.

    Returns:
        (JPEG bytes, width_px, height_px).
    """
    small = np.ascontiguousarray(shrink(rgb, SHORT_SIDE_PX))
    encoded = simplejpeg.encode_jpeg(small, quality=_QUALITY, colorsubsampling="420")
    return encoded, small.shape[1], small.shape[0]
