"""Compiled loop of `phash.oriented_candidates`. Importing this imports numba, so import it inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def hamming_join(left, left_order, right, right_order, masks, chunk, radius, out_l, out_r, out_bits, start):
    """Pairs of a left and a right value within `radius` bits whose chunk `chunk` agrees, not found by an earlier one.

    Args:
        left, right: uint64, distinct within each.
        left_order, right_order: int64, positions sorted by the value's bits in masks[chunk].
        masks: uint64 [chunks], bits of each chunk.
        out_l, out_r: int64 buffers; out_bits: int8; pairs beyond their length are only counted.
        start: pairs written so far.

    Returns:
        Pairs so far.
    """
    mask = masks[chunk]
    count, i, j = start, 0, 0
    while i < left.shape[0] and j < right.shape[0]:
        key, other = left[left_order[i]] & mask, right[right_order[j]] & mask
        if key < other:
            i += 1
            continue
        if other < key:
            j += 1
            continue
        i_end, j_end = i, j
        while i_end < left.shape[0] and left[left_order[i_end]] & mask == key:
            i_end += 1
        while j_end < right.shape[0] and right[right_order[j_end]] & mask == key:
            j_end += 1
        for x in range(i, i_end):
            for y in range(j, j_end):
                diff = left[left_order[x]] ^ right[right_order[y]]
                bits = 0
                rest = diff
                while rest != np.uint64(0) and bits <= radius:
                    rest &= rest - np.uint64(1)
                    bits += 1
                if bits > radius:
                    continue
                seen = False
                for earlier in range(chunk):
                    if diff & masks[earlier] == np.uint64(0):
                        seen = True
                        break
                if seen:
                    continue
                if count < out_l.shape[0]:
                    out_l[count] = left_order[x]
                    out_r[count] = right_order[y]
                    out_bits[count] = bits
                count += 1
        i, j = i_end, j_end
    return count
