"""From pixels to the arrays the network takes: the part of it that has no weights.

Compiled here, since pooling one channel by a library of networks is slower than all convolutions together.
"""

from __future__ import annotations

import cv2
import numpy as np

from .input_kernels import gather, tile_planes


def tile_input(tiles: np.ndarray) -> np.ndarray:
    """Luma and color differences about each tile's mean, and high frequencies enlarged, gathered in cells of 2 x 2 pixels.

    Args:
        tiles: uint8 [t, 64, 64, 3].

    Returns:
        uint8 [t, 32, 32, 16]: luma, blue and red difference, and high frequencies, four times for each 2 x 2 pixels, row by
        row; see `input_kernels.tile_planes`.
    """
    count, side = tiles.shape[:2]
    out = np.empty((count, side // 2, side // 2, 2), np.uint64)
    tile_planes(np.ascontiguousarray(tiles).reshape(count, side, -1), out)
    return out.view(np.uint8)


def mark_cells(rgb: np.ndarray) -> np.ndarray:
    """Luma of every pixel and color of every other, gathered in cells of 4 x 4 pixels.

    Args:
        rgb: uint8 [n, n, 3], n a multiple of 4.

    Returns:
        uint8 [n / 4, n / 4, 24]: 16 of luma (16..235), 4 each of blue and red difference (128 is none), BT.601.
    """
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    side, count = rgb.shape[0], rgb.shape[0] // 4
    cells = np.empty((count, count, 24), np.uint8)
    color = planes[side:].view(np.uint16).reshape(2, 2 * count, count)
    # four, or two, neighbors are moved as one number: several times faster than byte by byte
    gather(planes[:side].view(np.uint32), color, cells.view(np.uint16))
    return cells
