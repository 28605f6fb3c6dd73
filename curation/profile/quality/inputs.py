"""From pixels to the arrays the network takes: the part of it that has no weights.

In NumPy and OpenCV rather than in torch, where pooling one channel is slower than all convolutions together.
"""

from __future__ import annotations

import cv2
import numpy as np

from .crops import OVERVIEW_PX

#: ITU-R BT.601 luma and scaled color differences.
_YCC = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]], np.float32)

#: Side of the coarse copy in which color is counted, in pixels.
COARSE_PX = OVERVIEW_PX // 8


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


def overview_input(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of the whole picture, and its colors pixel by pixel in a coarse copy.

    Args:
        rgb: uint8 [320, 320, 3].

    Returns:
        (float32 [16, 160, 160], float32 [7, 40, 40]: red, green, blue, log red/green, log blue/green,
        grey, spread).
    """
    luma, red, blue = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb))
    high = luma - cv2.boxFilter(luma, cv2.CV_32F, (3, 3), borderType=cv2.BORDER_REFLECT_101)
    shapes = _unshuffled([luma, blue, red, high])
    for part, scale, shift in (
        (shapes[:4], 1 / 64, -2),
        (shapes[4:12], 1 / 32, -4),
        (shapes[12:], 1 / 12, 0),
    ):
        part *= np.float32(scale)
        part += np.float32(shift)
    np.clip(shapes[12:], -3, 3, out=shapes[12:])
    coarse = cv2.resize(rgb, (COARSE_PX, COARSE_PX), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    log = np.log(coarse + 0.03)
    parts = [
        *np.moveaxis(coarse, 2, 0),
        log[..., 0] - log[..., 1],
        log[..., 2] - log[..., 1],
        coarse.mean(axis=2),
        coarse.max(axis=2) - coarse.min(axis=2),
    ]
    return shapes, np.stack(parts)


def _unshuffled(planes: list[np.ndarray]) -> np.ndarray:
    """[h, w] each to float32 [4 n, h / 2, w / 2], order as `torch.nn.functional.pixel_unshuffle`."""
    h, w = planes[0].shape
    out = np.empty((len(planes), 2, 2, h // 2, w // 2), np.float32)
    for k, plane in enumerate(planes):
        for i in (0, 1):
            for j in (0, 1):
                out[k, i, j] = plane[i::2, j::2]
    return out.reshape(4 * len(planes), h // 2, w // 2)
