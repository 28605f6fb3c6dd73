"""Compiled inner loops. Importing this imports numba, so import it inside functions.

A cosine here is always the same number for the same two vectors, whatever the block, thread or
order: float64 products summed in one fixed order, then rounded to float32.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def dot(a, b):
    """Dot product of two float32 vectors in float64, in as many running sums as a register holds.

    The order of the sums is the compiled code's: the same on every run, thread and block of one class of CPU.
    """
    total = 0.0
    for i in range(a.shape[0]):
        total += np.float64(a[i]) * np.float64(b[i])
    return total


@njit(nogil=True, cache=True)
def best_dot(a, b, first, second, sign):
    """The larger of dot(a, b) and dot(a, M b); orbits of M as in `mirrored.Orbits`, none for no mirror.

    The same bits for (b, a): products of float32 are exact in float64, and the two of an orbit are
    added before the running sum.
    """
    plain = dot(a, b)
    if first.shape[0] == 0:
        return plain
    total = 0.0
    for i in range(first.shape[0]):
        p, q = first[i], second[i]
        term = np.float64(a[p]) * np.float64(b[q])
        if p != q:
            term += np.float64(a[q]) * np.float64(b[p])
        total += sign[i] * term
    return max(plain, total)


@njit(nogil=True, cache=True)
def best_dots(a, b, first, second, sign, out):
    """Row by row `best_dot` of two float32 [n, d] arrays into float64 [n]."""
    for i in range(a.shape[0]):
        out[i] = best_dot(a[i], b[i], first, second, sign)


@njit(nogil=True, cache=True)
def _worse(cos_a, id_a, cos_b, id_b):
    return cos_a < cos_b or (cos_a == cos_b and id_a > id_b)


@njit(nogil=True, cache=True)
def _push(heap_cos, heap_id, size, cos, index):
    """Insert into a heap whose root is the worst entry; a full heap gives up its root."""
    k = heap_cos.shape[0]
    if size < k:
        j = size
        while j > 0:
            parent = (j - 1) // 2
            if not _worse(cos, index, heap_cos[parent], heap_id[parent]):
                break
            heap_cos[j] = heap_cos[parent]
            heap_id[j] = heap_id[parent]
            j = parent
        heap_cos[j] = cos
        heap_id[j] = index
        return size + 1
    if not _worse(heap_cos[0], heap_id[0], cos, index):
        return size
    j = 0
    while True:
        child = 2 * j + 1
        if child >= k:
            break
        if child + 1 < k and _worse(heap_cos[child + 1], heap_id[child + 1], heap_cos[child], heap_id[child]):
            child += 1
        if not _worse(heap_cos[child], heap_id[child], cos, index):
            break
        heap_cos[j] = heap_cos[child]
        heap_id[j] = heap_id[child]
        j = child
    heap_cos[j] = cos
    heap_id[j] = index
    return size


@njit(nogil=True, cache=True)
def scan_block(
    approx,
    rows,
    cols,
    inv_rows,
    inv_cols,
    mirror_first,
    mirror_second,
    mirror_sign,
    row0,
    col0,
    first,
    last,
    floor,
    margin,
    heap_cos,
    heap_id,
    fill,
):
    """Offer a block of approximate dot products to the heaps of rows `first..last - 1`.

    Args:
        approx: float32 [r, c], `best_dot` of rows and cols in float32, wrong by at most `margin` once scaled.
        rows, cols: float32 [r, d], [c, d]; inv_rows, inv_cols: float64 reciprocal norms.
        mirror_first, mirror_second, mirror_sign: see `best_dot`.
        row0, col0: global index of the first row and column; a row never meets itself.
            Zero vectors (reciprocal norm 0) meet nobody.
        floor: smallest float32 cosine kept.
        heap_cos, heap_id, fill: float32 [r, k], int64 [r, k], int64 [r], changed in place.
    """
    k = heap_cos.shape[1]
    for r in range(first, last):
        low = np.float64(floor)
        if fill[r] == k:
            low = max(low, np.float64(heap_cos[r, 0]))
        cut = np.float32((low - margin) / inv_rows[r]) if inv_rows[r] > 0 else np.float32(np.inf)
        for c in range(approx.shape[1]):
            if approx[r, c] * np.float32(inv_cols[c]) < cut or row0 + r == col0 + c:
                continue
            if inv_cols[c] == 0.0:
                continue
            found = best_dot(rows[r], cols[c], mirror_first, mirror_second, mirror_sign)
            cos = np.float32(found * (inv_rows[r] * inv_cols[c]))
            if cos < floor:
                continue
            fill[r] = _push(heap_cos[r], heap_id[r], fill[r], cos, col0 + c)
            if fill[r] == k and np.float64(heap_cos[r, 0]) > low:
                low = np.float64(heap_cos[r, 0])
                cut = np.float32((low - margin) / inv_rows[r])
