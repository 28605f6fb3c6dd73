"""Training of the color network: see `train`, which calls it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .clean_views import clean_views
from .color_network import ColorNetwork
from .color_synthesis import ColorSample, color_sample
from .histograms import BINS, coarse, color_histograms
from .network import COLOR_SCORES

#: Side to which photographs are squeezed before they are framed: color needs no more.
_BASE_PX = 160
#: Samples are made once and seen several times.
_MOST_SAMPLES = 40_000
#: Weight of differences between neighbors in the filters, which keeps them smooth.
_SMOOTH = 3e-4


def train_color(
    photos: Sequence[np.ndarray], steps: int, batch: int, seed: int, rate: float = 5e-3
) -> ColorNetwork:
    """Adam, cosine rate from `rate`.

    Learned are the place of neutral grey, as a belief over the log-chroma plane, and the scores.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    bases = [cv2.resize(p, (_BASE_PX, _BASE_PX), interpolation=cv2.INTER_AREA) for p in photos]
    samples = [color_sample(bases, rng) for _ in range(min(_MOST_SAMPLES, steps * batch))]
    data = ColorSample(
        *(np.stack([getattr(s, name) for s in samples]) for name in ColorSample.__dataclass_fields__)
    )
    network = ColorNetwork()
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    running = np.zeros(len(COLOR_SCORES) + 1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * max(0.003, 0.5 * (1 + math.cos(math.pi * step / steps)))
        chosen = rng.integers(0, len(samples), batch)
        chroma, bands, white, target, weight = (
            torch.from_numpy(getattr(data, name)[chosen]) for name in ColorSample.__dataclass_fields__
        )
        belief, about = network.belief(chroma.to(torch.float32) / 255)
        logits = network.scores(belief, about, bands)
        unlikely = -(_around(white) * belief).sum(dim=1).mean()
        error = ((torch.sigmoid(logits) - target).abs() * weight).sum(0) / weight.sum(0).clamp(min=1)
        loss = 0.3 * unlikely + F.binary_cross_entropy_with_logits(logits, target, weight) + 2 * error.mean()
        loss = loss + _SMOOTH * network.roughness()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        now = np.array([unlikely.item(), *error.detach().tolist()])
        running += (now - running) * (0.02 if step > 50 else 0.2)
        if step % 200 == 0:
            shown = " ".join(f"{n} {e:.3f}" for n, e in zip(("belief", *COLOR_SCORES), running, strict=True))
            print(f"color step {step}: {shown}", flush=True)
    return network


def _around(white: Tensor) -> Tensor:
    """A bump of one bin's width about a place: [n, 2] to [n, BINS * BINS], sums to 1."""
    place = torch.arange(BINS, dtype=torch.float32)
    row, column = (torch.exp(-0.5 * (place - white[:, k : k + 1]) ** 2) for k in (0, 1))
    bump = (row[:, :, None] * column[:, None, :]).flatten(1)
    return bump / bump.sum(dim=1, keepdim=True)


def held_out_logits(
    photos: Sequence[np.ndarray], folds: int, steps: int, batch: int, seed: int, rate: float
) -> Tensor:
    """Logits [views, 3] of clean photographs, each by a network trained without it (cross-fitting).

    Folds are runs of neighbors, because neighbors in a folder are often alike: a fold of what the others do not
    have tells most about pictures from elsewhere.
    """
    edges = np.linspace(0, len(photos), min(folds, len(photos)) + 1).round().astype(int)
    logits = []
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        network = train_color([*photos[:first], *photos[last:]], steps, batch, seed, rate)
        logits.append(clean_logits(network, photos[first:last], seed))
    return torch.cat(logits)


def clean_logits(network: ColorNetwork, photos: Sequence[np.ndarray], seed: int) -> Tensor:
    """Logits [views, 3] of clean photographs, see `clean_views`."""
    network.eval()
    with torch.inference_mode():
        arrays = zip(*(color_histograms(coarse(v)) for v in clean_views(photos, seed)), strict=True)
        return network(*(torch.from_numpy(np.stack(a)) for a in arrays))


def calibrate_color(network: ColorNetwork, logits: Tensor, flagged: float) -> list[float]:
    """Lower the biases where more than such a share of clean photographs scores over 0.5.

    Args:
        logits: of photographs not trained on, see `clean_logits` and `held_out_logits`.

    Returns:
        the shift of each score, in logits; none is over 0.
    """
    shift = -logits.quantile(1 - flagged, dim=0).clamp(min=0)
    with torch.no_grad():
        network.out.bias += shift
    return shift.tolist()
