"""Training of the exposure network: see `train`, which calls it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from .exposure_network import ExposureNetwork
from .exposure_synthesis import exposure_samples

#: Samples are made once and seen several times.
_MOST_SAMPLES = 60_000


def train_exposure(
    photos: Sequence[np.ndarray], fonts: Sequence[str], steps: int, batch: int, seed: int, rate: float = 3e-3
) -> ExposureNetwork:
    """AdamW, cosine rate from `rate`; `2 * batch` samples a step, as each is a few numbers."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    data = exposure_samples(photos, fonts, min(_MOST_SAMPLES, steps * batch), rng)
    network = ExposureNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * max(0.003, 0.5 * (1 + math.cos(math.pi * step / steps)))
        chosen = torch.from_numpy(rng.integers(0, len(data["light"]), 2 * batch))
        target, weight = data["target"][chosen], data["weight"][chosen]
        logits = network(data["light"][chosen])
        error = ((torch.sigmoid(logits) - target).abs() * weight).sum(0) / weight.sum(0).clamp(min=1)
        loss = F.binary_cross_entropy_with_logits(logits, target, weight) + 2 * error.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 1000 == 0:
            print(f"exposure step {step}: loss {loss.item():.3f}", flush=True)
    return network
