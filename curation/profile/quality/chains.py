"""Convolutions of which one feeds the next, and what is known of the numbers that the first is fed with."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

#: Batches of training samples that `measure_bounds` is given in the end.
MEASURED = 64


class Block(nn.Sequential):
    """Convolution, batch normalization, ReLU; for inference made one by `parameters.Parameters.block`."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, size: int = 3, padding: int | None = None):
        padding = size // 2 if padding is None else padding
        conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Levels(nn.Module):
    """Whole numbers that a chain is fed with: float32 [n, channels, h, w] of uint8 [n, h, w, channels].

    Args:
        step: float32 [channels], what one of them means; 128 of them are zero.
    """

    def __init__(self, step: Tensor):
        super().__init__()
        self.register_buffer("step", step, persistent=False)

    def forward(self, cells: Tensor) -> Tensor:
        return (cells.permute(0, 3, 1, 2) - 128.0).mul_(self.step.view(1, -1, 1, 1))


class Bounds(nn.Module):
    """Passes float32 [n, channels, h, w] on, and knows how large each channel gets: see `measure_bounds`.

    Args:
        signed: whether there are values below zero.
    """

    def __init__(self, channels: int, signed: bool):
        super().__init__()
        self.signed, self.measuring = signed, False
        self.register_buffer("most", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.measuring:
            torch.maximum(self.most, x.detach().abs().amax(dim=(0, 2, 3)).float(), out=self.most)
        return x


class Chain(nn.Sequential):
    """Blocks of which one feeds the next, the last perhaps a convolution alone; for inference `whole_numbers.chain`.

    Args:
        blocks: one or more.
        given: what the first is fed with.
    """

    def __init__(self, *blocks: Block | nn.Conv2d, given: Levels | Bounds):
        super().__init__(*blocks)
        channels = [block[0].out_channels for block in blocks[:-1]]
        self.fed = nn.ModuleList([given, *(Bounds(count, signed=False) for count in channels)])

    def forward(self, x: Tensor) -> Tensor:
        for given, block in self.steps():
            x = block(given(x))
        return x

    def steps(self) -> list[tuple[Levels | Bounds, Block | nn.Conv2d]]:
        """What feeds each block, and the block."""
        blocks = [module for name, module in self.named_children() if name != "fed"]
        return list(zip(self.fed, blocks, strict=True))


@torch.no_grad()
def measure_bounds(network: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Let every `Bounds` of a network see what passes while it judges some hundred inputs of the kind it is made for."""
    network.eval()
    bounds = [module for module in network.modules() if isinstance(module, Bounds)]
    for one in bounds:
        one.most.zero_()
        one.measuring = True
    for x in inputs:
        network(x)
    for one in bounds:
        one.measuring = False
