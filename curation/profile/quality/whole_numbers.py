"""Chains of convolutions in whole numbers of 8 bits, which processors add up several times as fast as floating point.

Sums are exact: what comes out is the same on every processor, whether it has instructions for this or not.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .chains import Block, Bounds, Chain, Levels
from .step_kernels import count_steps

#: Weights are -127 .. 127.
_MOST_WEIGHT = 127
#: Values between two convolutions are 0 .. 255; where there are negative ones, 128 is zero.
_MOST_VALUE, _MIDDLE = 255, 128


def can_be_whole(chain: Chain) -> bool:
    """Is it known how large the numbers get that its blocks are fed with?"""
    return all(isinstance(given, Levels) or bool((given.most > 0).any()) for given in chain.fed)


class WholeNumbers(nn.Module):
    """A `Chain` with weights and values of 8 bits, channel by channel in steps of their own.

    Steps between two blocks become part of the weights on both sides.
    """

    def __init__(self, chain: Chain):
        super().__init__()
        fed = [(*_steps(given), block) for given, block in chain.steps()]
        first = chain.fed[0]
        self.per_unit = None if isinstance(first, Levels) else (1 / fed[0][0]).numpy()
        self.zero = fed[0][1]
        layers = []
        for k, (steps, zero, block) in enumerate(fed):
            conv = fuse_conv_bn_eval(block[0], block[1]) if isinstance(block, Block) else block
            weight, bias = conv.weight.detach() * steps.view(1, -1, 1, 1), conv.bias.detach()
            last = k == len(fed) - 1
            if not last:
                weight, bias = weight / fed[k + 1][0].view(-1, 1, 1, 1), bias / fed[k + 1][0]
            after = "relu" if isinstance(block, Block) else "none"
            layers.append(_Layer(conv, weight, bias, zero, after, torch.float32 if last else torch.uint8))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """As of `Chain`, but for rounding of weights and of what is between."""
        if self.per_unit is None:
            return self.layers(x.permute(0, 3, 1, 2))
        values = x.permute(0, 2, 3, 1).contiguous()
        steps = torch.empty(values.shape, dtype=torch.uint8)
        channels = values.shape[-1]
        count_steps(
            values.view(-1, channels).numpy(), self.per_unit, self.zero, steps.view(-1, channels).numpy()
        )
        return self.layers(steps.permute(0, 3, 1, 2))


def _steps(given: Levels | Bounds) -> tuple[Tensor, int]:
    """What a step means of each channel, float32 [channels], and how many stand for zero."""
    if isinstance(given, Levels):
        return given.step, _MIDDLE
    zero = _MIDDLE if given.signed else 0
    return given.most.clamp(min=1e-6) / (_MOST_VALUE - zero), zero


class _Layer(nn.Module):
    """Convolution of uint8 [n, channels, h, w], and what comes after: whole numbers of which one is 1, or float32."""

    def __init__(
        self, conv: nn.Conv2d, weight: Tensor, bias: Tensor, zero: int, after: str, out: torch.dtype
    ):
        super().__init__()
        if weight[0].numel() * max(zero, _MOST_VALUE - zero) * _MOST_WEIGHT >= 1 << 24:
            raise ValueError(f"sums of {weight[0].numel()} products are not exact in float32")
        self.scale = weight.abs().amax(dim=(1, 2, 3)).clamp(min=1e-12) / _MOST_WEIGHT
        self.weight = torch.round(weight / self.scale.view(-1, 1, 1, 1)).to(torch.int8)
        self.bias, self.zero, self.after, self.out = bias, zero, after, out
        self.no_zeros = torch.zeros(len(bias), dtype=torch.int32)
        self.how = list(conv.stride), list(conv.padding), list(conv.dilation), conv.groups
        self.ready: dict[tuple[int, ...], Tensor] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"ready": {}}  # oneDNN's own order cannot be copied or pickled

    def forward(self, x: Tensor) -> Tensor:
        return self._fused(x) if has_whole_numbers() else self._exact(x)

    def _fused(self, x: Tensor) -> Tensor:
        ready = self.ready.get(x.shape)
        if ready is None:  # the best order depends on the input's size
            ready = torch.ops.onednn.qconv_prepack(
                self.weight, self.scale, 1.0, self.zero, *self.how, list(x.shape)
            )
            self.ready[x.shape] = ready
        return torch.ops.onednn.qconv2d_pointwise(
            *(x, 1.0, self.zero, ready, self.scale, self.no_zeros, self.bias, *self.how),
            *(1.0, 0, self.out, self.after, [], ""),
        )

    def _exact(self, x: Tensor) -> Tensor:
        """The same in float32, which holds whole numbers up to 2^24 and so all these sums."""
        sums = F.conv2d(x.float() - self.zero, self.weight.float(), None, *self.how)
        values = sums * self.scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        if self.after == "relu":
            values = F.relu(values)
        return values if self.out == torch.float32 else values.round().clamp(max=_MOST_VALUE).to(self.out)


@cache
def has_whole_numbers() -> bool:
    """Tried, since operators without documentation may change with PyTorch: are they there, and right?

    Processors without VNNI add two products up in 16 bits, where the largest do not fit: there they are not right.
    """
    conv = nn.Conv2d(8, 8, 3, padding=1)
    weight = torch.ones_like(conv.weight.detach())
    weight[4:, ::2] = -1.0
    layer = _Layer(conv, weight, conv.bias.detach(), _MIDDLE, "relu", torch.float32)
    given = torch.arange(8 * 64, dtype=torch.int32).view(1, 8, 8, 8).remainder(256).to(torch.uint8)
    given[0, :, :4] = _MOST_VALUE
    try:
        with torch.inference_mode():
            got, expected = layer._fused(given), layer._exact(given)
            return torch.allclose(got, expected, rtol=1e-5, atol=1e-5)
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False
