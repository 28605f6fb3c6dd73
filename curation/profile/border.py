"""Uniform borders: frames, letterboxes, studio backgrounds."""

from __future__ import annotations

import numpy as np

#: Width of the border, as a share of the short side.
_SHARE = 0.02


def border_variance(rgb: np.ndarray) -> float:
    """Variance of the border's pixels, on the plainer pair of opposite sides.

    The strips along top and bottom are pooled, and so are left and right; for each pair the variance
    of each channel is taken over all its pixels and averaged. The smaller is returned: bars above
    and below count like a frame all around, while a plain sky on one side only does not.

    Args:
        rgb: uint8 [h, w, 3]; meant for the working image, so that grain averages out.

    Returns:
        levels², 0 (uniform) .. 16256.
    """
    depth = max(1, round(_SHARE * min(rgb.shape[:2])))
    pairs = (
        np.concatenate([rgb[:depth].reshape(-1, 3), rgb[-depth:].reshape(-1, 3)]),
        np.concatenate([rgb[:, :depth].reshape(-1, 3), rgb[:, -depth:].reshape(-1, 3)]),
    )
    return min(float(pair.astype(np.float64).var(axis=0).mean()) for pair in pairs)
