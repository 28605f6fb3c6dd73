"""Sharpness: energy of edges, less what noise would give."""

from __future__ import annotations

import cv2
import numpy as np

_SIGMA_PX = 1.0
_TILES = 8
_NOISE_PERCENTILE = 5


def sharpness(luma: np.ndarray) -> float:
    """Variance of the Laplacian of Gaussian (sigma 1 px), less its level in the quietest tiles.

    The picture is cut into 8 x 8 tiles. Noise is in all of them, edges are not: the 5th percentile of
    the tiles' variances is taken as noise and subtracted. Averaging down to the working size and the
    Gaussian have removed most of it before.

    Args:
        luma: uint8 [h, w], at the fixed working size.

    Returns:
        levels², >= 0; below about 5 for pictures out of focus, tens to hundreds for sharp ones. A
        picture of one even texture is underestimated. 0 when a side is under 8 px.

    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000
    (variance of Laplacian); smoothing and noise floor are ours.
    """
    height, width = luma.shape
    if min(height, width) < _TILES:
        return 0.0
    smooth = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), _SIGMA_PX)
    edges = cv2.Laplacian(smooth, cv2.CV_32F)
    rows, columns = height // _TILES, width // _TILES
    tiles = edges[: rows * _TILES, : columns * _TILES].reshape(_TILES, rows, _TILES, columns)
    noise = np.percentile(tiles.var(axis=(1, 3)), _NOISE_PERCENTILE)
    return max(0.0, float(edges.var() - noise))
