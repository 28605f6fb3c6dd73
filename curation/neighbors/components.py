"""Connected components of an edge list."""

from __future__ import annotations

import numpy as np


def component_labels(n: int, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
    """int64 [n]: the smallest position in each node's component (its own for a lone node)."""
    from .id_kernels import connect

    labels = np.arange(n)
    connect(labels, np.asarray(src, np.int64), np.asarray(dst, np.int64))
    return labels


def members_of(labels: np.ndarray, at_least: int = 1) -> list[np.ndarray]:
    """Positions of each component with `at_least` members, ascending, components by smallest member."""
    order = np.argsort(labels, kind="stable")
    starts = (
        np.flatnonzero(np.concatenate(([True], labels[order][1:] != labels[order][:-1])))
        if len(order)
        else order
    )
    ends = np.concatenate((starts[1:], [len(order)])).astype(np.int64)
    chosen = np.flatnonzero(ends - starts >= at_least)
    return [order[a:b] for a, b in zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True)]
