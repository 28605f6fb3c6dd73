"""Descent with a warm-up, a cosine rate and a running average of the weights: how all convolutions of this folder learn."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from .muon import muon_and_adam

#: Steps until the full rate, and the least share of it.
_WARM_UP, _LEAST = 200, 0.003
#: Weight of the past in the running average, at most.
_DECAY = 0.9995


class Descent:
    """Attributes:
    average: the network with averaged weights, to be kept in the end.
    """

    def __init__(self, network: nn.Module, rate: float):
        self._network, self.average, self._step = network, copy.deepcopy(network), 0
        self._optimizers, self._rates = muon_and_adam(network, rate)

    def step(self, loss: Tensor, done: float) -> None:
        """Move the weights along the gradient of `loss` (of norm at most 1), and the average towards them.

        Args:
            done: share of the training that is over, 0 to 1; the rate falls with it along a cosine.
        """
        share = max(_LEAST, min(1.0, (self._step + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * done)))
        self._network.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        for optimizer, rate in zip(self._optimizers, self._rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            optimizer.step()
        # early averages are short, so that they forget the random start
        decay = min(_DECAY, (self._step + 1) / (self._step + 10))
        with torch.no_grad():
            for a, p in zip(self.average.parameters(), self._network.parameters(), strict=True):
                a.lerp_(p, 1 - decay)
            for a, b in zip(self.average.buffers(), self._network.buffers(), strict=True):
                a.copy_(b)  # statistics of batch normalization
        self._step += 1
