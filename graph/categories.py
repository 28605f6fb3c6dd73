"""The is-a graph made acyclic and shallow. Edges lead from child to parent.

1. Inside every strongly connected component an edge is kept only if its parent comes before its child by (steps from
   where the component is entered from above, node number). Edges between components are never touched, so an
   acyclic graph stays as it is. A component that nothing enters begins at its member with the most children.
2. If some path is longer than the cap, edges are kept only if they lead to a parent nearer to a root (by the
   shortest way), and what lies deeper than the cap hangs on its ancestor just above it: full category trees drift
   off topic, and the shortest way is the one that drifts least.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import csr

MAX_DEPTH = 12


@dataclass(frozen=True)
class Taxonomy:
    """`csr`: acyclic is-a edges. `depth`: edges on its longest path.

    Attributes:
        cycle_edges: dropped to break cycles (self-loops included). sideways_edges: dropped by the cap.
        lifted: nodes below the cap that hang on a higher ancestor now.
    """

    csr: tuple[np.ndarray, np.ndarray]
    depth: int
    cycle_edges: int
    sideways_edges: int
    lifted: int


def taxonomy(indptr: np.ndarray, indices: np.ndarray, max_depth: int = MAX_DEPTH) -> Taxonomy:
    """Break cycles and cap the depth of a child -> parent CSR. `max_depth` >= 1 edges."""
    from .category_kernels import breadth_first, longest_levels

    if max_depth < 1:
        raise ValueError(f"the depth cap must be at least 1, got {max_depth}")
    n = len(indptr) - 1
    source, target = csr.pairs(indptr, indices)
    keep = _without_cycles(n, source, target, csr.transpose(indptr, indices))
    cycle_edges = int((~keep).sum())
    source, target = source[keep], target[keep]
    edges = csr.from_pairs(source, target, n)
    children = csr.transpose(*edges)
    depth = int(longest_levels(edges[0], *children).max(initial=0))
    sideways = lifted = 0
    if depth > max_depth:
        roots = np.flatnonzero((np.diff(edges[0]) == 0) & (np.diff(children[0]) > 0)).astype(np.int32)
        steps = breadth_first(*children, roots, np.zeros(n, np.int32))
        nearer = steps[target] < steps[source]
        sideways = int((~nearer).sum())
        source, target, lifted = _capped(source[nearer], target[nearer], steps, max_depth)
        edges = csr.from_pairs(source, target, n)
        children = csr.transpose(*edges)
        depth = int(longest_levels(edges[0], *children).max(initial=0))
    return Taxonomy(edges, depth, cycle_edges, sideways, lifted)


def is_acyclic(indptr: np.ndarray, indices: np.ndarray) -> bool:
    """Is there no way from a node back to it?"""
    from .category_kernels import longest_levels

    return bool((longest_levels(np.asarray(indptr), *csr.transpose(indptr, indices)) >= 0).all())


def _without_cycles(n: int, source: np.ndarray, target: np.ndarray, children) -> np.ndarray:
    """bool per edge: does it stay?"""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    from .category_kernels import breadth_first

    weights = np.ones(len(source), np.int8)
    _, label = connected_components(csr_array((weights, (source, target)), (n, n)), connection="strong")
    inside = label[source] == label[target]
    if not inside.any():
        return np.ones(len(source), bool)
    cyclic = np.zeros(n, bool)
    cyclic[source[inside]] = True
    entered = np.zeros(n, bool)
    entered[source[~inside & cyclic[source]]] = True
    # Components that nothing enters from above begin at their most general member.
    has_entry = np.zeros(n, bool)
    has_entry[label[entered]] = True
    alone = np.flatnonzero(cyclic & ~has_entry[label])
    fan = np.diff(children[0])[alone]
    order = alone[np.lexsort((alone, -fan, label[alone]))]
    first = np.r_[True, label[order[1:]] != label[order[:-1]]] if len(order) else np.zeros(0, bool)
    begins = np.r_[np.flatnonzero(entered), order[first]].astype(np.int32)
    steps = breadth_first(*children, begins, label)
    before = (steps[target] < steps[source]) | ((steps[target] == steps[source]) & (target < source))
    return ~inside | before


def _capped(source, target, steps, cap) -> tuple[np.ndarray, np.ndarray, int]:
    """Edges with nodes deeper than `cap` hung on their ancestor at depth cap - 1, by the first parent up the way."""
    deep = steps[source] > cap
    if not deep.any():
        return source, target, 0
    over = np.flatnonzero(deep)
    first = over[np.unique(source[over], return_index=True)[1]]
    up = np.arange(len(steps), dtype=np.int32)
    # A parent one step nearer exists for every deep node; others may be nearer still and are as good.
    up[source[first]] = target[first]
    child = source[first]
    above = up[child]
    while (low := steps[above] > cap - 1).any():
        above[low] = np.where(
            steps[above[low]] > cap, up[above[low]], _parent_at_cap(source, target, above[low])
        )
    return np.r_[source[~deep], child], np.r_[target[~deep], above], len(child)


def _parent_at_cap(source: np.ndarray, target: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """A parent of each node; edges are sorted by source."""
    return target[np.searchsorted(source, nodes)]
