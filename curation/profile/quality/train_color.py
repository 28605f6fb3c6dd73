"""Training of the color network: see `train`, which calls it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .color_network import ColorNetwork
from .color_synthesis import ColorSample, Pages, color_samples
from .histograms import BINS

#: Samples are made once and seen several times.
_MOST_SAMPLES = 40_000
#: Pages and diagrams among them.
_PAGES = Pages(share=0.06, painted=0.0)
#: Weight of differences between neighbors in the filters, which keeps them smooth.
_SMOOTH = 3e-4


def train_color(
    photos: Sequence[np.ndarray], fonts: Sequence[str], steps: int, batch: int, seed: int, rate: float = 5e-3
) -> ColorNetwork:
    """Adam, cosine rate from `rate`.

    Learned are the place of neutral grey, as a belief over the log-chroma plane, and the score.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    names, count = tuple(ColorSample.__dataclass_fields__), min(_MOST_SAMPLES, steps * batch)
    data = color_samples(names, photos, fonts, _PAGES, count, rng)
    network = ColorNetwork()
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    running = np.zeros(2)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * max(0.003, 0.5 * (1 + math.cos(math.pi * step / steps)))
        chosen = torch.from_numpy(rng.integers(0, len(data["light"]), batch))
        chroma, light, white = (data[name][chosen] for name in ("chroma", "light", "white"))
        target, weight = data["target"][chosen, 0], data["weight"][chosen, 0]
        belief, about = network.belief(chroma.to(torch.float32) / 255)
        logits = network.score(belief, about, light)
        unlikely = -(_around(white) * belief).sum(dim=1).mean()
        error = ((torch.sigmoid(logits) - target).abs() * weight).sum() / weight.sum().clamp(min=1)
        loss = 0.3 * unlikely + F.binary_cross_entropy_with_logits(logits, target, weight) + 2 * error
        loss = loss + _SMOOTH * network.roughness()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running += (np.array([unlikely.item(), error.item()]) - running) * (0.02 if step > 50 else 0.2)
        if step % 200 == 0:
            print(f"color step {step}: belief {running[0]:.3f} cast {running[1]:.3f}", flush=True)
    return network


def _around(white: Tensor) -> Tensor:
    """A bump of one bin's width about a place: [n, 2] to [n, BINS * BINS], sums to 1."""
    place = torch.arange(BINS, dtype=torch.float32)
    row, column = (torch.exp(-0.5 * (place - white[:, k : k + 1]) ** 2) for k in (0, 1))
    bump = (row[:, :, None] * column[:, None, :]).flatten(1)
    return bump / bump.sum(dim=1, keepdim=True)
