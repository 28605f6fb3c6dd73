"""Communities of one component: Leiden with the constant Potts model (CPM).

The only file that imports leidenalg and igraph, which are GPL.

CPM maximizes the sum over pairs in one community of (cosine - gamma): thresholded average linkage.
Two samples join when their cosine is above gamma, and a chain of drifting pictures is cut where
its ends no longer resemble each other (Traag, Van Dooren, Nesterov 2011; Traag, Waltman, van Eck 2019).
"""

from __future__ import annotations

import numpy as np

from .complete import Completed


def communities(graph: Completed, gamma: float, seed: int) -> np.ndarray:
    """int64 [m]: community of each member of a completed component, numbered by first member.

    Args:
        gamma: the cosine threshold.
        seed: same seed, same result; e.g. a hash of the smallest member id.
    """
    p = len(graph.sizes)
    gain = graph.weight - gamma * (graph.sizes[graph.src] * graph.sizes[graph.dst])
    if p == 1 or (graph.all_pairs and gain.min() >= 0):
        of_node = np.zeros(p, np.int64)  # no pair costs anything: one community is the optimum
    elif p <= 3:
        of_node = _closed_form(p, graph, gain)
    else:
        of_node = _leiden(graph, gamma, seed)
    labels = of_node[graph.node_of]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _closed_form(p: int, graph: Completed, gain: np.ndarray) -> np.ndarray:
    """The best of the five ways to split three nodes (two, of two)."""
    best, of_node = 0.0, np.arange(p)
    if gain.sum() > best:
        best, of_node = float(gain.sum()), np.zeros(p, np.int64)
    for i, j, g in zip(graph.src, graph.dst, gain, strict=True):
        if g > best:
            best, of_node = float(g), np.arange(p)
            of_node[j] = i
    return of_node


def _leiden(graph: Completed, gamma: float, seed: int) -> np.ndarray:
    import igraph
    import leidenalg

    g = igraph.Graph(n=len(graph.sizes), edges=np.column_stack([graph.src, graph.dst]))
    found = leidenalg.find_partition(
        g,
        leidenalg.CPMVertexPartition,
        weights=graph.weight.tolist(),
        node_sizes=graph.sizes.tolist(),
        resolution_parameter=gamma,
        n_iterations=-1,
        seed=seed & 0x7FFFFFFF,
    )
    return np.asarray(found.membership, np.int64)
