"""Components too large to complete are split at a higher threshold.

The rule, exactly: the edges of the component are taken from the strongest down (ties: by their ends),
and the two parts an edge connects become one unless they would be larger than the limit together. So the
threshold is raised inside the component as far as needed and no further, place by place; what is
most alike stays together; a part is never larger than the limit; and the result depends on the edges alone.
"""

from __future__ import annotations

import numpy as np

from .components import component_labels, members_of
from .exact import Edges
from .merging import cosine_of_share

#: Nodes a component may have, after merging, before it is split. Completing one this large takes minutes.
MAX_NODES = 50_000


def capped_parts(
    n: int,
    src: np.ndarray,
    dst: np.ndarray,
    strength: np.ndarray,
    limit: int,
    merged: np.ndarray | None = None,
) -> np.ndarray:
    """int64 [n]: the smallest node of the part each node is in; see the module's text for the rule.

    Args:
        src, dst: int64 [e], edges in one component or several.
        strength: [e], cosine or any increasing function of it.
        limit: largest part, at least 1.
        merged: int64 [n], a smaller or equal node of the same merged node, itself for the first: such
            nodes stay together and count as one.

    Raises:
        ValueError: limit < 1.
    """
    from .community_kernels import join_within, roots

    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    parent, load = np.arange(n), np.ones(n, np.int64)
    if merged is not None:
        parent = np.array(merged, np.int64)
    order = np.lexsort((dst, src, -np.asarray(strength, np.float64)))
    join_within(parent, load, np.asarray(src)[order], np.asarray(dst)[order], limit)
    return roots(parent)


def bounded_components(n: int, edges: Edges, threshold: float, limit: int = MAX_NODES) -> np.ndarray:
    """As `component_labels` of the edges with cos >= threshold, but with oversized components split.

    A component's size is counted in merged nodes: the first free member takes its free neighbors within a
    quarter of the threshold's angle. So any number of copies of one picture stay together.

    Args:
        edges: between positions 0..n - 1; weaker ones than the threshold are passed over.
        limit: merged nodes of a component, at most.

    Returns:
        int64 [n]: the smallest position in each node's component or part of one.
    """
    strong = edges.above(threshold)
    labels = component_labels(n, strong.src, strong.dst)
    if n <= limit:
        return labels
    if np.bincount(labels).max() <= limit:
        return labels
    for members in members_of(labels, at_least=limit + 1):
        inside = labels[strong.src] == members[0]
        src = np.searchsorted(members, strong.src[inside])
        dst = np.searchsorted(members, strong.dst[inside])
        cos = strong.cos[inside]
        leader = _leaders_along(len(members), src, dst, cos, threshold)
        if len(np.unique(leader)) > limit:
            labels[members] = members[capped_parts(len(members), src, dst, cos, limit, leader)]
    return labels


def _leaders_along(n: int, src: np.ndarray, dst: np.ndarray, cos: np.ndarray, threshold: float) -> np.ndarray:
    """int64 [n]: leader of each node, over the edges."""
    from .community_kernels import lead_along

    a, b = np.concatenate([src, dst]), np.concatenate([dst, src])
    order = np.argsort(a, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(a, minlength=n))])
    leader = np.full(n, -1, np.int64)
    lead_along(starts, b[order], np.concatenate([cos, cos])[order], cosine_of_share(threshold, 4), leader)
    return leader
