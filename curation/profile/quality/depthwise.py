"""Depthwise convolution with a backward pass of our own: on CPUs PyTorch's is the longest part of training the networks here.

The gradient of the input is a convolution like the forward one, which is fast; that of the weights is a sum of products,
compiled here. `benchmarks/depthwise_backward.py` compares the two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit
from torch import Tensor, nn


class DepthwiseConv2d(nn.Conv2d):
    """A `Conv2d` of one filter per channel, odd size, stride 1, same padding; the same values and gradients but for rounding."""

    def __init__(self, channels: int, size: int):
        super().__init__(channels, channels, size, padding=size // 2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled() or x.device.type != "cpu":
            return super().forward(x)
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            return _Depthwise.apply(x.to(dtype), self.weight.to(dtype), self.bias.to(dtype))
        return _Depthwise.apply(x, self.weight, self.bias)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        below = None
        if ctx.needs_input_grad[0]:
            below = F.conv2d(gradient, weight.flip(2, 3), padding=weight.shape[-1] // 2, groups=len(weight))
        out = np.zeros((*weight.shape[2:], len(weight)), np.float32)
        _add_weight_gradient(_rows(x), _rows(gradient), out)
        above = torch.from_numpy(out).permute(2, 0, 1).unsqueeze(1)
        return below, above.to(weight.dtype), gradient.float().sum(dim=(0, 2, 3)).to(weight.dtype)


def _rows(x: Tensor) -> np.ndarray:
    """float32 [n, h, w, c]."""
    return x.detach().float().permute(0, 2, 3, 1).contiguous().numpy()


@njit(cache=True, fastmath=True, nogil=True)
def _add_weight_gradient(x: np.ndarray, gradient: np.ndarray, out: np.ndarray) -> None:
    """out [k, k, c] += the sum over n, i, j of x [n, i + a - k // 2, j + b - k // 2, c] gradient [n, i, j, c]."""
    count, height, width, channels = x.shape
    size = out.shape[0]
    half = size // 2
    for n in range(count):
        for i in range(height):
            for a in range(max(0, half - i), min(size, height + half - i)):
                for j in range(width):
                    here = gradient[n, i, j]
                    for b in range(max(0, half - j), min(size, width + half - j)):
                        there, sums = x[n, i + a - half, j + b - half], out[a, b]
                        for c in range(channels):
                            sums[c] += there[c] * here[c]
