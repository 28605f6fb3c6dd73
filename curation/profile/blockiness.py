"""Blockiness: how much the 8 x 8 grid of block transforms shows."""

from __future__ import annotations

import numpy as np

from .difference_kernels import step_sums

_BLOCK_PX = 8
#: Steps above this are edges of the picture, in levels: counted in full they would drown the grid.
_MAX_STEP = 24
#: A mean step under this, in levels, is nothing to compare with.
_FLOOR = 0.05
#: Share of blocks left out at each position of the grid, those with the largest steps there: the edges of a frame or
#: a panel are few, and those between blocks are everywhere.
_TRIMMED = 0.1


def blockiness(luma: np.ndarray) -> float:
    """Contrast between steps across the block grid and steps inside blocks.

    Mean absolute steps between neighboring pixels (each at most 24 levels) are taken for each of
    the 8 positions a grid can have; the largest is compared with the mean of the other seven as
    (on - off) / (on + off), and the two axes are averaged. The means leave out the largest tenth
    of steps at each position, so that edges of flat drawings and letterboxes are no grid. The
    position is not given, so that cropping does not hide the grid; resizing does.

    Args:
        luma: uint8 [h, w], at native resolution.

    Returns:
        0 .. 1: under 0.05 for pictures without a grid and JPEGs of high quality, 0.1 and more
        where blocks show. 0 when a side is under 24 px.

    Source: after Wang, Sheikh and Bovik, "No-reference perceptual quality assessment of JPEG compressed
    images", ICIP 2002 (mean step on and off the block boundaries); contrast, clipping and trimming are ours.
    """
    height, width = luma.shape
    if min(height, width) < 3 * _BLOCK_PX:
        return 0.0
    across, down = np.zeros(width - 1, np.uint32), np.empty(height - 1, np.uint32)
    step_sums(np.ascontiguousarray(luma), _MAX_STEP, across, down)
    return (_contrast(across / height) + _contrast(down / width)) / 2


def _contrast(steps: np.ndarray) -> float:
    """Of mean steps [n], the strongest position of the grid against the others."""
    whole = steps[: len(steps) // _BLOCK_PX * _BLOCK_PX].reshape(-1, _BLOCK_PX)
    kept = len(whole) - max(1, round(_TRIMMED * len(whole)))
    positions = np.sort(whole, axis=0)[:kept].mean(axis=0)
    on = float(positions.max())
    off = (float(positions.sum()) - on) / (_BLOCK_PX - 1)
    return (on - off) / (on + off + _FLOOR)
