"""Compiled hash table from (namespace, title) to row. Importing this imports numba, so import it inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit

_A, _B = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
_S29, _S32 = np.uint64(29), np.uint64(32)


@njit(nogil=True, cache=True)
def hash_title(namespace, data, first, last):
    """64 bits of a namespace and the bytes data[first:last]."""
    h = (np.uint64(namespace) + _A) * _B
    word, filled = np.uint64(0), 0
    for i in range(first, last):
        word = (word << np.uint64(8)) | np.uint64(data[i])
        filled += 1
        if filled == 8:
            h = (h ^ word) * _B
            h ^= h >> _S32
            word, filled = np.uint64(0), 0
    h = (h ^ word ^ (np.uint64(last - first) << np.uint64(56))) * _A
    h ^= h >> _S29
    h *= _B
    return h ^ (h >> _S32)


@njit(nogil=True, cache=True)
def same(data, first, last, other, other_first, other_last):
    if last - first != other_last - other_first:
        return False
    for i in range(last - first):  # noqa: SIM110 - a generator does not compile
        if data[first + i] != other[other_first + i]:
            return False
    return True


@njit(nogil=True, cache=True)
def fill(table, namespaces, offsets, data):
    """Enter all rows into `table` (int32, power of two long, -1 = free); the first row that repeats another, or -1."""
    mask = np.uint64(table.shape[0] - 1)
    for row in range(namespaces.shape[0]):
        at = hash_title(namespaces[row], data, offsets[row], offsets[row + 1]) & mask
        while table[at] >= 0:
            there = table[at]
            if namespaces[there] == namespaces[row] and same(
                data, offsets[row], offsets[row + 1], data, offsets[there], offsets[there + 1]
            ):
                return row
            at = (at + np.uint64(1)) & mask
        table[at] = row
    return -1


@njit(nogil=True, cache=True)
def look_up(table, namespaces, offsets, data, wanted_ns, wanted_offsets, wanted_data, out):
    """Rows of (namespace, title) pairs, -1 where there is none; titles are compared, not only hashes."""
    mask = np.uint64(table.shape[0] - 1)
    for i in range(wanted_ns.shape[0]):
        first, last = wanted_offsets[i], wanted_offsets[i + 1]
        at = hash_title(wanted_ns[i], wanted_data, first, last) & mask
        out[i] = -1
        while table[at] >= 0:
            row = table[at]
            if namespaces[row] == wanted_ns[i] and same(
                wanted_data, first, last, data, offsets[row], offsets[row + 1]
            ):
                out[i] = row
                break
            at = (at + np.uint64(1)) & mask


@njit(nogil=True, cache=True)
def follow(following, is_redirect, final, hops):
    """Ends of redirect chains.

    Args:
        following: int32 [rows], where a redirect leads, -1 for nowhere.
        final: int32 out; the row itself for a page that is no redirect, -1 if the chain ends nowhere, -2 in a loop.
        hops: int32 out, redirects on the way.
    """
    rows = following.shape[0]
    for row in range(rows):
        at, steps = row, 0
        slow = row
        while at >= 0 and is_redirect[at]:
            at = following[at]
            steps += 1
            if steps % 2 == 0:
                slow = following[slow]
                if slow == at and at >= 0:
                    at = -2
                    break
        final[row], hops[row] = at, steps
