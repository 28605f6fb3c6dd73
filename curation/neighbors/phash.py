"""Pairs of perceptual hashes within a few bits. They are candidates: a color-aware cosine decides.

A pHash sees no color and little of smooth pictures, so two color variants of one product photo
may share it exactly.
"""

from __future__ import annotations

import numpy as np

from ..embedding.symmetry import INVERSE
from .phash_stream import MAX_CLIQUE, near_fresh, turned_fresh


def hamming_candidates(
    hashes: np.ndarray, rows: np.ndarray | None = None, radius: int = 4, fresh: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of rows whose 64-bit hashes differ in at most `radius` bits.

    By the pigeonhole principle two such hashes agree in one of radius + 1 chunks, so only rows
    sharing a chunk are compared. Exact; among more than MAX_CLIQUE rows of equal hash, and between
    two values where one is that common, pairs are thinned to a connected chain.

    Args:
        hashes: uint64 [n].
        rows: positions to consider (e.g. not null, not flat); all by default.
        radius: 0..15 bits.
        fresh: bool [n]; only pairs one of which at least is.

    Returns:
        a, b: int64 [m] positions, a < b, sorted, no pair twice.
    """
    if not 0 <= radius <= 15:
        raise ValueError(f"pHash radius must be 0..15 bits, got {radius}")
    rows = np.arange(len(hashes)) if rows is None else np.sort(np.asarray(rows, np.int64))
    if fresh is not None:
        return _sorted_pairs(*near_fresh(hashes, rows, fresh, _chunk_masks(radius), radius))
    values, inverse, counts = np.unique(hashes[rows], return_inverse=True, return_counts=True)
    starts = np.concatenate(([0], np.cumsum(counts)))
    by_value = rows[np.argsort(inverse, kind="stable")]
    found = [_within(by_value[starts[v] : starts[v + 1]]) for v in np.flatnonzero(counts > 1)]
    for u, v in zip(*_near_values(values, radius), strict=True):
        left, right = by_value[starts[u] : starts[u + 1]], by_value[starts[v] : starts[v + 1]]
        if max(len(left), len(right)) > MAX_CLIQUE:
            left, right = left[:1], right[:1]  # the rest hang on their own chains
        found.append((np.repeat(left, len(right)), np.tile(right, len(left))))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return _sorted_pairs(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _sorted_pairs(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smaller and the larger of each pair, sorted; no pair twice, nobody with itself."""
    a, b = np.minimum(x, y), np.maximum(x, y)
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    new = a != b
    new[1:] &= (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    return a[new], b[new]


def oriented_candidates(
    phashes: np.ndarray, rows: np.ndarray | None = None, radius: int = 4, fresh: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of which one, turned or mirrored, has a pHash within `radius` bits of the other's.

    Operation k is what Exif orientation k + 1 asks for (`symmetry.Symmetries`); hashes are compared both ways
    round, since rounding may part the hash of a turned from that of the other turned back. Exact; values of
    more than MAX_CLIQUE rows are thinned as in `hamming_candidates`, so that the pairs stay linear in the rows.

    Args:
        phashes: uint64 [n, 8], of the 8 orientations; column 0 is the picture as displayed.
        rows: positions to consider (e.g. not null, not flat); all by default.
        radius: 0..15 bits.
        fresh: bool [n]; only pairs one of which at least is.

    Returns:
        a, b: int64 [m] positions, a < b, sorted, no pair twice; op: int8 [m], the operation on b that brings it
        nearest to a, the smallest of equals: 0 for copies that face the same way.

    Raises:
        ValueError: radius out of range, or not 8 hashes a row.
    """
    if phashes.ndim != 2 or phashes.shape[1] != 8:
        raise ValueError(f"need the pHashes of 8 orientations, [n, 8], got {phashes.shape}")
    rows = np.arange(len(phashes)) if rows is None else np.sort(np.asarray(rows, np.int64))
    upright = np.ascontiguousarray(phashes[:, 0])
    a, b = hamming_candidates(upright, rows, radius, fresh)
    if fresh is None:
        turned = _turned_pairs(phashes, rows, radius)
    else:
        turned = turned_fresh(phashes, rows, fresh, _chunk_masks(radius), radius)
    bits = np.bitwise_count(upright[a] ^ upright[b]).astype(np.int8)
    parts = [(a, b, np.zeros(len(a), np.int8), bits), *turned]
    a, b, op, bits = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((op, bits, b, a))
    a, b, op = a[order], b[order], op[order]
    first = a != b
    first[1:] &= (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    return a[first], b[first], op[first]


def _turned_pairs(
    phashes: np.ndarray, rows: np.ndarray, radius: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """(a, b, op, bits) for operations 1..7, a <= b, pairs possibly repeated."""
    left, left_rows, left_starts = _by_value(phashes[rows, 0], rows)
    turned = np.ascontiguousarray(phashes[rows, 1:]).ravel()
    right, entries, right_starts = _by_value(turned, np.arange(len(turned)))
    found = []
    for u, v, bits in zip(*_joined_values(left, right, radius), strict=True):
        i = left_rows[left_starts[u] : left_starts[u + 1]]
        entry = entries[right_starts[v] : right_starts[v + 1]]
        if max(len(i), len(entry)) > MAX_CLIQUE:  # a star: linear, and what it joins stays joined
            i, entry = (
                np.concatenate((np.full(len(entry), i[0]), i[1:])),
                np.concatenate((entry, np.full(len(i) - 1, entry[0]))),
            )
        else:
            i, entry = np.repeat(i, len(entry)), np.tile(entry, len(i))
        j, op = rows[entry // 7], (entry % 7 + 1).astype(np.int8)
        swap = i > j
        found.append(
            (np.where(swap, j, i), np.where(swap, i, j), np.where(swap, INVERSE[op], op),
             np.full(len(i), bits, np.int8))
        )  # fmt: skip
    return found


def _by_value(values: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct values, the items sorted by value, and where each value's items begin."""
    distinct, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return distinct, items[np.argsort(inverse, kind="stable")], np.concatenate(([0], np.cumsum(counts)))


def _joined_values(
    left: np.ndarray, right: np.ndarray, radius: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions in `left` and `right`, and the bits they differ in, at distance 0..radius."""
    from .phash_join import hamming_join

    masks = _chunk_masks(radius)
    orders = [(np.argsort(left & m), np.argsort(right & m)) for m in masks]
    at_left, at_right, bits = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int8)
    # once to count, once to write
    for _ in range(2):
        count = 0
        for chunk, (left_order, right_order) in enumerate(orders):
            count = hamming_join(
                left, left_order, right, right_order, masks, chunk, radius, at_left, at_right, bits, count
            )
        if not len(at_left):
            at_left, at_right = np.zeros(count, np.int64), np.zeros(count, np.int64)
            bits = np.zeros(count, np.int8)
    return at_left, at_right, bits


def _within(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(members) > MAX_CLIQUE:
        return members[:-1], members[1:]
    i, j = np.triu_indices(len(members), 1)
    return members[i], members[j]


def _near_values(values: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of positions in distinct `values` at distance 1..radius."""
    from .phash_join import hamming_pairs

    if radius == 0 or len(values) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    masks = _chunk_masks(radius)
    orders = [np.argsort(values & m) for m in masks]
    out_a = out_b = np.zeros(0, np.int64)
    # once to count, once to write
    for _ in range(2):
        count = 0
        for chunk, order in enumerate(orders):
            count = hamming_pairs(values, order, masks, chunk, radius, out_a, out_b, count)
        if not len(out_a):
            out_a, out_b = np.zeros(count, np.int64), np.zeros(count, np.int64)
    return out_a, out_b


def _chunk_masks(radius: int) -> np.ndarray:
    """uint64 [radius + 1]: the 64 bits cut into that many chunks."""
    edges = np.linspace(0, 64, radius + 2).astype(int)
    return np.array(
        [((1 << int(hi)) - 1) ^ ((1 << int(lo)) - 1) for lo, hi in zip(edges[:-1], edges[1:], strict=True)],
        np.uint64,
    )
