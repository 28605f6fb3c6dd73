"""From pixels to the arrays the network takes: the part of it that has no weights.

In NumPy and OpenCV rather than in torch, where pooling one channel is slower than all convolutions together.
"""

from __future__ import annotations

import cv2
import numpy as np

#: ITU-R BT.601 luma and scaled color differences.
_YCC = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]], np.float32)


def tile_input(tiles: np.ndarray) -> np.ndarray:
    """Luma and color differences about each tile's mean, and high frequencies enlarged.

    Args:
        tiles: uint8 [t, 64, 64, 3].

    Returns:
        float32 [t, 16, 32, 32].
    """
    count, side = tiles.shape[:2]
    stacked = np.ascontiguousarray(tiles).reshape(count * side, side, 3).astype(np.float32)
    planes = np.empty((4, count * side, side), np.float32)
    cv2.split(cv2.transform(stacked, _YCC / 64), list(planes[:3]))
    luma = planes[0].reshape(count, side, side)
    for tile, high in zip(luma, planes[3].reshape(count, side, side), strict=True):
        soft = cv2.blur(tile, (3, 3), borderType=cv2.BORDER_REFLECT_101)
        cv2.subtract(tile, soft, dst=high)
    np.clip(planes[3] * (64 / 8), -3, 3, out=planes[3])
    planes = planes.reshape(4, count, side, side)
    planes[:3] -= planes[:3].mean(axis=(2, 3), keepdims=True)
    half = side // 2
    pairs = planes.reshape(4, count, half, 2, half, 2).transpose(1, 0, 3, 5, 2, 4)
    return np.ascontiguousarray(pairs).reshape(count, 16, half, half)


def mark_cells(rgb: np.ndarray) -> np.ndarray:
    """Luma of every pixel and color of every other, gathered in cells of 4 x 4 pixels.

    Args:
        rgb: uint8 [320, 320, 3].

    Returns:
        uint8 [80, 80, 24]: 16 of luma (16..235), 4 each of blue and red difference (128 is none), BT.601.
    """
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    count, side = rgb.shape[0] // 4, rgb.shape[0]
    cells = np.empty((count, count, 24), np.uint8)
    # four, or two, neighbors are moved as one number: several times faster than byte by byte
    luma = planes[:side].view(np.uint32).reshape(count, 4, count)
    cells.view(np.uint32)[..., :4] = luma.transpose(0, 2, 1)
    color = planes[side:].view(np.uint16).reshape(2, count, 2, count)
    cells.view(np.uint16)[..., 8:] = color.transpose(1, 3, 0, 2).reshape(count, count, 4)
    return cells
