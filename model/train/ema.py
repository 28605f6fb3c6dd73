"""Exponential moving average of weights: each rank averages its own shards, so nothing is gathered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .parallel import local


class Ema:
    """shadow += (1 - d) (weights - shadow) after every update, d = min(decay, (1 + n) / (10 + n)).

    n counts updates from 0, so that an average starts to forget its random beginning at once.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.shadow: dict[str, Tensor] = {n: p.detach().clone() for n, p in self.weights.items()}

    def rate(self) -> float:
        """Decay of the next update."""
        return min(self.decay, (1 + self.updates) / (10 + self.updates))

    @torch.no_grad()
    def update(self) -> None:
        own = [local(x) for x in self.shadow.values()]
        new = [local(p.detach()) for p in self.weights.values()]
        torch._foreach_lerp_(own, new, 1 - self.rate())
        self.updates += 1

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The model with averaged weights inside, its own again behind."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self.weights.items():
            a, b = local(parameter.detach()), local(self.shadow[name])
            kept = a.clone()
            a.copy_(b)
            b.copy_(kept)
