"""Compiled inner loops of the search in cells. Importing this imports numba, so import it inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload

from .kernels import _push, best_dot

#: Columns whose maximum is looked at before each of them is.
_RUN = 32


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "contract", "reassoc"})
def _highest(values):
    high = values[0]
    for j in range(values.shape[0]):
        high = max(high, values[j])
    return high


@njit(nogil=True, cache=True)
def nearest_cells(products, count, out):
    """Positions of the `count` largest of each row of float32 [n, c], largest first, into int32 [n, count].

    Ties go to the lower position.
    """
    n, c = products.shape
    best = np.empty(count, np.float32)
    for i in range(n):
        row = products[i]
        for t in range(count):
            best[t] = -np.inf
            out[i, t] = -1
        for start in range(0, c, _RUN):
            stop = min(start + _RUN, c)
            if out[i, count - 1] >= 0 and _highest(row[start:stop]) <= best[count - 1]:
                continue
            for j in range(start, stop):
                value = row[j]
                if out[i, count - 1] >= 0 and value <= best[count - 1]:
                    continue
                t = count - 1
                while t > 0 and (out[i, t - 1] < 0 or best[t - 1] < value):
                    best[t] = best[t - 1]
                    out[i, t] = out[i, t - 1]
                    t -= 1
                best[t] = value
                out[i, t] = j


def _widen(row, out):
    """One stored vector as float32: bits of float16 as uint16, or float32 as it is."""


@overload(_widen)
def _widen_of(row, out):
    if row.dtype == types.uint16:

        def half(row, out):
            # Exponent and mantissa moved into place are the number times 2^-112, subnormals included.
            bits = out.view(np.uint32)
            for t in range(row.shape[0]):
                h = np.uint32(row[t])
                bits[t] = ((h & np.uint32(0x7FFF)) << np.uint32(13)) | (
                    (h & np.uint32(0x8000)) << np.uint32(16)
                )
            for t in range(row.shape[0]):
                out[t] *= np.float32(2.0**112)

        return half

    def single(row, out):
        for t in range(row.shape[0]):
            out[t] = row[t]

    return single


@njit(nogil=True, cache=True)
def cosines_of_pairs(stored, inverse, a, b, first, second, sign, out):
    """Cosine of rows a[i] and b[i] into float32 [m]; arguments as for `scan_tile`."""
    one = np.empty(stored.shape[1], np.float32)
    other = np.empty(stored.shape[1], np.float32)
    last = np.int64(-1)
    for i in range(a.shape[0]):
        if a[i] != last:
            _widen(stored[a[i]], one)
            last = a[i]
        _widen(stored[b[i]], other)
        out[i] = np.float32(best_dot(one, other, first, second, sign) * (inverse[a[i]] * inverse[b[i]]))


@njit(nogil=True, cache=True)
def scan_tile(
    bounds,
    query_rows,
    column_rows,
    stored,
    inverse,
    column_stored,
    column_inverse,
    apart,
    first,
    second,
    sign,
    floor,
    margin,
    saturation,
    heap_cos,
    heap_id,
    fill,
    closed,
):
    """Offer a tile of upper bounds to the neighbor lists of its rows.

    Args:
        bounds: float32 [q, c], at least the cosine less `margin`.
        query_rows, column_rows: int64 [q], [c], row numbers.
        stored: uint16 (bits of float16) or float32 [n, d], vectors of the queries; inverse: float64 [n], reciprocal
            norms, 0 for a zero vector, which meets nobody. column_stored, column_inverse: of the columns.
        apart: whether those are other rows than the queries'; if not, a row never meets itself.
        first, second, sign: see `kernels.best_dot`.
        floor: smallest cosine kept, float32.
        saturation: a list full of cosines at least this large is closed.
        heap_cos, heap_id, fill: float32 [q, k], int64 [q, k], int64 [q], changed in place.
        closed: bool [q], changed in place.

    Returns:
        Cosines computed.
    """
    k = heap_cos.shape[1]
    query = np.empty(stored.shape[1], np.float32)
    column = np.empty(stored.shape[1], np.float32)
    scored = 0
    for i in range(bounds.shape[0]):
        if closed[i] or inverse[query_rows[i]] == 0.0:
            continue
        row = bounds[i]
        low = floor
        if fill[i] == k and heap_cos[i, 0] > low:
            low = heap_cos[i, 0]
        cut = low - margin
        loaded = False
        for start in range(0, row.shape[0], _RUN):
            stop = min(start + _RUN, row.shape[0])
            if _highest(row[start:stop]) < cut:
                continue
            for j in range(start, stop):
                at = column_rows[j]
                if row[j] < cut or column_inverse[at] == 0.0 or (not apart and at == query_rows[i]):
                    continue
                if not loaded:
                    _widen(stored[query_rows[i]], query)
                    loaded = True
                _widen(column_stored[at], column)
                scored += 1
                found = best_dot(query, column, first, second, sign)
                cos = np.float32(found * (inverse[query_rows[i]] * column_inverse[at]))
                if cos < floor:
                    continue
                fill[i] = _push(heap_cos[i], heap_id[i], fill[i], cos, at)
                if fill[i] == k:
                    if heap_cos[i, 0] >= saturation:
                        closed[i] = True
                        break
                    if heap_cos[i, 0] > low:
                        low = heap_cos[i, 0]
                        cut = low - margin
            if closed[i]:
                break
    return scored


@njit(nogil=True, cache=True)
def sort_by_cell(cells, taken, count):
    """Counting sort of int32 [n, p] cell numbers: rows by cell, ascending within one; only rows with `taken` bool [n].

    Returns:
        int64 [m] rows, int64 [count + 1] first place of each cell.
    """
    n, p = cells.shape
    starts = np.zeros(count + 1, np.int64)
    for i in range(n):
        if taken[i]:
            for t in range(p):
                starts[cells[i, t] + 1] += 1
    for c in range(count):
        starts[c + 1] += starts[c]
    place = starts[:-1].copy()
    rows = np.empty(starts[count], np.int64)
    for i in range(n):
        if taken[i]:
            for t in range(p):
                c = cells[i, t]
                rows[place[c]] = i
                place[c] += 1
    return rows, starts


@njit(nogil=True, cache=True)
def settle_communities(stored, inverse, first, second, sign, members, starts, threshold, keeper, sim):
    """Keepers of communities, see `grouping.keepers_of`.

    Args:
        stored, inverse, first, second, sign: as for `scan_tile`.
        members: int64 [sum m], rows by community, best kept first; starts: int64 [c + 1].
        keeper, sim: int64 [n], float32 [n], changed in place.
    """
    kept = np.empty(stored.shape[1], np.float32)
    other = np.empty(stored.shape[1], np.float32)
    for c in range(starts.shape[0] - 1):
        a, b = starts[c], starts[c + 1]
        open_ = np.ones(b - a, np.bool_)
        for i in range(a, b):
            if not open_[i - a]:
                continue
            row = members[i]
            keeper[row] = row
            sim[row] = 1.0
            open_[i - a] = False
            _widen(stored[row], kept)
            for j in range(i + 1, b):
                if not open_[j - a]:
                    continue
                at = members[j]
                _widen(stored[at], other)
                found = best_dot(kept, other, first, second, sign)
                cos = np.float32(found * (inverse[row] * inverse[at]))
                if np.float64(cos) >= threshold:
                    keeper[at] = row
                    sim[at] = cos
                    open_[j - a] = False
