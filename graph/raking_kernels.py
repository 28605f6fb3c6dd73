"""Compiled loops of raking over samples and their tags."""

from __future__ import annotations

import numba
import numpy as np

#: A sample whose P has no more room than this to move, or bends no more than this, is passed over.
SETTLED = 1e-6


@numba.njit(nogil=True, cache=True)
def tilt(indptr, indices, lam, offset, low, high, p, bend, out, first, last):
    """P and its slope D of some samples; both are added up per concept in `out` [m, 2]."""
    for i in range(first, last):
        width = high[i] - low[i]
        total = offset[i]
        for k in range(indptr[i], indptr[i + 1]):
            total += lam[indices[k]]
        if offset[i] == np.inf:
            r = 1.0
        elif offset[i] == -np.inf:
            r = 0.0
        else:
            r = 1.0 / (1.0 + np.exp(-max(-80.0, min(80.0, total))))
        value = min(high[i], max(low[i], np.float32(low[i] + width * r)))
        d = width * r * (1 - r)
        p[i] = value
        bend[i] = d
        for k in range(indptr[i], indptr[i + 1]):
            t = indices[k]
            out[t, 0] += value
            out[t, 1] += d


@numba.njit(nogil=True, cache=True)
def curvature(indptr, indices, bend, x, out, first, last):
    """Adds A' diag(bend) A x of some samples to `out`."""
    for i in range(first, last):
        d = bend[i]
        if d <= SETTLED:
            continue
        total = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            total += x[indices[k]]
        total *= d
        for k in range(indptr[i], indptr[i + 1]):
            out[indices[k]] += total


@numba.njit(nogil=True, cache=True)
def any_of(indptr, indices, marked):
    """bool [n]: samples with any of the marked concepts."""
    out = np.zeros(len(indptr) - 1, np.bool_)
    for i in range(len(out)):
        for k in range(indptr[i], indptr[i + 1]):
            if marked[indices[k]]:
                out[i] = True
                break
    return out


@numba.njit(nogil=True, cache=True)
def count(indptr, indices, value, out, first, last):
    """Adds the values of some samples to each of their concepts in `out`."""
    for i in range(first, last):
        v = value[i]
        for k in range(indptr[i], indptr[i + 1]):
            out[indices[k]] += v


@numba.njit(nogil=True, cache=True)
def open_rows(indptr, low, high):
    """(samples whose P has room to move, how many tags they have)."""
    rows = np.empty(len(low), np.int64)
    used = tags = 0
    for i in range(len(low)):
        if high[i] - low[i] > SETTLED:
            rows[used] = i
            used += 1
            tags += indptr[i + 1] - indptr[i]
    return rows[:used].copy(), tags


@numba.njit(nogil=True, cache=True)
def take_rows(indptr, indices, rows, tags):
    """CSR of some samples."""
    out = np.empty(len(rows) + 1, np.int64)
    found = np.empty(tags, indices.dtype)
    out[0] = w = 0
    for r in range(len(rows)):
        for k in range(indptr[rows[r]], indptr[rows[r] + 1]):
            found[w] = indices[k]
            w += 1
        out[r + 1] = w
    return out, found
