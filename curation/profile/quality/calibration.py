"""Biases set so that few clean photographs score over 0.5, by photographs that were not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..shrink import shrink
from ..thumbnail import SHORT_SIDE_PX
from .clean_views import clean_views
from .crops import overview
from .histograms import coarse, color_histograms

#: Trains a network of histograms on photographs.
Train = Callable[[Sequence[np.ndarray]], nn.Module]
#: Its logits [n, ...] of histograms of color and of light.
Judge = Callable[[nn.Module, Tensor, Tensor], Tensor]


def clean_logits(network: nn.Module, judge: Judge, photos: Sequence[np.ndarray], seed: int) -> Tensor:
    """Logits [views, ...] of clean photographs, see `clean_views`."""
    network.eval()
    with torch.inference_mode():
        small = (overview(shrink(view, SHORT_SIDE_PX)) for view in clean_views(photos, seed))
        histograms = [color_histograms(coarse(x)) for x in small]
        return judge(network, *(torch.from_numpy(np.stack(kind)) for kind in zip(*histograms, strict=True)))


def held_out_logits(
    train: Train, judge: Judge, photos: Sequence[np.ndarray], folds: int, seed: int
) -> Tensor:
    """Logits [views, ...] of clean photographs, each by a network trained without it (cross-fitting).

    Folds are runs of neighbors, because neighbors in a folder are often alike: a fold of what the others do not
    have tells most about pictures from elsewhere.
    """
    edges = np.linspace(0, len(photos), min(folds, len(photos)) + 1).round().astype(int)
    logits = []
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        network = train([*photos[:first], *photos[last:]])
        logits.append(clean_logits(network, judge, photos[first:last], seed))
    return torch.cat(logits)


def lower(biases: Tensor, logits: Tensor, flagged: float) -> list[float]:
    """Lower the biases where more than such a share of clean photographs scores over 0.5.

    Args:
        biases: [k], changed in place.
        logits: [n, k] of photographs not trained on, see `clean_logits` and `held_out_logits`.

    Returns:
        the shift of each score, in logits; none is over 0.
    """
    shift = -logits.quantile(1 - flagged, dim=0).clamp(min=0)
    with torch.no_grad():
        biases += shift
    return shift.tolist()
