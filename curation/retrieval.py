"""Nearest samples to a query vector: exact, streaming over shards."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .neighbors.vectors import inverse_norms, row_dots, stack


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
    q_inverse = inverse_norms(q)[0]
    best_ids: np.ndarray | None = None
    best = np.zeros(0, np.float32)
    for ids, vectors in blocks:
        vectors = stack(vectors)
        if vectors.shape[1] != q.shape[1]:
            raise ValueError(
                f"vectors of {vectors.shape[1]} dimensions, query of {q.shape[1]}: "
                "embed the query with the encoder the dataset was embedded with"
            )
        rows = np.ascontiguousarray(vectors, np.float32)
        found = row_dots(rows, np.broadcast_to(q[0], rows.shape)) * (inverse_norms(vectors) * q_inverse)
        merged = np.concatenate([best, found.astype(np.float32)])
        merged_ids = ids if best_ids is None else np.concatenate([best_ids, ids])
        order = np.lexsort((merged_ids, -merged))[:k]
        best_ids, best = merged_ids[order], merged[order]
    return (np.zeros(0, "S16") if best_ids is None else best_ids), best
