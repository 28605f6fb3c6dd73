"""Chains of convolutions in whole numbers of 8 bits, which processors add up several times as fast as floating point.

Sums are exact: what comes out is the same on every processor, whether it has instructions for this or not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine import SIGNED, UNSIGNED, constant, convolution, quantized, transposed
from ..openvino_runtime import Node, op
from .parameters import Parameters

#: Weights are -127 .. 127.
_MOST_WEIGHT = 127
#: Bounds are at least this.
_LEAST_BOUND = 1e-6


def levels(cells: Node, padding: int = 0) -> Node:
    """What a chain of `chains.Levels` is fed with, in steps: whole numbers [n, c, h, w] of uint8 [n, h, w, c], where 128 is zero.

    Args:
        padding: zeros around, in place of those of the first convolution.
    """
    if padding:
        wide = op.constant(np.array([0, padding, padding, 0]))
        cells = op.pad(cells, wide, wide, "constant", op.constant(np.uint8(128)))
    signed = op.subtract(op.convert(transposed(cells, 0, 3, 1, 2), "f32"), constant(128))
    return quantized(signed, SIGNED)


def chain(
    x: Node,
    blocks: Sequence[Parameters],
    fed: Parameters,
    signed: bool,
    strides: Sequence[int] = (),
    paddings: Sequence[int] = (),
    last: Parameters | None = None,
    step: np.ndarray | None = None,
) -> Node:
    """`chains.Chain`, with weights and values of 8 bits, channel by channel in steps of their own.

    Steps between two blocks become part of the weights on both sides. A chain of whose values it is not known how large
    they get (see `chains.measure_bounds`) is left in floating point.

    Args:
        x: float32 [n, channels, h, w]; with `step`, of `levels`.
        blocks: its blocks.
        fed: what is known of the values that each block is fed with.
        signed: whether the first is fed with values below zero.
        strides, paddings: of each block; by default 1, and as much as leaves the size as it is.
        last: a convolution of 1 x 1 after the blocks, without ReLU.
        step: float32 [channels], what 1 means in the first.
    """
    layers = [(*block.block(), True) for block in blocks]
    if last is not None:
        layers.append((*last.layer(), False))
    strides = strides or [1] * len(layers)
    paddings = paddings or [weight.shape[-1] // 2 for weight, _, _ in layers]
    steps = [_steps(fed, k, signed and k == 0) for k in range(0 if step is None else 1, len(layers))]
    known = all(s is not None for s in steps)
    if step is not None:
        if not known:
            x = op.multiply(x, constant(step.reshape(1, -1, 1, 1)))
        steps = [step, *steps]
    elif known:
        x = op.multiply(x, constant(1 / steps[0].reshape(1, -1, 1, 1)))
        x = quantized(x, SIGNED if signed else UNSIGNED)
    for k, ((weight, bias, relu), stride, padding) in enumerate(zip(layers, strides, paddings, strict=True)):
        scale = None
        if known:
            if k:
                x = quantized(x, UNSIGNED)
            weight = weight * steps[k].reshape(1, -1, 1, 1)
            if k + 1 < len(layers):
                weight, bias = weight / steps[k + 1].reshape(-1, 1, 1, 1), bias / steps[k + 1]
            weight, scale = whole(weight, SIGNED if signed and k == 0 else UNSIGNED)
        x = convolution(x, weight, bias, stride, padding, scale, relu)
    return x


def whole(weight: np.ndarray, levels: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Weights float32 [c', c, k, k] as int8, and float32 [c'] what 1 means.

    Args:
        levels: least and largest of the values that they are multiplied by.

    Raises:
        ValueError: so many that their sums would not be exact in float32.
    """
    if weight[0].size * max(map(abs, levels)) * _MOST_WEIGHT >= 1 << 24:
        raise ValueError(f"sums of {weight[0].size} products are not exact in float32")
    scale = np.maximum(np.abs(weight).max(axis=(1, 2, 3)), 1e-12) / _MOST_WEIGHT
    return np.round(weight / scale.reshape(-1, 1, 1, 1)).astype(np.int8), scale.astype(np.float32)


def _steps(fed: Parameters, k: int, signed: bool) -> np.ndarray | None:
    """What 1 means in each channel that the k-th block is fed with; None where that was not measured."""
    most = fed.below(k)["most"]
    return np.maximum(most, _LEAST_BOUND) / (SIGNED if signed else UNSIGNED)[1] if most.any() else None
