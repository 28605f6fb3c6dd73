"""Biases set so that few clean photographs score over 0.5, by photographs that were not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..shrink import shrink
from ..thumbnail import SHORT_SIDE_PX
from .clean_views import clean_views
from .crops import overview
from .histograms import coarse, light_histogram

#: Trains a network of histograms of light on photographs.
Train = Callable[[Sequence[np.ndarray]], nn.Module]


def clean_logits(network: nn.Module, photos: Sequence[np.ndarray], seed: int) -> Tensor:
    """Logits [views, ...] of clean photographs, see `clean_views`."""
    network.eval()
    with torch.inference_mode():
        small = (overview(shrink(view, SHORT_SIDE_PX)) for view in clean_views(photos, seed))
        return network(torch.from_numpy(np.stack([light_histogram(coarse(x)) for x in small])))


def held_out_logits(train: Train, photos: Sequence[np.ndarray], folds: int, seed: int) -> Tensor:
    """Logits [views, ...] of clean photographs, each by a network trained without it (cross-fitting)."""
    logits = []
    for first, last in runs(len(photos), folds):
        network = train([*photos[:first], *photos[last:]])
        logits.append(clean_logits(network, photos[first:last], seed))
    return torch.cat(logits)


def runs(count: int, folds: int) -> Iterator[tuple[int, int]]:
    """First, and one beyond the last, of runs of neighbors, at most so many.

    Neighbors in a folder are often alike: a run of what the others do not have tells most about pictures from elsewhere.
    """
    edges = np.linspace(0, count, min(folds, count) + 1).round().astype(int).tolist()
    return zip(edges[:-1], edges[1:], strict=True)


def lower(biases: Tensor, logits: Tensor, flagged: float) -> list[float]:
    """Lower the biases where more than such a share of clean photographs scores over 0.5.

    Args:
        biases: [k], changed in place.
        logits: [n, k] of photographs not trained on, see `clean_logits` and `held_out_logits`.

    Returns:
        the shift of each score, in logits; none is over 0.
    """
    shift = -logits.quantile(1 - flagged, dim=0, interpolation="higher").clamp(min=0)
    with torch.no_grad():
        biases += shift
    return shift.tolist()
