"""Collages and grids: straight seams that run across the whole picture."""

from __future__ import annotations

import numpy as np

from .difference_kernels import seam_counts

#: A seam must differ this much more than what is next to it, in levels.
_STEP = 6
#: A seam nearer to the edge than this share of the side is a frame's.
_MARGIN = 0.08
#: Two parallel seams are at least this share of the side apart.
_APART = 0.12
#: Share of its length on which a seam must show: nothing up to the first, certain from the second on.
_UNSURE, _SURE = 0.5, 0.75
#: Where more than this share of all lines are seams, they are a facade or a fence.
_MAX_SEAMS = 0.1
#: What parallel seams count for without one that crosses them.
_PARALLEL = 0.5


def grid_evidence(luma: np.ndarray) -> float:
    """Evidence that the picture is put together from several, side by side and one below another.

    A seam is a column or row at which neighbors differ more than pixels on either side of it do
    (two pictures meet), or a thin line brighter or darker than both sides (a gutter), on most of its
    length. Horizons and edges of buildings are seldom straight over the whole picture in both
    directions: the weaker of the best seam of each direction counts. Two or more parallel seams
    count half. A picture cut once only is not found.

    Args:
        luma: uint8 [h, w], meant for the working image, without its frame.

    Returns:
        0 .. 1. 0 when a side is under 32 px.
    """
    if min(luma.shape) < 32:
        return 0.0
    # along a seam every other pixel will do
    directions = [_seams(luma[::2]), _seams(luma[:, ::2].T)]
    if any(np.count_nonzero(seams > _UNSURE) > _MAX_SEAMS * len(seams) for seams in directions):
        return 0.0
    best, second = zip(*map(_two_best, directions), strict=True)
    return max(_certainty(min(best)), _PARALLEL * _certainty(max(second)))


def _certainty(share: float) -> float:
    return min(1.0, max(0.0, (share - _UNSURE) / (_SURE - _UNSURE)))


def _two_best(seams: np.ndarray) -> tuple[float, float]:
    """The strongest of all positions, and the strongest some way off from it."""
    margin, apart = round(_MARGIN * len(seams)), max(1, round(_APART * len(seams)))
    inner = seams[margin : len(seams) - margin].copy()
    first = int(inner.argmax())
    best = float(inner[first])
    inner[max(0, first - apart) : first + apart] = 0
    return best, float(inner.max())


def _seams(luma: np.ndarray) -> np.ndarray:
    """Share of each column, float [w - 8], on which it is a seam of the likeliest kind."""
    counts = np.zeros((3, luma.shape[1] - 8), np.uint16)
    seam_counts(np.ascontiguousarray(luma), _STEP, counts)
    return counts.max(axis=0) / len(luma)
