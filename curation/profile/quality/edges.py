"""How steep edges are, by direction: blur makes them flat, motion those alone that lie across it.

A convolution sees one place; which directions have lost their steep edges is known from many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .edge_kernels import DIRECTIONS, STEPS, steeper_shares

#: Each window is seen at so many scales.
_SCALES = 3
#: Values of one direction of a window.
EDGE_VALUES = _SCALES * STEPS


def edge_histograms(windows: Sequence[np.ndarray]) -> np.ndarray:
    """Shares of steep slopes.

    Args:
        windows: n of uint8 [h, w], grey, sides at least 64 px.

    Returns:
        float32 [n, EDGE_VALUES, DIRECTIONS], see `edge_kernels.steeper_shares`.
    """
    out = np.stack([steeper_shares(window, _SCALES, every=2) for window in windows])
    return out.reshape(len(windows), EDGE_VALUES, DIRECTIONS)
