"""Muon: momentum whose every step is made orthogonal, for the weights of convolutions.

After Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). PyTorch's own takes matrices only; here
a convolution's weights count as a matrix of one row per output channel, and are kept at a fixed norm, which batch
normalization makes them indifferent to. The watermark network learned as much in a quarter of the steps as with AdamW.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

#: Coefficients of the Newton-Schulz iteration that brings all singular values near 1 (Jordan et al.).
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 3
#: AdamW's rate as a share of Muon's.
_ADAM = 0.16


class Muon(torch.optim.Optimizer):
    """For weights [out, ...] that are followed by a normalization.

    Args:
        lr: size of a step relative to the weights, whose norm is held at sqrt(out).
    """

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float = 0.8):
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """One step, of all weights that have a gradient."""
        for group in self.param_groups:
            for weights in (w for w in group["params"] if w.grad is not None):
                past = self.state[weights].setdefault("momentum", torch.zeros_like(weights))
                past.mul_(group["momentum"]).add_(weights.grad)
                ahead = weights.grad.add(past, alpha=group["momentum"])  # Nesterov's look-ahead
                weights.mul_(len(weights) ** 0.5 / weights.norm())
                weights.sub_(_orthogonal(ahead.flatten(1)).view_as(weights), alpha=group["lr"])


def _orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix with orthonormal rows, or columns."""
    a, b, c = _QUINTIC
    tall = len(matrix) > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def muon_and_adam(network: nn.Module, rate: float) -> tuple[list[torch.optim.Optimizer], list[float]]:
    """Muon for the convolutions that batch normalization follows, AdamW for all else; and the rate of each."""
    blocks = (m for m in network.modules() if isinstance(m, nn.Sequential) and len(m) > 1)
    chosen = [
        block[0].weight
        for block in blocks
        if isinstance(block[0], nn.Conv2d) and isinstance(block[1], nn.BatchNorm2d)
    ]
    taken = {id(weights) for weights in chosen}
    rest = [p for p in network.parameters() if id(p) not in taken]
    adam = torch.optim.AdamW(rest, lr=_ADAM * rate, weight_decay=0.02)
    if not chosen:
        return [adam], [_ADAM * rate]
    return [Muon(chosen, rate), adam], [rate, _ADAM * rate]
