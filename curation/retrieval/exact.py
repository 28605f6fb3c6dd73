"""Nearest samples to a query vector: exact. Every other search here ends with these cosines."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..neighbors.vectors import inverse_norms, row_dots, stack, thread_count

#: Rows looked at by one thread at a time.
_STEP = 65_536


def search(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], query: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k vectors of highest cosine with a query, over any number of shards.

    Memory is one block and k results. The result does not depend on how rows are cut into blocks:
    cosines are summed in float64 in one fixed order, ties go to the smaller id.

    Args:
        blocks: (ids [b] of a sortable dtype, e.g. bytes S16; float16 or float32 [b, d]) per shard.
            Vectors need not be normalized; a zero vector has cosine 0.
        query: [d].
        k: results wanted, at least 1.

    Returns:
        ids [min(k, n)] and float32 cosines, best first.

    Raises:
        ValueError: k < 1, another width than the query's, or NaN in a vector or the query.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    q = stack(np.asarray(query, np.float32)[None])
    best_ids: np.ndarray | None = None
    best = np.zeros(0, np.float32)
    for ids, vectors in blocks:
        vectors = stack(vectors)
        if vectors.shape[1] != q.shape[1]:
            raise ValueError(
                f"vectors of {vectors.shape[1]} dimensions, query of {q.shape[1]}: "
                "embed the query with the encoder the dataset was embedded with"
            )
        merged = np.concatenate([best, cosines(vectors, q[0])])
        merged_ids = ids if best_ids is None else np.concatenate([best_ids, ids])
        order = np.lexsort((merged_ids, -merged))[:k]
        best_ids, best = merged_ids[order], merged[order]
    return (np.zeros(0, "S16") if best_ids is None else best_ids), best


def cosines(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """float32 [n]: cosine of every row of float16 or float32 [n, d] with [d].

    Summed in float64 in one fixed order, so equal inputs give equal bits; 0 where either is zero.

    Raises:
        ValueError: NaN or infinity in a vector or the query.
    """
    rows = np.ascontiguousarray(vectors, np.float32)
    q = np.asarray(query, np.float32)
    scale = inverse_norms(rows) * inverse_norms(q[None])[0]
    return (row_dots(rows, np.broadcast_to(q, rows.shape)) * scale).astype(np.float32)


def order_of(cos: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Positions by falling cosine, ties by id. `ids`: uint8 [n, 16]."""
    halves = np.ascontiguousarray(ids).view(">u8")
    return np.lexsort((halves[:, 1], halves[:, 0], -cos))


def scan(
    vectors: np.ndarray,
    inverse: np.ndarray,
    ids: np.ndarray,
    query: np.ndarray,
    k: int,
    rows: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of highest cosine among all rows, or those given: positions and cosines, best first.

    A float32 sum proposes, `cosines` decides: the result is that of `cosines` over every row.

    Args:
        vectors: float16 [n, d], finite; may be a memory map.
        inverse: float32 [n], reciprocal lengths.
        ids: uint8 [n, 16], for ties.
        query: float32 [d], a unit vector.
        rows: int64 positions to look at; None for all.

    Returns:
        int64 [min(k, rows)], float32 of the same length.
    """
    from .kernels import WIDE, half_dots

    rows = np.zeros(0, np.int64) if rows is None else np.ascontiguousarray(rows, np.int64)
    n = len(rows) or len(vectors)
    found = np.empty(n, np.float32)
    bits = vectors.view(np.uint16)
    bounds = range(0, n, _STEP)

    def part(start: int) -> None:
        half_dots(bits, rows, inverse, WIDE, query, start, min(n, start + _STEP), found)

    if len(bounds) == 1:
        part(0)
    else:
        with ThreadPoolExecutor(thread_count()) as pool:
            list(pool.map(part, bounds))
    near = np.arange(n)
    if n > k:
        # Error of a float32 sum of products of unit vectors in any order, and of their scaling.
        margin = np.float32((vectors.shape[1] + 16) * 2.0**-24)
        near = np.flatnonzero(found >= np.partition(found, n - k)[n - k] - 2 * margin)
    at = rows[near] if len(rows) else near
    cos = cosines(vectors[at], query)
    order = order_of(cos, ids[at])[:k]
    return at[order], cos[order]
