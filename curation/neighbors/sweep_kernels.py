"""Compiled loops of `sweep`. Importing this imports numba, so import it inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit

from .cell_kernels import _widen
from .kernels import _push, best_dot

#: The coordinates of a code that are looked at first: those of the largest spread.
PREFIX = 32

_SUMS = {"nnan", "nsz", "contract", "reassoc"}


@njit(nogil=True, cache=True, fastmath=_SUMS)
def _dot(a, b):
    total = np.float32(0.0)
    for t in range(a.shape[0]):
        total += a[t] * b[t]
    return total


@njit(nogil=True, cache=True)
def rest_of(start, margin):
    """Length of all other coordinates of a code, at most; of a unit vector, see `projection`.

    Args:
        start: float32, its first coordinates; margin: see `Projection.margin`.
    """
    return np.sqrt(max(np.float32(0.0), np.float32(1.00001) + margin - _dot(start, start)))


@njit(nogil=True, cache=True)
def rests_of(starts, margin, out):
    """`rest_of` of every row of float32 [m, p] into float32 [m]."""
    for i in range(starts.shape[0]):
        out[i] = rest_of(starts[i], margin)


@njit(nogil=True, cache=True, fastmath=_SUMS)
def _candidates(start, rest, cut, few_starts, few_rests, cells, cell_starts, listed, out):
    """The few found in some cells whose bound by the first coordinates reaches `cut`, into int64 `out`; their number."""
    count = 0
    for w in range(cells.shape[0]):
        for place in range(cell_starts[cells[w]], cell_starts[cells[w] + 1]):
            b = np.uint64(listed[place])  # an index that may be negative costs a look more
            total = np.float32(0.0)
            for t in range(few_starts.shape[1]):
                total += start[t] * few_starts[b, t]
            if total + rest * few_rests[b] >= cut:  # Cauchy-Schwarz on the rest
                out[count] = b
                count += 1
    return count


@njit(nogil=True, cache=True)
def _doubled(buffer):
    return np.concatenate((buffer, np.empty_like(buffer)))


@njit(nogil=True, cache=True)
def sweep_rows(
    codes,
    cells,
    stored,
    inverse,
    first,
    last,
    few_rows,
    few_codes,
    few_starts,
    few_rests,
    cell_starts,
    listed,
    theirs,
    swap_first,
    swap_second,
    sign,
    floor,
    margin,
    saturation,
    heap_cos,
    heap_id,
    fill,
):
    """Compare rows `first..last - 1` with the few rows listed in their cells.

    Args:
        codes: float32 [n, r + 1], the way the rows of the sweep face; cells: int32 [n, w], cells each meets others in.
        stored: uint16 (bits of float16) or float32 [n, d]; inverse: float64 [n], 0 for rows that meet nobody.
        few_rows: int64 [m]; few_codes: float32 [m, r + 1], the way they face; few_starts: float32 [m, p], the first of
            these; few_rests: float32 [m], see `rest_of`.
        cell_starts: int64 [cells + 1], listed: int64: which of the few are found in each cell.
        theirs: whether a pair is offered to the list of the few row, or to the sweeping row's own.
        swap_first, swap_second, sign: see `mirrored.Orbits`.
        floor, margin, saturation: see `cell_kernels.scan_tile`.
        heap_cos, heap_id: float32, int64 [m, k] where `theirs`, else [1, k]; fill: int64 [m] or [1]. Changed in place.

    Returns:
        Pairs of the rows' own lists: int64 rows, int64 others, float32 cosines; number of cosines computed.
    """
    k = heap_cos.shape[1]
    out_row, out_other = np.empty(1024, np.int64), np.empty(1024, np.int64)
    out_cos = np.empty(1024, np.float32)
    count, scored = 0, 0
    near, prefix = np.empty(few_rows.shape[0], np.int64), few_starts.shape[1]  # each is found in one cell
    query, column = np.empty(stored.shape[1], np.float32), np.empty(stored.shape[1], np.float32)
    for a in range(first, last):
        if inverse[a] == 0.0:
            continue
        start, loaded = codes[a, :prefix], False
        if not theirs:
            fill[0] = 0
        found = _candidates(
            start,
            rest_of(start, margin),
            floor - margin,
            few_starts,
            few_rests,
            cells[a],
            cell_starts,
            listed,
            near,
        )
        for b in near[:found]:
            at, row, low = b if theirs else 0, few_rows[b], floor
            if fill[at] == k:
                if heap_cos[at, 0] >= saturation:
                    continue
                low = max(floor, heap_cos[at, 0])
            if row == a or inverse[row] == 0.0 or _dot(codes[a], few_codes[b]) < low - margin:
                continue
            if not loaded:
                _widen(stored[a], query)
                loaded = True
            _widen(stored[row], column)
            scored += 1
            product = best_dot(query, column, swap_first, swap_second, sign)
            cos = np.float32(product * (inverse[a] * inverse[row]))
            if cos >= floor:
                fill[at] = _push(heap_cos[at], heap_id[at], fill[at], cos, a if theirs else row)
        if theirs:
            continue
        while count + fill[0] > out_cos.shape[0]:
            out_row, out_other, out_cos = _doubled(out_row), _doubled(out_other), _doubled(out_cos)
        for i in range(fill[0]):
            out_row[count], out_other[count], out_cos[count] = a, heap_id[0, i], heap_cos[0, i]
            count += 1
    return out_row[:count], out_other[:count], out_cos[:count], scored
