"""Exact k nearest neighbors by cosine, in blocks: memory is O(block + n k), never n x n.

A float32 matrix product proposes, a float64 dot product of fixed order decides. So the result is
exact and does not depend on the block sizes, the number of threads or the BLAS.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..embedding.encoder import Mirror
from .mirrored import halves, orbits
from .vectors import inverse_norms, stack, thread_count


@dataclass(frozen=True)
class Edges:
    """Undirected weighted edges: src < dst, no pair twice, sorted by (src, dst).

    Attributes:
        src, dst: int64 [m], row positions.
        cos: float32 [m].
    """

    src: np.ndarray
    dst: np.ndarray
    cos: np.ndarray

    def __len__(self) -> int:
        return len(self.src)

    def above(self, threshold: float) -> Edges:
        """The edges with cos >= threshold."""
        keep = self.cos.astype(np.float64) >= threshold
        return Edges(self.src[keep], self.dst[keep], self.cos[keep])


def undirected(a: np.ndarray, b: np.ndarray, cos: np.ndarray) -> Edges:
    """Edges from pairs in either direction; self pairs go, a pair given twice keeps its largest cosine."""
    a, b, cos = np.asarray(a, np.int64), np.asarray(b, np.int64), np.asarray(cos, np.float32)
    src, dst = np.minimum(a, b), np.maximum(a, b)
    apart = src != dst
    if not apart.all():
        src, dst, cos = src[apart], dst[apart], cos[apart]
    if not len(src):
        return Edges(src, dst, cos)
    span = int(dst.max()) + 1
    if span > 3_000_000_000:  # the key below would overflow
        order = np.lexsort((dst, src))
        src, dst, cos = src[order], dst[order], cos[order]
        first = np.concatenate(([True], (src[1:] != src[:-1]) | (dst[1:] != dst[:-1])))
    else:
        key = src * span + dst
        order = np.argsort(key, kind="stable")
        key, cos = key[order], cos[order]
        first = np.concatenate(([True], key[1:] != key[:-1]))
        src, dst = src[order], dst[order]
    largest = np.maximum.reduceat(cos, np.flatnonzero(first))
    return Edges(src[first], dst[first], largest)


def all_of(*parts: Edges) -> Edges:
    """The edges of all parts, each pair once."""
    return undirected(*(np.concatenate([getattr(e, f) for e in parts]) for f in ("src", "dst", "cos")))


def knn_edges(
    vectors: np.ndarray | Iterable[np.ndarray],
    k: int = 100,
    floor: float = 0.0,
    row_block: int = 2_048,
    col_block: int = 4_096,
    mirror: Mirror | None = None,
) -> Edges:
    """The union of every row's k nearest other rows with cos >= floor.

    A row is left out of its own list by its position, so a copy of it never takes that place. Ties
    go to the lower position: give rows in the order of their ids to make ties follow ids.

    Args:
        vectors: float16 or float32 [n, d] array or memory map, or blocks of it. Need not be normalized;
            zero vectors have no edges.
        k: neighbors per row, capped to n - 1.
        floor: smallest cosine of an edge, -1..1.
        mirror: with it, every cosine is the larger of those to the other vector and to its mirror image.

    Raises:
        ValueError: k < 1, or a vector that holds NaN or infinity.
    """
    from .kernels import scan_block

    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    vectors = stack(vectors)
    n, d = vectors.shape
    k = min(k, n - 1)
    if k < 1:
        return undirected(*(np.zeros(0) for _ in range(3)))
    inverse = inverse_norms(vectors)
    # |float32 dot - exact| <= d * 2^-24 * sum|a_i b_i| <= d * 2^-24 for unit vectors (any order of
    # summation); the rest covers scaling, the final rounding, and the coordinates in the mirror's halves.
    margin = (d + 16) * 2.0**-24
    swap = orbits(mirror)
    pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    threads = thread_count()
    even_buffer = np.empty(row_block * col_block, np.float32)
    odd_buffer = np.empty(row_block * col_block if mirror else 0, np.float32)
    with ThreadPoolExecutor(threads) as pool:
        for row0 in range(0, n, row_block):
            rows = np.ascontiguousarray(vectors[row0 : row0 + row_block], np.float32)
            r = len(rows)
            even_rows, odd_rows = halves(rows, mirror)
            heap_cos, heap_id = np.empty((r, k), np.float32), np.empty((r, k), np.int64)
            fill = np.zeros(r, np.int64)
            for col0 in range(0, n, col_block):
                cols = np.ascontiguousarray(vectors[col0 : col0 + col_block], np.float32)
                even_cols, odd_cols = halves(cols, mirror)
                approx = even_buffer[: r * len(cols)].reshape(r, len(cols))
                np.matmul(even_rows, even_cols.T, out=approx)
                if mirror is not None:
                    odd = odd_buffer[: r * len(cols)].reshape(r, len(cols))
                    np.matmul(odd_rows, odd_cols.T, out=odd)
                    np.abs(odd, out=odd)
                    approx += odd
                inv_rows, inv_cols = inverse[row0 : row0 + r], inverse[col0 : col0 + len(cols)]
                bounds = np.linspace(0, r, threads + 1).astype(int)
                jobs = [
                    pool.submit(
                        scan_block, approx, rows, cols, inv_rows, inv_cols, swap.first, swap.second, swap.sign,
                        row0, col0, first, last, np.float32(floor), margin, heap_cos, heap_id, fill,
                    )
                    for first, last in zip(bounds[:-1], bounds[1:], strict=True)
                ]  # fmt: skip
                for job in jobs:
                    job.result()
            valid = np.arange(k) < fill[:, None]
            source = np.repeat(np.arange(row0, row0 + r), fill)
            pairs.append((source, heap_id[valid], heap_cos[valid]))
    return undirected(*(np.concatenate(part) for part in zip(*pairs, strict=True)))
