"""Joining ranked lists of different scales.

Reciprocal rank fusion (Cormack, Clarke & Büttcher, SIGIR 2009): a row's score is the sum over lists of
w / (60 + rank). Ranks, not scores: cosines and BM25 have no common unit, and 60 is the paper's constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RRF_K = 60


def fuse(
    lists: Sequence[np.ndarray], k: int, weights: Sequence[float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k best rows of several ranked lists.

    Args:
        lists: int64 row numbers, best first, each row once per list.
        weights: one per list; default 1.

    Returns:
        int64 rows and float64 scores, best first; ties go to the row that stands higher in the earlier list.
    """
    weights = [1.0] * len(lists) if weights is None else list(weights)
    if len(weights) != len(lists) or any(w < 0 for w in weights):
        raise ValueError(f"{len(lists)} lists need as many weights of at least 0, got {weights}")
    rows = np.concatenate([np.zeros(0, np.int64), *lists]).astype(np.int64)
    values = np.concatenate(
        [np.zeros(0), *(w / (RRF_K + 1 + np.arange(len(x))) for w, x in zip(weights, lists, strict=True))]
    )
    unique, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    totals = np.bincount(inverse, weights=values, minlength=len(unique)) if len(rows) else np.zeros(0)
    order = np.lexsort((first, -totals))[:k]
    return unique[order], totals[order]
