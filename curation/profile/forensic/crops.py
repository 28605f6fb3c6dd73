"""Which parts of a picture are looked at."""

from __future__ import annotations

import cv2
import numpy as np

from ..window_kernel import green_differences

#: Side of a crop, in pixels at native resolution.
CROP_PX = 64
#: Crops per picture.
CROPS = 5
_GRID = 8
#: Mean absolute difference of neighbors, in grey levels, below which a place shows nothing.
_FLAT_LEVELS = 0.4
#: Share of the places ranked by activity that the crops are spread over, from the busiest down.
_BUSIEST_SHARE = 0.75


def textured_crops(rgb: np.ndarray) -> np.ndarray:
    """Up to `CROPS` places with something to see, spread over the busiest three quarters.

    A grid of at most 8 x 8 places, on multiples of 16 px so that the phase of a decoder's grid is the
    same in all of them, is ranked by the mean absolute difference of horizontal neighbors in green.

    Args:
        rgb: uint8 [h, w, 3] at native resolution. Smaller than `CROP_PX`: mirrored outward.

    Returns:
        uint8 [n, CROP_PX, CROP_PX, 3], 0 <= n <= CROPS; none where the picture is flat.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < CROP_PX:
        down, right = max(0, CROP_PX - height), max(0, CROP_PX - width)
        rgb = cv2.copyMakeBorder(rgb, 0, down, 0, right, cv2.BORDER_REFLECT)
        height, width = rgb.shape[:2]
    tops, lefts = _places(height), _places(width)
    places = [(top, left) for top in tops for left in lefts]
    compared = (CROP_PX // 4) * (CROP_PX - 1)
    activity = green_differences(rgb, np.array(tops), np.array(lefts), CROP_PX) / compared
    order = np.argsort(-activity, kind="stable")
    order = order[activity[order] >= _FLAT_LEVELS]
    kept = order[: max(CROPS, int(len(order) * _BUSIEST_SHARE))]
    chosen = kept[np.unique(np.linspace(0, len(kept) - 1, min(CROPS, len(kept))).round().astype(int))]
    crops = np.empty((len(chosen), CROP_PX, CROP_PX, 3), np.uint8)
    for i, place in enumerate(chosen):
        top, left = places[place]
        crops[i] = rgb[top : top + CROP_PX, left : left + CROP_PX]
    return crops


def _places(length: int) -> list[int]:
    """At most `_GRID` starts, evenly spread, on multiples of 16."""
    count = min(_GRID, max(1, length // CROP_PX))
    return sorted({int(start) // 16 * 16 for start in np.linspace(0, length - CROP_PX, count)})
