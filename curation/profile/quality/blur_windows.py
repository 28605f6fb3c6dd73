"""Where blur is looked for: windows in grey, at native resolution and half of it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

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


def blur_windows(rgb: np.ndarray, places: np.ndarray) -> BlurWindows:
    """All windows. Args as of `native_windows`."""
    return BlurWindows(native_windows(rgb, places), wide_windows(rgb, places), octaves_above(rgb))


def native_windows(rgb: np.ndarray, places: np.ndarray) -> list[np.ndarray]:
    """Windows as they are.

    Args:
        rgb: uint8 [h, w, 3] at native resolution, of `crops.large_enough`.
        places: int [n, 2], see `crops.ranked_places`.

    Returns:
        `NATIVE_WINDOWS` of uint8 [side, side], luma (BT.601); the side is that of a window, or of a picture that is smaller.
    """
    side = min(WINDOW_PX, *rgb.shape[:2])
    return [_grey(rgb, place, side) for place in _ranked(places, _NATIVE_RANKS)]


def wide_windows(rgb: np.ndarray, places: np.ndarray) -> list[np.ndarray]:
    """Larger windows, in which wide blur is told: uint8 [WINDOW_PX, WINDOW_PX] each. Args as of `native_windows`."""
    side = min(2 * WINDOW_PX, *rgb.shape[:2])
    mode = cv2.INTER_AREA if side > WINDOW_PX else cv2.INTER_LINEAR
    size = (WINDOW_PX, WINDOW_PX)
    return [
        cv2.resize(_grey(rgb, place, side), size, interpolation=mode)
        for place in _ranked(places, _WIDE_RANKS)
    ]


def _ranked(places: np.ndarray, ranks: np.ndarray | tuple[float, ...]) -> list[list[int]]:
    return [places[round(rank * (len(places) - 1))].tolist() for rank in ranks]


def _grey(rgb: np.ndarray, place: list[int], side: int) -> np.ndarray:
    """The window with the middle of a tile in its own, moved inside the picture."""
    top, left = (
        min(max(0, start + TILE_PX // 2 - side // 2), length - side)
        for start, length in zip(place, rgb.shape[:2], strict=True)
    )
    return cv2.cvtColor(rgb[top : top + side, left : left + side], cv2.COLOR_RGB2GRAY)
