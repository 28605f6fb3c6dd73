"""Compiled linear passes over ids and edges. Importing this imports numba, so import it inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def last_matches(high, low, order, other_high, other_low, out):
    """For each of some ascending ids the last position in `order` that holds it, -1 for none.

    Args:
        high, low: uint64 [n], halves of the ids looked among; order: int64 [n], a stable sort of them.
        other_high, other_low: uint64 [m], halves of the ids looked for, ascending.
        out: int64 [m], changed in place.
    """
    at = 0
    for i in range(other_high.shape[0]):
        while at < order.shape[0]:
            row = order[at]
            if high[row] > other_high[i] or (high[row] == other_high[i] and low[row] >= other_low[i]):
                break
            at += 1
        out[i] = -1
        ahead = at
        while ahead < order.shape[0]:
            row = order[ahead]
            if high[row] != other_high[i] or low[row] != other_low[i]:
                break
            out[i] = row
            ahead += 1


@njit(nogil=True, cache=True)
def mix(high, low, seed, out):
    """uint64 [n]: even marks of ids, the finalizer of SplitMix64 (Steele, Lea, Flood 2014) over both halves."""
    for i in range(high.shape[0]):
        x = high[i] ^ seed
        for word in range(2):
            x += np.uint64(0x9E3779B97F4A7C15)
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            x ^= x >> np.uint64(31)
            if word == 0:
                x ^= low[i]
        out[i] = x


@njit(nogil=True, cache=True)
def _root(parent, x):
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@njit(nogil=True, cache=True)
def connect(parent, src, dst):
    """Join the ends of all edges in a forest whose roots are the smallest nodes of their trees.

    Args:
        parent: int64 [n], changed in place: afterwards every node's root.
    """
    for e in range(src.shape[0]):
        a, b = _root(parent, src[e]), _root(parent, dst[e])
        if a < b:
            parent[b] = a
        elif b < a:
            parent[a] = b
    for i in range(parent.shape[0]):
        parent[i] = parent[parent[i]]  # a root is smaller than its nodes, so it is final by now
