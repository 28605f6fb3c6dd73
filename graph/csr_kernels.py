"""Compiled loops over edge arrays. Importing this imports numba, so import it inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def counts_to_pointers(counts):
    """int64 [n] -> int64 [n + 1], running sums from 0."""
    pointers = np.empty(counts.shape[0] + 1, np.int64)
    pointers[0] = 0
    for i in range(counts.shape[0]):
        pointers[i + 1] = pointers[i] + counts[i]
    return pointers


@njit(nogil=True, cache=True)
def scatter(source, target, indptr, indices):
    """Counting sort of edges by source into `indices`, stable. `indptr` int64 [n + 1] is left as it was."""
    fill = indptr[:-1].copy()
    for e in range(source.shape[0]):
        s = np.uint32(source[e])
        indices[fill[s]] = target[e]
        fill[s] += 1


@njit(nogil=True, cache=True)
def count(ids, n):
    out = np.zeros(n, np.int64)
    for e in range(ids.shape[0]):
        out[np.uint32(ids[e])] += 1
    return out


@njit(nogil=True, cache=True)
def transpose_rows(indptr, indices, out_indptr, out_indices):
    """Edges by target; sources of one target come out ascending."""
    fill = out_indptr[:-1].copy()
    for s in range(indptr.shape[0] - 1):
        for e in range(indptr[s], indptr[s + 1]):
            t = np.uint32(indices[e])
            out_indices[fill[t]] = s
            fill[t] += 1


@njit(nogil=True, cache=True)
def unique_rows(indptr, indices):
    """Drop repeats within sorted rows, in place; (new indptr, edges left)."""
    out = np.empty_like(indptr)
    out[0] = 0
    w = 0
    for s in range(indptr.shape[0] - 1):
        last = -1
        for e in range(indptr[s], indptr[s + 1]):
            t = indices[e]
            if t != last:
                indices[w] = t
                w += 1
                last = t
        out[s + 1] = w
    return out, w
