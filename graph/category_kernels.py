"""Compiled walks over the is-a graph. Importing this imports numba, so import it inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def breadth_first(indptr, indices, sources, label):
    """int32 depth [n] from `sources` along the rows, never from one label to another; -1 where none leads."""
    n = indptr.shape[0] - 1
    depth = np.full(n, -1, np.int32)
    queue = np.empty(n, np.int32)
    head = tail = 0
    for s in sources:
        depth[s] = 0
        queue[tail] = s
        tail += 1
    while head < tail:
        v = queue[head]
        head += 1
        for e in range(indptr[v], indptr[v + 1]):
            c = indices[e]
            if label[c] == label[v] and depth[c] < 0:
                depth[c] = depth[v] + 1
                queue[tail] = c
                tail += 1
    return depth


@njit(nogil=True, cache=True)
def longest_levels(parents_ptr, children_ptr, children):
    """int32 longest path from a root to each node of an acyclic graph; -1 for nodes on or below a cycle."""
    n = parents_ptr.shape[0] - 1
    level = np.full(n, -1, np.int32)
    pending = np.empty(n, np.int64)
    reached = np.zeros(n, np.int32)
    queue = np.empty(n, np.int32)
    head = tail = 0
    for v in range(n):
        pending[v] = parents_ptr[v + 1] - parents_ptr[v]
        if pending[v] == 0:
            queue[tail] = v
            tail += 1
    while head < tail:
        v = queue[head]
        head += 1
        level[v] = reached[v]
        for e in range(children_ptr[v], children_ptr[v + 1]):
            c = children[e]
            reached[c] = max(reached[c], level[v] + 1)
            pending[c] -= 1
            if pending[c] == 0:
                queue[tail] = c
                tail += 1
    return level
