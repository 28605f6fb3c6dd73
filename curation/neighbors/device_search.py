"""The near pairs of all rows, searched on an accelerator in place of the cells of the CPU."""

from __future__ import annotations

import numpy as np

from .exact import Edges
from .pairs import SearchSettings


def searched_on(device: str, vectors: np.ndarray, settings: SearchSettings) -> tuple[Edges, dict]:
    """The union of every row's k nearest rows with cosine >= floor, and figures of the search.

    Exact up to `torch_knn.EXACT_ROWS` rows, by cells above. Nothing is kept: new rows mean searching all again.

    Args:
        device: a torch device, e.g. `cuda`, `cuda:1`; `cpu` works, and is slower than the CPU's own engine.
        vectors: float16 or float32 [n, d], may be a memory map.

    Raises:
        ValueError: no such device here, or a vector with NaN or infinity.
    """
    import torch

    from .torch_knn import Plan, search

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"dedup.device is {device!r}, but PyTorch sees no GPU here: leave it out, or give the node one"
        )
    plan = Plan(cells=settings.cells, target=max(settings.recall, 0.99), seed=settings.seed)
    found = search(vectors, settings.k, settings.floor, device, plan)
    return found.edges, {
        "method": f"{'exact' if found.cells == 1 else 'cells'} on {device}",
        "cells": found.cells,
        "copies_per_row": found.copies_per_row,
    }
