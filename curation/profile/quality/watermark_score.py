"""How likely a picture carries a watermark: what the whole picture shows, and a closer look where that is likeliest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .glimpses import glimpse, likeliest_place
from .inputs import mark_cells
from .network import MarkNetwork


def watermark_logits(network: MarkNetwork, cells: np.ndarray, fine: Sequence[np.ndarray]) -> Tensor:
    """Logits [n] of the same network for whole pictures, and for the part of each that is likeliest to have a mark, added up.

    A closer look adds nothing over 0, as from near the lettering of a poster looks like a mark. A whole picture that scores
    below `network.sure` is not looked at closer, which would hardly change its rank: its own score counts twice.

    Args:
        cells: uint8 [n, 80, 80, 24], of `inputs.mark_cells` of overviews.
        fine: the same pictures, see `glimpses.fine_copy`.
    """
    whole, maps = network.score_and_map(torch.from_numpy(cells))
    closer, doubtful = whole.clone(), torch.nonzero(whole >= network.sure)[:, 0].tolist()
    if doubtful:
        looks = [mark_cells(glimpse(fine[k], likeliest_place(maps[k].numpy()))) for k in doubtful]
        closer[doubtful] = network(torch.from_numpy(np.stack(looks)))
    return whole + closer.clamp(max=0)
