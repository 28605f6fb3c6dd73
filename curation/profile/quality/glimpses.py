"""A closer look at where a watermark is likeliest: in a whole picture made small, thin letters are lost."""

from __future__ import annotations

import cv2
import numpy as np

from ..shrink import shrink_by_halves

#: Side of the square that is looked at closer, in pixels.
GLIMPSE_PX = 240
#: What it shows, as a share of each side of the picture: seen 1.9 times as large as in an overview.
SHARE = 0.4
#: Least short side, in pixels, that the picture which they are cut from is halved to.
HALVED_PX = 448
#: No side of it is longer than this, in pixels, as long strips would fill the memory.
_LONGEST_PX = 2048


def fine_copy(rgb: np.ndarray) -> np.ndarray:
    """What glimpses are cut from: halved while the short side stays at `HALVED_PX` or more.

    Args:
        rgb: uint8 [h, w, 3] or [h, w].

    Returns:
        uint8 [h', w', 3] or [h', w'], short side below 896 px, no side over 2,048 px; the input itself when it is such.
    """
    rgb = shrink_by_halves(rgb, HALVED_PX)
    height, width = (min(side, _LONGEST_PX) for side in rgb.shape[:2])
    if (height, width) == rgb.shape[:2]:
        return rgb
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)


def likeliest_place(likely: np.ndarray) -> tuple[float, float]:
    """Where a map is highest: down and across, as shares of the picture's sides.

    Args:
        likely: float32 [h, w], of `MarkNetwork`, higher is likelier.
    """
    row, column = divmod(int(likely.argmax()), likely.shape[1])
    return (row + 0.5) / likely.shape[0], (column + 0.5) / likely.shape[1]


def window(shape: tuple[int, ...], place: tuple[float, float]) -> tuple[slice, slice]:
    """The rows and columns of a picture [h, w, ...] that a glimpse shows, moved inside it.

    Args:
        place: its center, see `likeliest_place`.
    """
    cut = []
    for side, center in zip(shape[:2], place, strict=True):
        length = max(1, round(SHARE * side))
        start = min(max(0, round(center * side - length / 2)), side - length)
        cut.append(slice(start, start + length))
    return cut[0], cut[1]


def glimpse(fine: np.ndarray, place: tuple[float, float]) -> np.ndarray:
    """A part of a `fine_copy`: uint8 [GLIMPSE_PX, GLIMPSE_PX, 3]; `place` as for `window`."""
    part = fine[window(fine.shape, place)]
    mode = cv2.INTER_AREA if max(part.shape[:2]) > 2 * GLIMPSE_PX else cv2.INTER_LINEAR
    return cv2.resize(part, (GLIMPSE_PX, GLIMPSE_PX), interpolation=mode)
