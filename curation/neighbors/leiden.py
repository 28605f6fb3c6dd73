"""Communities by Leiden: the constant Potts model (CPM) for duplicates, modularity as a reference.

The only file that imports leidenalg and igraph, which are GPL.

CPM maximizes the sum over pairs in one community of (cosine - gamma): thresholded average linkage.
Two samples join when their cosine is above gamma, and a chain of drifting pictures is cut where
its ends no longer resemble each other (Traag, Van Dooren, Nesterov 2011; Traag, Waltman, van Eck 2019).

Modularity has a resolution limit and depends on the whole graph, so it never decides about duplicates.
"""

from __future__ import annotations

import random

import numpy as np

from .complete import Completed
from .cpm import leiden_cpm
from .exact import Edges

#: Components of up to this many nodes get the best partition there is, without Leiden.
EXACT_LIMIT = 12
#: Above this many pairs, leidenalg takes seconds to minutes; `cpm`, which takes the same steps, does not.
LEIDENALG_PAIRS = 5_000


def communities(graph: Completed, gamma: float, seed: int) -> np.ndarray:
    """int64 [m]: community of each member of a completed component, numbered by first member.

    Args:
        gamma: the cosine threshold.
        seed: same seed, same result; e.g. a hash of the smallest member id.
    """
    p = len(graph.sizes)
    pairs = graph.sizes[graph.src] * graph.sizes[graph.dst]
    gain = graph.weight - gamma * pairs
    if p == 1 or (graph.all_pairs and gain.min() >= 0):
        return np.zeros(len(graph.node_of), np.int64)  # no pair costs anything: one community is the optimum
    if p > EXACT_LIMIT and graph.all_pairs and _no_cut_gains(p, graph.src, graph.dst, gain):
        return np.zeros(len(graph.node_of), np.int64)
    if p <= EXACT_LIMIT:
        from .community_kernels import best_partition

        every = (graph.absent - gamma) * np.outer(graph.sizes, graph.sizes)
        every[graph.src, graph.dst] = every[graph.dst, graph.src] = gain
        of_node = np.empty(p, np.int64)
        best_partition(every, of_node)
    else:
        of_node = _cpm(graph, pairs, gamma, seed)
    return by_first(of_node[graph.node_of])


def _no_cut_gains(n: int, src: np.ndarray, dst: np.ndarray, gain: np.ndarray) -> bool:
    """Whether every cut of the nodes costs something, so that one community is the optimum. Sufficient, not necessary.

    The gain across a cut is the quadratic form of the gains' Laplacian at the indicator of one side. Where that is positive
    for every vector that is not constant, no cut pays, and a partition is half the sum of the cuts around its parts.
    """
    minus = np.zeros((n, n), np.float32)
    minus[src, dst] = minus[dst, src] = -gain
    degree = -minus.sum(axis=1, dtype=np.float64)
    if degree.min() <= 0:
        return False
    rounding = n * 2.0**-22 * degree.max()  # what float32 sums may be wrong by, and more
    minus += np.float32(degree.mean() / n)  # lifts the constant vector, which every Laplacian sends to zero
    minus[np.diag_indices(n)] += (degree - rounding).astype(np.float32)
    try:
        np.linalg.cholesky(minus)
    except np.linalg.LinAlgError:
        return False
    return True


def by_first(labels: np.ndarray) -> np.ndarray:
    """int64 [n]: the same partition, numbered 0.. in the order of first members."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _cpm(graph: Completed, pairs: np.ndarray, gamma: float, seed: int) -> np.ndarray:
    """int64 [p]: Leiden until nothing moves.

    CPM with cosines and gamma both lower by the same constant has the same optimum where all pairs
    are present, and counts a pair that is not as one of that cosine.
    """
    weight, gamma = graph.weight - graph.absent * pairs, gamma - graph.absent
    arguments = (len(graph.sizes), graph.src, graph.dst, weight, graph.sizes, gamma, seed)
    return cpm_leidenalg(*arguments) if len(pairs) <= LEIDENALG_PAIRS else leiden_cpm(*arguments)


def cpm_leidenalg(
    n: int, src: np.ndarray, dst: np.ndarray, weight: np.ndarray, sizes: np.ndarray, gamma: float, seed: int
) -> np.ndarray:
    """As `cpm.leiden_cpm`, by leidenalg."""
    import leidenalg

    found = leidenalg.find_partition(
        _igraph(n, src, dst),
        leidenalg.CPMVertexPartition,
        weights=weight.tolist(),
        node_sizes=sizes.tolist(),
        resolution_parameter=gamma,
        n_iterations=-1,
        seed=seed & 0x7FFFFFFF,
    )
    return np.asarray(found.membership, np.int64)


def modularity_leidenalg(edges: Edges, n: int, resolution: float, seed: int) -> np.ndarray:
    """int64 [n]: communities of largest modularity, the reference engine.

    Args:
        edges: weights > 0 in `cos`, between nodes 0..n - 1.
        resolution: gamma of Reichardt and Bornholdt 2006; 1 is modularity itself, larger ones give smaller
            communities.
    """
    import leidenalg

    found = leidenalg.find_partition(
        _igraph(n, edges.src, edges.dst),
        leidenalg.RBConfigurationVertexPartition,
        weights=edges.cos.astype(np.float64).tolist(),
        resolution_parameter=resolution,
        n_iterations=2,
        seed=seed & 0x7FFFFFFF,
    )
    return np.asarray(found.membership, np.int64)


def modularity_igraph(edges: Edges, n: int, resolution: float, seed: int) -> np.ndarray:
    """As `modularity_leidenalg`, by igraph's own Leiden; for comparison."""
    import igraph

    graph = _igraph(n, edges.src, edges.dst)
    igraph.set_random_number_generator(random.Random(seed))
    try:
        found = graph.community_leiden(
            objective_function="modularity",
            weights=edges.cos.astype(np.float64).tolist(),
            resolution=resolution,
            n_iterations=2,
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(found.membership, np.int64)


def _igraph(n: int, src: np.ndarray, dst: np.ndarray):
    import igraph

    return igraph.Graph(n=n, edges=np.column_stack([src, dst]))
