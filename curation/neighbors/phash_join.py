"""Compiled loops of `phash`. Importing this imports numba, so import it inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def _bits_apart(one, other, masks, chunk, radius):
    """Bits two values differ in; -1 beyond `radius`, or where an earlier chunk than `chunk` agrees."""
    diff = one ^ other
    bits, rest = 0, diff
    while rest != np.uint64(0) and bits <= radius:
        rest &= rest - np.uint64(1)
        bits += 1
    if bits > radius:
        return -1
    for earlier in range(chunk):
        if diff & masks[earlier] == np.uint64(0):
            return -1
    return bits


@njit(nogil=True, cache=True)
def hamming_pairs(values, order, masks, chunk, radius, out_a, out_b, start):
    """Pairs within `radius` bits among values whose chunk `chunk` agrees, not already found by an earlier one.

    Args:
        values: uint64 [n], distinct.
        order: int64 [n], positions sorted by the value's bits in masks[chunk].
        masks: uint64 [chunks], bits of each chunk.
        out_a, out_b: int64 buffers; only counted beyond their length.
        start: pairs written so far.

    Returns:
        Pairs so far.
    """
    mask, count, i = masks[chunk], start, 0
    while i < order.shape[0]:
        j = i + 1
        while j < order.shape[0] and values[order[j]] & mask == values[order[i]] & mask:
            j += 1
        for x in range(i, j):
            for y in range(x + 1, j):
                if _bits_apart(values[order[x]], values[order[y]], masks, chunk, radius) < 0:
                    continue
                if count < out_a.shape[0]:
                    out_a[count] = min(order[x], order[y])
                    out_b[count] = max(order[x], order[y])
                count += 1
        i = j
    return count


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
                bits = _bits_apart(left[left_order[x]], right[right_order[y]], masks, chunk, radius)
                if bits < 0:
                    continue
                if count < out_l.shape[0]:
                    out_l[count] = left_order[x]
                    out_r[count] = right_order[y]
                    out_bits[count] = bits
                count += 1
        i, j = i_end, j_end
    return count


@njit(nogil=True, cache=True)
def _bucket(value, mask):
    return np.int64(((value & mask) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(48))


@njit(nogil=True, cache=True)
def bucket_of(values, mask, out):
    """One of 65,536 buckets of the masked bits of each uint64 value, into int64 [n]."""
    for i in range(values.shape[0]):
        out[i] = _bucket(values[i], mask)


@njit(nogil=True, cache=True)
def hamming_stream(values, orders, bounds, many, masks, radius):
    """Pairs within `radius` bits of some distinct values and many.

    Args:
        values: uint64 [m]; orders: int64 [chunks, m], positions by the bucket of each chunk; bounds: int64 [chunks, 65537],
            where each bucket begins.
        many: uint64 [n]; masks: uint64 [chunks], bits of each chunk.

    Returns:
        int64 positions in `values`, int64 positions in `many`, int8 bits.
    """
    out_u, out_j, out_bits = np.empty(1024, np.int64), np.empty(1024, np.int64), np.empty(1024, np.int8)
    count = 0
    for j in range(many.shape[0]):
        for chunk in range(masks.shape[0]):
            bucket = _bucket(many[j], masks[chunk])
            for place in range(bounds[chunk, bucket], bounds[chunk, bucket + 1]):
                u = orders[chunk, place]
                if (values[u] ^ many[j]) & masks[chunk] != np.uint64(0):
                    continue
                bits = _bits_apart(values[u], many[j], masks, chunk, radius)
                if bits < 0:
                    continue
                if count == out_u.shape[0]:
                    out_u = np.concatenate((out_u, np.empty_like(out_u)))
                    out_j = np.concatenate((out_j, np.empty_like(out_j)))
                    out_bits = np.concatenate((out_bits, np.empty_like(out_bits)))
                out_u[count], out_j[count], out_bits[count] = u, j, bits
                count += 1
    return out_u[:count], out_j[:count], out_bits[:count]
