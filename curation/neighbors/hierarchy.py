"""Communities of the whole k-NN graph at several resolutions, each inside one of the level before.

For balance and for pruning clusters, never for duplicates: modularity has a resolution limit, and its optimum
changes with unrelated data.

Level by level: the engine runs on the graph without the edges between communities of the level before,
at the next resolution. A community never spans two unconnected pieces, so the levels are nested by
construction. An engine that returns a disconnected community has it cut into its connected parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from .components import component_labels
from .exact import Edges

Engine = Literal["networkit", "leidenalg"]


def community_path(
    edges: Edges,
    n: int,
    engine: Engine = "networkit",
    resolutions: Sequence[float] | None = None,
    seed: int = 0,
    min_size: int = 1,
) -> np.ndarray:
    """Path of every node through the levels, coarse to fine.

    Give nodes in the order of their sample ids: then the result does not depend on the order of the rows.
    A node without edges is a community of its own on every level.

    Args:
        edges: between 0..n - 1; weights are cosines, and edges of no positive cosine are passed over.
        engine: `networkit`, or `leidenalg`, the reference.
        resolutions: of modularity (Reichardt and Bornholdt 2006), one per level; 1 is modularity itself.
            Default: `ladder(n)`.
        seed: same seed, same result.
        min_size: a community of fewer members is not divided any further.

    Returns:
        int32 [n, levels]: number of the community within its level, 0.. by first member. Nodes of one
        community are of one community on every level before.

    Raises:
        ValueError: no resolutions, one that is not positive, ends outside 0..n - 1, or an unknown engine.
    """
    resolutions = ladder(n) if resolutions is None else resolutions
    if not len(resolutions) or any(not 0 < r < float("inf") for r in resolutions):
        raise ValueError(f"resolutions must be positive numbers, at least one, got {list(resolutions)}")
    if len(edges) and not (edges.src.min() >= 0 and edges.dst.max() < n):
        raise ValueError(f"edges must connect nodes 0..{n - 1}")
    run = engine_of(engine)
    positive = edges.cos > 0
    edges = Edges(edges.src[positive], edges.dst[positive], edges.cos[positive])
    path = np.empty((n, len(resolutions)), np.int32)
    coarse = np.zeros(n, np.int64)
    for level, resolution in enumerate(resolutions):
        inside = coarse[edges.src] == coarse[edges.dst]
        edges = Edges(edges.src[inside], edges.dst[inside], edges.cos[inside])
        found = run(edges, n, resolution, seed) if len(edges) else np.arange(n)
        if level:
            found = np.where(np.bincount(coarse)[coarse] < min_size, n + coarse, found)
        coarse, _ = connected(found, edges, n)
        path[:, level] = coarse
    return path


def ladder(n: int) -> tuple[float, ...]:
    """1, 10, 100, ... as long as there are a hundred nodes for each unit.

    At resolution r Leiden finds communities of up to about n / r nodes: beyond this ladder, next to nothing
    holds together any more.
    """
    return tuple(10.0**i for i in range(max(1, len(str(max(1, n))) - 2)))


def engine_of(engine: str) -> Callable[[Edges, int, float, int], np.ndarray]:
    """(edges, n, resolution, seed) -> int64 [n] of an engine. Raises ValueError for an unknown one."""
    if engine == "networkit":
        from .networkit_engine import modularity_networkit

        return modularity_networkit
    if engine == "leidenalg":
        from .leiden import modularity_leidenalg

        return modularity_leidenalg
    raise ValueError(f"unknown engine {engine!r}; there are networkit and leidenalg")


def connected(labels: np.ndarray, edges: Edges, n: int) -> tuple[np.ndarray, int]:
    """Communities cut into their connected parts, numbered by first member; how many were not connected."""
    inside = labels[edges.src] == labels[edges.dst]
    parts = component_labels(n, edges.src[inside], edges.dst[inside])
    first = np.unique(parts)
    _, pieces = np.unique(labels[first], return_counts=True)
    return np.searchsorted(first, parts), int((pieces > 1).sum())


def modularity(edges: Edges, labels: np.ndarray, n: int) -> float:
    """Newman's modularity at resolution 1, weighted by cosine; 0 without edges.

    Sum over communities of (weight inside / total) - (sum of its weighted degrees / twice the total)².
    """
    weight = edges.cos.astype(np.float64)
    total = weight.sum()
    if total <= 0:
        return 0.0
    degree = np.bincount(edges.src, weight, n) + np.bincount(edges.dst, weight, n)
    inside = weight[labels[edges.src] == labels[edges.dst]].sum()
    return float(inside / total - ((np.bincount(labels, degree) / (2 * total)) ** 2).sum())
