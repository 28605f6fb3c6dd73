"""Sorting and matching 16-byte digests as pairs of numbers, several times faster than as bytes."""

from __future__ import annotations

import numpy as np


def halves(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint64 [n], uint64 [n] of S16 ids: they compare, the first before the second, as the bytes do."""
    words = np.ascontiguousarray(ids).view(">u8").reshape(-1, 2).astype(np.uint64)
    return np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1])


def order_of(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """int64 [n]: a stable sort of ids given as `halves`."""
    # The fast sort is not stable and sees one half: only where that repeats is there anything left to do.
    order = np.argsort(high)
    found = high[order]
    again = np.flatnonzero(found[1:] == found[:-1])
    if len(again):
        tied = np.zeros(len(order), bool)
        tied[again] = tied[again + 1] = True
        rows = order[tied]
        order[tied] = rows[np.lexsort((rows, low[rows], high[rows]))]
    return order


def repeats(high: np.ndarray, low: np.ndarray, order: np.ndarray) -> np.ndarray:
    """int64: places in a sorted `order` that hold the same id as the place before."""
    found = high[order]
    again = np.flatnonzero(found[1:] == found[:-1])
    return again[low[order[again]] == low[order[again + 1]]] + 1


def rows_of(ids: np.ndarray, sorted_ids: np.ndarray) -> np.ndarray:
    """int64 [m]: the last row of `ids` S16 [n] that holds each of the ascending `sorted_ids` S16 [m]; -1 for none."""
    from .id_kernels import last_matches

    out = np.full(len(sorted_ids), -1)
    high, low = halves(ids)
    last_matches(high, low, order_of(high, low), *halves(sorted_ids), out)
    return out


def marks(ids: np.ndarray, seed: int) -> np.ndarray:
    """uint64 [n]: an even hash of each S16 id; the rows of the smallest marks are a random sample of them."""
    from .id_kernels import mix

    out = np.empty(len(ids), np.uint64)
    mix(*halves(ids), np.uint64(seed), out)
    return out
