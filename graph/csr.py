"""Edges as CSR arrays: built from pairs, turned around, merged.

Two counting sorts order pairs by (source, target) in linear time: by target first, then, stably, by source.
"""

from __future__ import annotations

import numpy as np

from .errors import GraphError


def from_pairs(source: np.ndarray, target: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """CSR of the distinct pairs.

    Args:
        source, target: integer [edges], 0..n-1; repeats are dropped. n: at most 2^31 - 1.

    Returns:
        indptr int64 [n + 1], indices int32 [distinct], ascending within a row.
    """
    from . import csr_kernels as k

    if n > np.iinfo(np.int32).max:
        raise GraphError(f"{n} nodes are more than 32-bit node numbers hold")
    if len(source) and (min(source.min(), target.min()) < 0 or max(source.max(), target.max()) >= n):
        raise GraphError(f"an edge end lies outside the nodes 0..{n - 1}")
    by_target = k.counts_to_pointers(k.count(target, n))
    sources = np.empty(len(source), np.int32)
    k.scatter(target, source, by_target, sources)
    indptr = k.counts_to_pointers(k.count(source, n))
    indices = np.empty(len(source), np.int32)
    k.transpose_rows(by_target, sources, indptr, indices)
    del sources
    indptr, left = k.unique_rows(indptr, indices)
    return indptr, indices[:left]


def transpose(indptr: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same edges by target: (indptr int64 [n + 1], indices int32), ascending within a row."""
    from . import csr_kernels as k

    n = len(indptr) - 1
    out_indptr = k.counts_to_pointers(k.count(indices, n))
    out = np.empty(len(indices), np.int32)
    k.transpose_rows(indptr, indices, out_indptr, out)
    return out_indptr, out


def pairs(indptr: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(source int32, target int32) of every edge, by source."""
    source = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    return source, np.asarray(indices)
