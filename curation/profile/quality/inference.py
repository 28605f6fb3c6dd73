"""The networks as they run: what `network`, `blur_network` and `exposure_network` were trained to give but for rounding, sooner.

Batch normalization is part of the convolution before it, and convolutions are in whole numbers; see `whole_numbers`.
"""

from __future__ import annotations

from itertools import count

import numpy as np

from ..engine import Engine, constant, convolution, dense, largest, mean, part, reshaped, transposed
from ..openvino_runtime import Node, op
from .blur_traces import EDGE_WINDOWS, SPECTRA
from .blur_windows import NATIVE_WINDOWS
from .crops import NATIVE_TILES, TILES
from .edge_kernels import DIRECTIONS
from .edges import EDGE_VALUES
from .histograms import LIGHT_BINS
from .input_kernels import TILE_STEPS
from .parameters import Parameters
from .spectra import SPECTRUM_VALUES
from .whole_numbers import chain, levels

#: Channels of a cell of 4 x 4 pixels, see `inputs.mark_cells`, and what 1 means in each.
_MARK_STEPS = np.full(24, 1 / 64, np.float32)
#: Channels of a cell of 2 x 2 pixels, see `inputs.tile_input`, and what 1 means in each.
_TILE_STEPS = np.array(TILE_STEPS * 4, np.float32) / 64
_TILE_CELLS = 32
#: Cells of the map whose mean counts, as in `MarkNetwork`.
_STRONGEST = 8
#: Inputs that go through the smallest networks together, where every call takes longer than the work.
_SMALL_TOGETHER = 16


def tile_engine(weights: Parameters) -> Engine:
    """`TileNetwork`: of uint8 [n, TILES, 32, 32, 16], what is seen, float32 [n, SEEN], and logits [n, 5]."""
    tiles = op.parameter([-1, TILES, _TILE_CELLS, _TILE_CELLS, 16], np.uint8)
    blocks = weights.below("blocks")
    x = levels(reshaped(tiles, -1, _TILE_CELLS, _TILE_CELLS, 16))
    x = chain(
        x, [blocks.below(k) for k in range(4)], blocks.below("fed"), True, (1, 2, 2, 1), step=_TILE_STEPS
    )
    x = reshaped(_mean_and_largest(x, 2, 3), -1, TILES, 2 * x.get_output_partial_shape(0)[1].get_length())
    native = dense(part(x, 1, 0, NATIVE_TILES), *weights.below("native").layer(), relu=True)
    wide = dense(part(x, 1, NATIVE_TILES, TILES), *weights.below("wide").layer(), relu=True)
    pooled = op.concat([_mean_and_largest(native, 1), _mean_and_largest(wide, 1)], 1)
    seen = dense(pooled, *weights.below("hidden").layer(), relu=True)
    return Engine([seen, dense(seen, *weights.below("out").layer())], [tiles])


def mark_engine(weights: Parameters) -> Engine:
    """`MarkNetwork.score_and_map`: of uint8 [n, h, h, 24], logits [n] and a map of where, [n, h / 4, h / 4]."""
    cells = op.parameter([-1, -1, -1, len(_MARK_STEPS)], np.uint8)
    strokes, shapes, whole = (weights.below(name) for name in ("strokes", "shapes", "whole"))
    stem = strokes.below(0)
    blocks = [stem.below(0), stem.below(1)]
    x = levels(cells, padding=1)
    x = chain(x, blocks, stem.below("fed"), True, (1, 2), (0, 0), step=_MARK_STEPS)
    x = _residual_steps(x, strokes)
    x = _residual_steps(_coarser(x, shapes.below(0), signed=False), shapes)
    mask = convolution(x, *weights.below("mask").layer())
    x = _residual_steps(_coarser(x, whole.below(0), signed=True), whole)
    flat = reshaped(mask, 0, -1)
    strong = op.topk(flat, op.constant(_STRONGEST), 1, "max", "value").output(0)
    marks = [op.reduce_mean(flat, op.constant([1]), True), part(strong, 1, 0, 1)]
    marks.append(op.reduce_mean(strong, op.constant([1]), True))
    seen = op.concat([_mean_and_largest(x, 2, 3), *marks], 1)
    score = dense(dense(seen, *weights.below("hidden").layer(), relu=True), *weights.below("out").layer())
    return Engine([reshaped(score, -1), op.squeeze(mask, op.constant([1]))], [cells])


def blur_engine(weights: Parameters) -> Engine:
    """`BlurNetwork`: of what it is given, logits [n]; `octaves` are [n, 1] here."""
    shares = op.parameter([-1, EDGE_WINDOWS, EDGE_VALUES, DIRECTIONS], np.float32)
    spectra = op.parameter([-1, SPECTRA, SPECTRUM_VALUES, DIRECTIONS], np.float32)
    octaves = op.parameter([-1, 1], np.float32)
    seen = op.parameter([-1, -1], np.float32)
    logs = op.log(op.add(shares, constant(1e-4)))
    logs = op.add(op.multiply(logs, constant(0.25 / np.log(2))), constant(1.8))
    logs = transposed(logs, 0, 1, 3, 2)
    windows = _directions(part(logs, 1, 0, NATIVE_WINDOWS), weights.below("windows"))
    whole = _directions(part(logs, 1, NATIVE_WINDOWS, EDGE_WINDOWS), weights.below("whole"))
    described = [_mean_and_largest(windows, 1), reshaped(whole, 0, -1)]
    turned = transposed(spectra, 0, 1, 3, 2)
    for k in range(SPECTRA):
        of_one = _directions(part(turned, 1, k, k + 1), weights.below("spectra").below(k))
        described.append(reshaped(of_one, 0, -1))
    x = op.concat([*described, octaves, op.multiply(seen, constant(0.5))], 1)
    for k in (0, 2):
        x = dense(x, *weights.below("hidden").below(k).layer(), relu=True)
    out = reshaped(dense(x, *weights.below("out").layer()), -1)
    return Engine([out], [shares, spectra, octaves, seen], together=_SMALL_TOGETHER)


def exposure_engine(weights: Parameters) -> Engine:
    """`ExposureNetwork`: of float32 [n, LIGHT_BINS], logits [n, 2]."""
    light = op.parameter([-1, LIGHT_BINS], np.float32)
    x: Node = light
    for k in (0, 2):
        x = dense(x, *weights.below(k).layer(), relu=True)
    return Engine([dense(x, *weights.below(4).layer())], [light], together=_SMALL_TOGETHER)


def _coarser(x: Node, weights: Parameters, signed: bool) -> Node:
    """One block at half the size."""
    return chain(x, [weights.below(0)], weights.below("fed"), signed, strides=[2])


def _residual_steps(x: Node, weights: Parameters) -> Node:
    """All `network._Wide` and `network._Deep` after the first module of a sequence."""
    for k in count(1):
        step = weights.below(k)
        if "depth.weight" not in step:
            return x
        deep = "points.fed.0.most" in step
        points = step.below("points" if deep else "point")
        last = points.below(1) if deep else None
        seen = convolution(x, *step.below("depth").layer(), padding=2)
        x = op.add(x, chain(seen, [points.below(0)], points.below("fed"), signed=True, last=last))


def _directions(x: Node, weights: Parameters) -> Node:
    """`blur_network._Directions`, of [n, m, DIRECTIONS, values]: [n, m, 2 * channels]."""
    for name in ("first", "second"):
        weight, bias = weights.below(name).layer()
        before, here, after = (op.matmul(x, constant(weight[:, :, k]), False, True) for k in range(3))
        around = op.add(_rolled(before, 1), _rolled(after, -1))
        x = op.relu(op.add(op.add(here, constant(bias)), around))
    return _mean_and_largest(x, 2)


def _rolled(x: Node, places: int) -> Node:
    """By so many directions, around the circle; of [n, m, DIRECTIONS, channels]."""
    return op.roll(x, op.constant([places]), op.constant([2]))


def _mean_and_largest(x: Node, *axes: int) -> Node:
    """Both over the same axes, one after the other along the last that is left."""
    return op.concat([mean(x, *axes), largest(x, *axes)], -1)
