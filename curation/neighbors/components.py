"""Connected components of an edge list."""

from __future__ import annotations

import numpy as np


def component_labels(n: int, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
    """int64 [n]: the smallest position in each node's component (its own for a lone node)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(src), np.int8), (src, dst)), shape=(n, n))
    count, labels = connected_components(graph, directed=False)
    smallest = np.full(count, n, np.int64)
    np.minimum.at(smallest, labels, np.arange(n))
    return smallest[labels]


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
