"""Where blur is looked for: windows in grey, at native resolution and half of it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ..shrink import shrink_by_halves
from .crops import TILE_PX, octaves_above

#: Side of a window as it is seen, in pixels.
WINDOW_PX = 128
#: Windows at native resolution.
NATIVE_WINDOWS = 4
#: Ranks of the places that windows are centered on, plain to busy; wide ones are of twice the side, reduced by two.
_NATIVE_RANKS, _WIDE_RANKS = np.linspace(0.3, 1.0, NATIVE_WINDOWS), (0.55, 0.7, 0.85, 1.0)


class BlurWindows(NamedTuple):
    """Attributes:
    native: see `native_windows`.
    wide: see `wide_windows`.
    octaves: of the picture, see `crops.octaves_above`.
    """

    native: list[np.ndarray]
    wide: list[np.ndarray]
    octaves: float


def blur_windows(rgb: np.ndarray, places: np.ndarray, halved: np.ndarray | None = None) -> BlurWindows:
    """All windows. Args as of `wide_windows`."""
    return BlurWindows(native_windows(rgb, places), wide_windows(rgb, places, halved), octaves_above(rgb))


def native_windows(rgb: np.ndarray, places: np.ndarray) -> list[np.ndarray]:
    """Windows as they are.

    Args:
        rgb: uint8 [h, w, 3] at native resolution, of `crops.large_enough`.
        places: int [n, 2], see `crops.ranked_places`.

    Returns:
        `NATIVE_WINDOWS` of uint8 [side, side], luma (BT.601); the side is that of a window, or of a picture that is smaller.
    """
    side = min(WINDOW_PX, *rgb.shape[:2])
    return [_grey(_window(rgb, place, side)) for place in _ranked(places, _NATIVE_RANKS)]


def wide_windows(rgb: np.ndarray, places: np.ndarray, halved: np.ndarray | None = None) -> list[np.ndarray]:
    """Larger windows, in which wide blur is told.

    Args:
        rgb: uint8 [h, w, 3] at native resolution, of `crops.large_enough`.
        places: int [n, 2], see `crops.ranked_places`.
        halved: uint8 [h // 2, w // 2, 3], the same halved (`shrink.shrink_by_halves`), if there is such a copy: windows are
            found in a quarter of the memory then, and are the same.

    Returns:
        of uint8 [WINDOW_PX, WINDOW_PX], luma.
    """
    side, wanted = min(2 * WINDOW_PX, *rgb.shape[:2]), _ranked(places, _WIDE_RANKS)
    if side == 2 * WINDOW_PX:
        return [_grey(_halved_window(rgb, place, halved)) for place in wanted]
    mode = cv2.INTER_AREA if side > WINDOW_PX else cv2.INTER_LINEAR
    size = (WINDOW_PX, WINDOW_PX)
    return [cv2.resize(_grey(_window(rgb, place, side)), size, interpolation=mode) for place in wanted]


def _halved_window(rgb: np.ndarray, place: list[int], halved: np.ndarray | None) -> np.ndarray:
    top, left = (start // 2 for start in _corner(rgb, place, 2 * WINDOW_PX))
    if halved is not None:
        return halved[top : top + WINDOW_PX, left : left + WINDOW_PX]
    top, left = 2 * top, 2 * left
    return shrink_by_halves(rgb[top : top + 2 * WINDOW_PX, left : left + 2 * WINDOW_PX], WINDOW_PX)


def _ranked(places: np.ndarray, ranks: np.ndarray | tuple[float, ...]) -> list[list[int]]:
    return [places[round(rank * (len(places) - 1))].tolist() for rank in ranks]


def _corner(rgb: np.ndarray, place: list[int], side: int) -> tuple[int, int]:
    """Top and left of the window with the middle of a tile in its own, moved inside the picture."""
    top, left = (
        min(max(0, start + TILE_PX // 2 - side // 2), length - side)
        for start, length in zip(place, rgb.shape[:2], strict=True)
    )
    return top, left


def _window(rgb: np.ndarray, place: list[int], side: int) -> np.ndarray:
    top, left = _corner(rgb, place, side)
    return rgb[top : top + side, left : left + side]


def _grey(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
