"""The networks of convolutions as they run on one core: what they were trained to give but for rounding, sooner."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .chains import Block, Chain
from .whole_numbers import WholeNumbers, can_be_whole


def fold(network: nn.Module) -> nn.Module:
    """Batch normalization becomes part of the convolution before it, ReLU of the pass that computes it; chains of which it is
    known how large values get become whole numbers. In place."""
    network.eval()
    _fold_below(network)
    return network


def _fold_below(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, Chain) and can_be_whole(child):
            setattr(module, name, WholeNumbers(child))
        elif isinstance(child, Block):
            setattr(module, name, _fast(fuse_conv_bn_eval(child[0], child[1]), relu=True))
        elif isinstance(child, nn.Conv2d):
            setattr(module, name, _fast(child, relu=False))
        else:
            _fold_below(child)


def _fast(conv: nn.Conv2d, relu: bool) -> nn.Module:
    conv = conv.to(memory_format=torch.channels_last)  # the order in memory that convolutions are fastest in
    if conv.kernel_size == (1, 1):
        return _Pointwise(conv, relu)
    if _has_fused_operators():
        return _Fused(conv, relu)
    return nn.Sequential(conv, nn.ReLU(inplace=True)) if relu else conv


@cache
def _has_fused_operators() -> bool:
    """Tried, since operators without documentation may change with PyTorch."""
    try:
        with torch.inference_mode():
            _Fused(nn.Conv2d(4, 4, 3, padding=1), relu=True)(torch.zeros(1, 4, 8, 8))
            torch.ops.mkldnn._linear_pointwise(
                torch.zeros(1, 4), torch.zeros(4, 4), torch.zeros(4), "relu", [], ""
            )
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True


#: Multiplications from which on oneDNN's product of matrices makes up for what its call costs.
_WORTH_ONEDNN = 800_000


class _Pointwise(nn.Module):
    """A convolution of 1 x 1 as one product of matrices, which is faster than PyTorch's own for one picture.

    A large one is oneDNN's, with ReLU in the same pass; of a small one the call would take longer than the product.
    """

    def __init__(self, conv: nn.Conv2d, relu: bool):
        super().__init__()
        self.weight, self.bias = conv.weight.detach().flatten(1).contiguous(), conv.bias.detach()
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        n, channels, h, w = x.shape
        cells = x.permute(0, 2, 3, 1).reshape(-1, channels)
        if len(cells) * self.weight.numel() >= _WORTH_ONEDNN and _has_fused_operators():
            after = "relu" if self.relu else "none"
            out = torch.ops.mkldnn._linear_pointwise(cells, self.weight, self.bias, after, [], "")
        else:
            out = torch.addmm(self.bias, cells, self.weight.T)
            if self.relu:
                out.relu_()
        return out.view(n, h, w, -1).permute(0, 3, 1, 2)


class _Fused(nn.Module):
    """Convolution and ReLU in one pass of oneDNN, its weights brought into the order it wants once and for all.

    These operators are those that PyTorch's own compiler emits; where they are missing, `_fast` does without.
    """

    def __init__(self, conv: nn.Conv2d, relu: bool):
        super().__init__()
        self.weight, self.bias = conv.weight.detach(), conv.bias.detach()
        self.how = list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups
        self.after = "relu" if relu else "none"
        self.ready: dict[tuple[int, ...], Tensor] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"ready": {}}  # oneDNN's own order cannot be copied or pickled

    def forward(self, x: Tensor) -> Tensor:
        ready = self.ready.get(x.shape)
        if ready is None:  # the best order depends on the input's size; with it goes how sums are rounded
            ready = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self.how, list(x.shape))
            self.ready[x.shape] = ready
        return torch.ops.mkldnn._convolution_pointwise(x, ready, self.bias, *self.how, self.after, [], "")
