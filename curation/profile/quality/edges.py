"""How steep edges are, by direction: blur makes them flat, motion those alone that lie across it.

A convolution sees one place; which directions have lost their steep edges is known from many.
"""

from __future__ import annotations

import numpy as np

from .crops import TILE_PX
from .edge_kernels import DIRECTIONS, STEPS, steeper_shares

#: Windows at native resolution, and their side in pixels.
EDGE_WINDOWS, _WINDOW_PX = 8, 128
#: Ranks of the places they are centered on, plain to busy.
_RANKS = np.linspace(0.3, 1.0, EDGE_WINDOWS)
#: Each is seen at so many scales, and so is the whole picture made small.
_SCALES = 3
#: Values of one direction of a window.
EDGE_VALUES = _SCALES * STEPS


def edge_histograms(rgb: np.ndarray, places: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Shares of steep slopes in windows at native resolution, then in the whole picture made small.

    Args:
        rgb: uint8 [h, w, 3] at native resolution, sides at least 64 px.
        places: int [n, 2], see `crops.ranked_places`.
        whole: uint8 [320, 320, 3], see `crops.overview`.

    Returns:
        float32 [EDGE_WINDOWS + 1, EDGE_VALUES, DIRECTIONS], see `edge_kernels.steeper_shares`.
    """
    out = np.empty((EDGE_WINDOWS + 1, _SCALES, STEPS, DIRECTIONS), np.float32)
    side = min(_WINDOW_PX, *rgb.shape[:2])
    last = len(places) - 1
    for k, rank in enumerate(_RANKS):
        top, left = _around(places[round(rank * last)], side, rgb.shape)
        out[k] = steeper_shares(rgb[top : top + side, left : left + side], _SCALES, every=2)
    out[EDGE_WINDOWS] = steeper_shares(whole, _SCALES, every=2)
    return out.reshape(EDGE_WINDOWS + 1, EDGE_VALUES, DIRECTIONS)


def _around(place: np.ndarray, side: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """Top and left of a window with the middle of a tile in its own, moved inside the picture."""
    return tuple(
        int(min(max(0, start + TILE_PX // 2 - side // 2), length - side))
        for start, length in zip(place, shape[:2], strict=True)
    )
