"""Pairs of perceptual hashes within a few bits. They are candidates: a color-aware cosine decides.

A pHash sees no color and little of smooth pictures, so two color variants of one product photo
may share it exactly.
"""

from __future__ import annotations

import numpy as np

#: Copies of one hash value beyond this are linked to each other in a chain, not all with all.
MAX_CLIQUE = 256


def hamming_candidates(
    hashes: np.ndarray, rows: np.ndarray | None = None, radius: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of rows whose 64-bit hashes differ in at most `radius` bits.

    By the pigeonhole principle two such hashes agree in one of radius + 1 chunks, so only rows
    sharing a chunk are compared. Exact; among more than MAX_CLIQUE rows of equal hash, and between
    two values where one is that common, pairs are thinned to a connected chain.

    Args:
        hashes: uint64 [n].
        rows: positions to consider (e.g. not null, not flat); all by default.
        radius: 0..15 bits.

    Returns:
        a, b: int64 [m] positions, a < b, sorted, no pair twice.
    """
    if not 0 <= radius <= 15:
        raise ValueError(f"pHash radius must be 0..15 bits, got {radius}")
    rows = np.arange(len(hashes)) if rows is None else np.sort(np.asarray(rows, np.int64))
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
    x, y = (np.concatenate(part) for part in zip(*found, strict=True))
    a, b = np.minimum(x, y), np.maximum(x, y)
    order = np.lexsort((b, a))
    return a[order], b[order]


def _within(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(members) > MAX_CLIQUE:
        return members[:-1], members[1:]
    i, j = np.triu_indices(len(members), 1)
    return members[i], members[j]


def _near_values(values: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of positions in distinct `values` at distance 1..radius."""
    from .kernels import hamming_pairs

    if radius == 0 or len(values) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    edges = np.linspace(0, 64, radius + 2).astype(int)
    masks = np.array(
        [((1 << int(hi)) - 1) ^ ((1 << int(lo)) - 1) for lo, hi in zip(edges[:-1], edges[1:], strict=True)],
        np.uint64,
    )
    keys = [values & m for m in masks]
    orders = [np.argsort(key, kind="stable") for key in keys]
    out_a = out_b = np.zeros(0, np.int64)
    # once to count, once to write
    for _ in range(2):
        count = 0
        for chunk, (key, order) in enumerate(zip(keys, orders, strict=True)):
            count = hamming_pairs(values, order, key, masks, chunk, radius, out_a, out_b, count)
        if not len(out_a):
            out_a, out_b = np.zeros(count, np.int64), np.zeros(count, np.int64)
    return out_a, out_b
