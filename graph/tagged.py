"""Samples and their tags as arrays, and sums over them in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .raking_kernels import any_of, count

#: Pieces that sums are made of, whatever the number of threads: floating-point sums depend on it.
PIECES = 8


@dataclass(frozen=True)
class Tagged:
    """Samples and their tags, as CSR.

    Attributes:
        indptr: int64 [n + 1].
        indices: int32 [nnz], concepts 0..m-1, unique within a sample.
        score: float32 [n] >= 0, the s_i. Samples of score 0 are never kept, and supply nothing.
        m: number of concepts.
    """

    indptr: np.ndarray
    indices: np.ndarray
    score: np.ndarray
    m: int

    def __post_init__(self) -> None:
        n = len(self.indptr) - 1
        if n < 0 or self.indptr[0] != 0 or self.indptr[-1] != len(self.indices):
            raise ValueError("indptr must start at 0 and end at the number of indices")
        if len(self.indices) and not 0 <= self.indices.min() <= self.indices.max() < self.m:
            raise ValueError(f"tags must lie in 0..{self.m - 1}")
        if len(self.score) != n or (n and not (np.isfinite(self.score).all() and self.score.min() >= 0)):
            raise ValueError(f"score must hold one finite number >= 0 for each of the {n} samples")

    @property
    def n(self) -> int:
        return len(self.indptr) - 1

    def supply(self) -> np.ndarray:
        """int64 [m]: samples of positive score that have each concept."""
        rows = np.diff(self.indptr)
        if (self.score > 0).all():
            return np.bincount(self.indices, minlength=self.m)
        return np.bincount(self.indices[np.repeat(self.score > 0, rows)], minlength=self.m)

    def with_any(self, marked: np.ndarray) -> np.ndarray:
        """bool [n]: samples that have any of the marked concepts (bool [m])."""
        return any_of(self.indptr, self.indices, marked)

    def counts(self, probability: np.ndarray) -> np.ndarray:
        """float64 [m]: expected samples of each concept, the K_t of some P (float [n])."""
        out = np.zeros((PIECES, self.m))
        p = np.ascontiguousarray(probability, np.float64)

        def work(piece: int, first: int, last: int) -> None:
            count(self.indptr, self.indices, p, out[piece], first, last)

        in_pieces(self.n, work)
        return out.sum(axis=0)


def in_pieces(n: int, work: Callable[[int, int, int], None]) -> None:
    """Call work(piece, first, last) for `PIECES` ranges of 0..n, on as many threads as there may be."""
    edges = [n * k // PIECES for k in range(PIECES + 1)]
    threads = min(PIECES, _threads())
    if n < 20_000 or threads < 2:
        for k in range(PIECES):
            work(k, edges[k], edges[k + 1])
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(PIECES), edges[:-1], edges[1:]))


def _threads() -> int:
    """Threads that this process may use: what the worker it runs in was given."""
    limit = os.environ.get("NUMBA_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    cpus = len(os.sched_getaffinity(0))
    return max(1, min(cpus, int(limit))) if limit and limit.isdigit() else cpus
