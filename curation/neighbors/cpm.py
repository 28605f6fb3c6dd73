"""Leiden for the constant Potts model on dense graphs, compiled.

A completed component of p nodes has up to p² / 2 pairs, and leidenalg takes minutes on a few thousand
nodes of that kind. The steps here are those of Traag, Waltman, van Eck 2019 (move nodes, refine,
aggregate, until nothing changes), with the refinement greedy instead of random, as leidenalg's own default.
`benchmarks/communities.py` compares time and quality.
"""

from __future__ import annotations

import numpy as np

#: Effort: searches from the beginning, with other orders of visit, are as many as see this many pairs,
#: 1 to 8. A search ends after 3 runs in a row that find nothing better; where it is the only one, after 1.
_PAIRS_SEEN, _SEARCHES, _PATIENCE, _MOST_RUNS = 1_000_000, 8, 3, 50
#: Cells of a table in which aggregated weights are added up directly.
_TABLE = 16_000_000


def leiden_cpm(
    n: int, src: np.ndarray, dst: np.ndarray, weight: np.ndarray, sizes: np.ndarray, gamma: float, seed: int
) -> np.ndarray:
    """int64 [n]: communities in which no node gains by moving alone, nor any aggregate found on the way.

    Args:
        src, dst: int64 [e], pairs in ascending order, src < dst.
        weight: float64 [e], sum over the member pairs of two nodes; 0 where there is no pair.
        sizes: int64 [n], members per node.
        gamma: what a pair of members costs in one community.
        seed: of the orders in which nodes are visited; the result depends on nothing else.
    """
    from .cpm_kernels import move_nodes, quality, symmetric

    graph = symmetric(n, src, dst, weight)
    loads = sizes.astype(np.float64)
    least = 1e-9 + 4e-15 * float(loads.sum()) ** 2
    seed = (seed & 0xFFFFFFFF) << 20
    found, found_quality = np.arange(n), -np.inf
    searches = int(np.clip(_PAIRS_SEEN // max(1, len(src)), 1, _SEARCHES))
    patience = _PATIENCE if searches > 1 else 1
    for start in range(searches):
        labels, best, failed = np.arange(n), -np.inf, 0
        for run in range(_MOST_RUNS):
            tried = _once(graph, loads, gamma, least, seed + 10_000 * start + 100 * run, labels.copy())
            reached = quality(*graph, loads, gamma, tried)
            if reached > best + least:
                labels, best, failed = tried, reached, 0
                continue
            failed += 1
            if failed == patience:
                break
        if best > found_quality:
            found, found_quality = labels, best
    move_nodes(*graph, loads, gamma, least, seed, found)
    return found


def _once(
    graph: tuple, sizes: np.ndarray, gamma: float, least: float, seed: int, labels: np.ndarray
) -> np.ndarray:
    """One run over all levels of aggregation, from given communities."""
    from .cpm_kernels import move_nodes, refine

    node_of = np.arange(len(labels))  # of the first level's nodes, in the present level
    level = 0
    while True:
        moves = move_nodes(*graph, sizes, gamma, least, seed + level, labels)
        n = len(labels)
        parts = np.empty(n, np.int64)
        refine(*graph, sizes, gamma, least, seed + level + 50, labels, parts)
        names, number = np.unique(parts, return_inverse=True)
        if len(names) == n or (level and not moves):
            return labels[node_of]
        graph, sizes = _aggregated(graph, sizes, number, len(names))
        # communities of the parts, renumbered to stay below their count
        labels = np.unique(labels[names], return_inverse=True)[1]
        node_of = number[node_of]
        level = min(level + 1, 49)


def _aggregated(graph: tuple, sizes: np.ndarray, number: np.ndarray, n: int) -> tuple[tuple, np.ndarray]:
    """The graph of the parts: weights between two of them added up, those inside left out."""
    from .cpm_kernels import symmetric

    starts, neighbors, weights = graph
    source = number[np.repeat(np.arange(len(sizes)), np.diff(starts))]
    target = number[neighbors]
    upper = source < target
    key = source[upper] * n + target[upper]
    if n * n <= _TABLE:
        table = np.bincount(key, weights[upper], minlength=n * n)
        pairs = np.flatnonzero(np.bincount(key, minlength=n * n))
        summed = table[pairs]
    else:
        pairs, inverse = np.unique(key, return_inverse=True)
        summed = np.bincount(inverse, weights[upper])
    return symmetric(n, pairs // n, pairs % n, summed), np.bincount(number, sizes, minlength=n)
