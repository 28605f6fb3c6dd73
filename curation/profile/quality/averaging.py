"""One step of training with a running average of the weights, as all networks of this folder are trained."""

from __future__ import annotations

import torch
from torch import nn


def averaged_step(
    loss: torch.Tensor, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, step: int
) -> None:
    """Descend along `loss` (gradient norm at most 1) and move `average` towards the network.

    Early averages are short, so that they forget the random start: decay min(0.999, (step + 1) / (step + 10)).
    """
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    decay = min(0.999, (step + 1) / (step + 10))
    with torch.no_grad():
        for a, p in zip(average.parameters(), network.parameters(), strict=True):
            a.lerp_(p, 1 - decay)
        for a, b in zip(average.buffers(), network.buffers(), strict=True):
            a.copy_(b)  # statistics of batch normalization
