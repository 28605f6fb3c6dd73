"""Compiled steps of PageRank. Importing this imports numba, so import it inside functions.

Node numbers are read as unsigned: a signed index costs a test for negative ones at every edge.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, inline="always")
def _inflow(indptr, indices, flow, v):
    """Sum of flow over the sources of row v, float64."""
    total = 0.0
    for u in indices[indptr[v] : indptr[v + 1]]:
        total += flow[np.uint32(u)]
    return total


@njit(nogil=True, cache=True)
def full_step(indptr, indices, flow, first, last, damping, base, member, x, new):
    """new = base + damping * (sum of flow over sources) for rows first..last-1; sum |new - x|."""
    change = 0.0
    for v in range(first, last):
        total = damping * _inflow(indptr, indices, flow, v)
        if member[v]:
            total += base
        change += abs(total - x[v])
        new[v] = total
    return change


@njit(nogil=True, cache=True)
def change_step(indptr, indices, flow, first, last, damping, base, member, share, x, new_flow):
    """One step of the changes: d' = base + damping * (sum of flow), x += d', new flow = d' * share.

    `flow` may be float32 or float64, sums are float64. Returns (sum |d'|, d' of nodes without links).
    """
    size = dangling = 0.0
    for v in range(first, last):
        total = damping * _inflow(indptr, indices, flow, v)
        if member[v]:
            total += base
            if share[v] == 0.0:
                dangling += total
        size += abs(total)
        x[v] += total
        new_flow[v] = total * share[v]
    return size, dangling
