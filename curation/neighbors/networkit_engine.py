"""NetworKit's Leiden for modularity, on one thread: with more its result differs from run to run."""

from __future__ import annotations

import numpy as np

from .exact import Edges

#: Runs of Leiden; NetworKit's own default.
_ITERATIONS = 3


def modularity_networkit(edges: Edges, n: int, resolution: float, seed: int) -> np.ndarray:
    """int64 [n]: communities of large modularity. May be disconnected in releases before 11.1: check.

    Args: as `leiden.modularity_leidenalg`. Sets NetworKit's seed, and its threads to one while it runs.
    """
    import networkit as nk

    threads = nk.getMaxNumberOfThreads()
    nk.setNumberOfThreads(1)
    try:
        nk.setSeed(seed & 0x7FFFFFFF, False)
        weight = edges.cos.astype(np.float64)
        graph = nk.GraphFromCoo((weight, (edges.src, edges.dst)), n=n, weighted=True)
        found = nk.community.ParallelLeiden(graph, randomize=True, iterations=_ITERATIONS, gamma=resolution)
        return np.asarray(found.run().getPartition().getVector(), np.int64)
    finally:
        nk.setNumberOfThreads(threads)
