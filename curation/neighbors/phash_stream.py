"""pHash candidates that a few new rows are part of: one pass over all hashes, without sorting them.

Hashes near enough agree in one of radius + 1 chunks of bits; the few are found by the hash of a chunk.
"""

from __future__ import annotations

import numpy as np

from ..embedding.symmetry import INVERSE

#: Rows of one value, or met by one, beyond which pairs are a star about one row instead of all with all.
MAX_CLIQUE = 256


def near_fresh(
    hashes: np.ndarray, rows: np.ndarray, fresh: np.ndarray, masks: np.ndarray, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (a, b) of `rows` within `radius` bits, one of them at least `fresh`; any order, maybe repeated.

    Args:
        hashes: uint64 [n]; rows: int64 positions; fresh: bool [n].
        masks: uint64 [radius + 1], bits of each chunk.
    """
    new = rows[fresh[rows]]
    i, j, _ = _met(hashes[new], hashes[rows], masks, radius)
    _, first, inverse = np.unique(hashes[new], return_index=True, return_inverse=True)
    # the rows of a common value met nobody but through its first, which they hang on
    return np.concatenate([new[i], new]), np.concatenate([rows[j], new[first[inverse]]])


def turned_fresh(
    phashes: np.ndarray, rows: np.ndarray, fresh: np.ndarray, masks: np.ndarray, radius: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """(a, b, op, bits) as `phash.oriented_candidates` for operations 1..7, a <= b, one at least `fresh`; maybe repeated."""
    new = rows[fresh[rows]]
    found = []
    for upright, turned, turned_are_few in ((new, rows, False), (rows, new, True)):
        entries = np.ascontiguousarray(phashes[turned, 1:]).ravel()
        values = phashes[upright, 0]
        if turned_are_few:
            entry, at, bits = _met(entries, values, masks, radius)
        else:
            at, entry, bits = _met(values, entries, masks, radius)
        i, j, op = upright[at], turned[entry // 7], (entry % 7 + 1).astype(np.int8)
        swap = i > j
        found.append(
            (
                np.where(swap, j, i),
                np.where(swap, i, j),
                np.where(swap, INVERSE[op], op).astype(np.int8),
                bits,
            )
        )
    return found


def _met(
    few: np.ndarray, many: np.ndarray, masks: np.ndarray, radius: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions in `few` and `many` of values within `radius` bits, and the bits int8."""
    from .phash_join import bucket_of, hamming_stream

    values, inverse, counts = np.unique(few, return_inverse=True, return_counts=True)
    by_value = np.argsort(inverse, kind="stable")
    starts = np.concatenate(([0], np.cumsum(counts)))
    orders, bounds = [], []
    for mask in masks:
        buckets = np.empty(len(values), np.int64)
        bucket_of(values, mask, buckets)
        orders.append(np.argsort(buckets, kind="stable"))
        bounds.append(np.concatenate(([0], np.cumsum(np.bincount(buckets, minlength=1 << 16)))))
    u, j, bits = hamming_stream(
        values, np.stack(orders), np.stack(bounds), np.ascontiguousarray(many), masks, radius
    )
    # all with all, except about values that are very common
    whole = (counts <= MAX_CLIQUE) & (np.bincount(u, minlength=len(values)) <= MAX_CLIQUE)
    each = np.where(whole, counts, 1)[u]
    ends = np.cumsum(each)
    place = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - each, each)
    i = by_value[np.repeat(starts[:-1][u], each) + place]
    return i, np.repeat(j, each), np.repeat(bits, each)
