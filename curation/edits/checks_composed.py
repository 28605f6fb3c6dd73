"""Measures of a pair of two edited versions, from what was measured of each against the real picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .checks import CHANGED_LEVELS, PSNR_CAP_DB, Measures, strongest
from .group import Pair


def composed(pair: Pair, halves: Sequence[np.ndarray], forward: Sequence[Measures | None]) -> Measures:
    """Measures of a pair from those of the versions it joins, which were taken against the real picture.

    An inverse pair has its forward pair's figures. Of two versions, each clean out of its own mask, the pair is clean
    out of both; only the changed share is looked at anew, on the quarter of the pixels that `halves` hold.
    """
    if pair.kind != "mixed":
        return forward[pair.source or pair.target]  # type: ignore[return-value]
    a, b = forward[pair.source], forward[pair.target]
    one, other = halves[pair.source], halves[pair.target]
    if one.shape != other.shape:
        return Measures(1.0, 255.0, 1.0, None, None, None)
    difference = strongest(one, other)
    differs = difference > CHANGED_LEVELS
    mean = float(difference[differs].mean()) if differs.any() else 0.0

    def worst(pick: Any, values: tuple[float | None, float | None]) -> float | None:
        return None if None in values else pick(values)

    psnr = worst(min, (a.outside_psnr_db, b.outside_psnr_db))
    if psnr is not None and psnr < PSNR_CAP_DB:
        psnr -= 6.0  # both errors may fall on the same pixel with opposite signs
    return Measures(
        float(differs.mean()),
        mean,
        min(1.0, a.mask_share + b.mask_share),
        psnr,
        worst(min, (a.outside_ssim, b.outside_ssim)),
        worst(sum, (a.shift_px, b.shift_px)),
    )
