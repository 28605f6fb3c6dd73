"""Sharpness: energy of edges, less what noise would give."""

from __future__ import annotations

import cv2
import numpy as np

from .difference_kernels import laplacian_moments

_GAUSSIAN = cv2.getGaussianKernel(9, 1.0).astype(np.float32)  # sigma 1 px
_TILES = 8
_QUIET_TILES = slice(2, 5)


def sharpness(luma: np.ndarray) -> float:
    """Variance of the Laplacian of Gaussian (sigma 1 px), less its level in the quietest tiles.

    The picture is cut into 8 x 8 tiles. Noise is in all of them, edges are not: the mean of the
    3rd to 5th smallest of the tiles' variances is taken as noise and subtracted. Averaging down to the working size and the
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
    smooth = cv2.sepFilter2D(luma, cv2.CV_32F, _GAUSSIAN, _GAUSSIAN)
    means, squares = moments = np.zeros((2, _TILES, _TILES))
    laplacian_moments(smooth, means, squares)
    moments /= (height // _TILES) * (width // _TILES)
    quiet = np.sort(squares - means * means, axis=None)[_QUIET_TILES]
    mean, square = moments.sum(axis=(1, 2)).tolist()
    tiles = _TILES * _TILES
    return max(0.0, square / tiles - (mean / tiles) ** 2 - float(quiet.sum()) / len(quiet))
