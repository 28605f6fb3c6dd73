"""How likely a picture carries a watermark: what the whole picture shows, and a closer look where that is likeliest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine import Engine
from .glimpses import glimpse, likeliest_place
from .inputs import mark_cells


def watermark_logits(
    network: Engine, sure: float, cells: np.ndarray, fine: Sequence[np.ndarray]
) -> np.ndarray:
    """Logits float32 [n] of the same network for whole pictures, and for the part of each that is likeliest to have a mark,
    added up.

    A closer look adds nothing over 0, as from near the lettering of a poster looks like a mark. A whole picture that scores
    below `sure` is not looked at closer, which would hardly change its rank: its own score counts twice.

    Args:
        network: see `inference.mark_engine`.
        sure: see `MarkNetwork`.
        cells: uint8 [n, 80, 80, 24], of `inputs.mark_cells` of overviews.
        fine: the same pictures, see `glimpses.fine_copy`.
    """
    whole, maps = network(cells)
    closer, doubtful = whole.copy(), np.flatnonzero(whole >= sure)
    if len(doubtful):
        looks = [mark_cells(glimpse(fine[k], likeliest_place(maps[k]))) for k in doubtful]
        closer[doubtful] = network(np.stack(looks))[0]
    return whole + np.minimum(closer, 0)
