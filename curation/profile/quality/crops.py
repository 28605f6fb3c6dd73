"""What the network looks at: tiles at native resolution, and the whole picture made small."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ..shrink import interpolated
from ..shrink_kernels import shrink_by
from ..window_kernel import green_edges

#: Side of a tile, in pixels of the stored picture: shrinking would hide blur and noise.
TILE_PX = 64
#: Tiles per picture at native resolution, and windows shrunk to a tile, in which strong blur is told apart.
NATIVE_TILES, WIDE_TILES = 5, 2
TILES = NATIVE_TILES + WIDE_TILES
#: Side of such a window, in pixels of the stored picture.
WIDE_PX = 192
#: Side of the whole picture as the network sees it, in pixels (both sides: aspect is not kept).
OVERVIEW_PX = 320

#: Candidates along each side, of which the tiles are chosen.
_GRID = 8
#: Ranks, from plainest (0) to busiest (1), of the tiles taken: noise and banding show in plain ones,
#: blur and compression in busy ones.
_RANKS = (0.08, 0.35, 0.7, 0.93, 1.0)
#: Ranks of the places that the wide windows are centered on.
_WIDE_RANKS = (0.8, 1.0)
#: Levels of green beyond which a pixel is clipped: nothing can be measured there.
_DARK, _BRIGHT = 8, 247
#: Pixels of a tile that `green_edges` looks at.
_COUNTED = (TILE_PX - 1) * len(range(0, TILE_PX - 1, 7))


def overview(rgb: np.ndarray) -> np.ndarray:
    """The whole picture, squeezed to `OVERVIEW_PX` squared.

    Args:
        rgb: uint8 [h, w, 3], any size; meant for the 336 px copy.

    Returns:
        uint8 [OVERVIEW_PX, OVERVIEW_PX, 3].
    """
    if min(rgb.shape[:2]) > 1.5 * OVERVIEW_PX:
        return cv2.resize(rgb, (OVERVIEW_PX, OVERVIEW_PX), interpolation=cv2.INTER_AREA)
    return interpolated(rgb, OVERVIEW_PX, OVERVIEW_PX)


def octaves_above(rgb: np.ndarray) -> float:
    """By how many octaves a picture is larger than the `overview`, by its short side."""
    return math.log2(min(rgb.shape[:2]) / OVERVIEW_PX)


def large_enough(rgb: np.ndarray) -> np.ndarray:
    """The picture itself; one smaller than a tile is mirrored outward."""
    down, right = (max(0, TILE_PX - side) for side in rgb.shape[:2])
    return cv2.copyMakeBorder(rgb, 0, down, 0, right, cv2.BORDER_REFLECT) if down or right else rgb


def ranked_places(rgb: np.ndarray) -> np.ndarray:
    """Where tiles may be taken, plain to busy.

    A grid of at most 8 x 8 places is ranked by the differences of neighboring pixels in green, which finds what is in
    focus; places more than half clipped to black or white are left out, unless all are. Places lie on multiples of 8 px, so
    that JPEG blocks of an uncropped file keep their phase.

    Args:
        rgb: uint8 [h, w, 3], of `large_enough`.

    Returns:
        int64 [n, 2]: top and left, n from 1 to 64.
    """
    tops, lefts = (np.array(_places(side)) for side in rgb.shape[:2])
    activity, dim = green_edges(rgb, tops, lefts, TILE_PX, _DARK, _BRIGHT).T
    clipped = 2 * dim > _COUNTED
    activity[clipped] = -1
    order = np.argsort(activity, kind="stable")
    usable = order[clipped[order].sum() :] if not clipped.all() else order
    return np.stack([tops[usable // len(lefts)], lefts[usable % len(lefts)]], axis=1)


def native_tiles(rgb: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Tiles of the picture, plain to busy; then the wide windows, shrunk.

    Args:
        rgb: uint8 [h, w, 3] at native resolution, of `large_enough`; stored or displayed orientation.
        places: of `ranked_places`.

    Returns:
        uint8 [TILES, TILE_PX, TILE_PX, 3].
    """
    last = len(places) - 1
    out = np.empty((TILES, TILE_PX, TILE_PX, 3), np.uint8)
    for k, rank in enumerate((*_RANKS, *_WIDE_RANKS)):
        top, left = places[round(rank * last)].tolist()
        if k < NATIVE_TILES:
            out[k] = rgb[top : top + TILE_PX, left : left + TILE_PX]
        else:
            out[k] = _wide(rgb, top + TILE_PX // 2, left + TILE_PX // 2)
    return out


def _wide(rgb: np.ndarray, y: int, x: int) -> np.ndarray:
    """The window around a point, moved inside the picture, by area to the size of a tile."""
    side = min(WIDE_PX, *rgb.shape[:2])
    top = min(max(0, y - side // 2), rgb.shape[0] - side)
    left = min(max(0, x - side // 2), rgb.shape[1] - side)
    window = rgb[top : top + side, left : left + side]
    if side == WIDE_PX:
        out = np.empty((TILE_PX, TILE_PX, 3), np.uint8)
        shrink_by(np.ascontiguousarray(window).reshape(side, -1), WIDE_PX // TILE_PX, out)
        return out
    return cv2.resize(window, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)


def _places(length: int) -> list[int]:
    """Starts of at most `_GRID` tiles spread over a side, on multiples of 8 where that fits."""
    room = length - TILE_PX
    count = min(_GRID, 1 + room // (TILE_PX // 2))
    if count == 1:
        return [(room // 2) // 8 * 8]
    return sorted({round(i * room / (count - 1)) // 8 * 8 for i in range(count)})
