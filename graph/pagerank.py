"""PageRank by power iteration on CSR arrays.

    x <- (1 - d)/N + d * (A^T (x / outdegree) + dangling(x)/N),      d = 0.85

over N nodes, dangling(x) the mass of nodes without links; x sums to 1 (Page, Brin, Motwani, Winograd, "The PageRank
Citation Ranking", 1999). Iterated until the L1 change of a step is below `tolerance`.

The change of a step follows the same linear map as x without the constant term, so after the first steps it is the
changes that are iterated and added up: the sequence of x is the same, but small changes can be gathered in single
precision (relative error 6e-8 of at most `_SINGLE_BELOW`; half the memory, which is what limits the speed). A full
step in double precision then measures the change that is reported; were it too large, it all goes on from there.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from . import csr
from .errors import GraphError

DAMPING, TOLERANCE, MAX_ITERATIONS = 0.85, 1e-9, 1000
_SINGLE_BELOW = 1e-3
#: Rows are cut into this many blocks of equal edges, whatever the number of threads: sums do not depend on it.
_BLOCKS = 64


@dataclass(frozen=True)
class PageRank:
    """`scores`: float64 [n], sum 1. `iterations`: steps taken. `change`: L1 change of the last one."""

    scores: np.ndarray
    iterations: int
    change: float


def pagerank(
    indptr: np.ndarray,
    indices: np.ndarray,
    members: np.ndarray | None = None,
    damping: float = DAMPING,
    tolerance: float = TOLERANCE,
    threads: int | None = None,
) -> PageRank:
    """PageRank of the nodes of a CSR graph by source.

    Args:
        members: bool [n], nodes that take part; others must have no edges and score 0. Default: all.
        damping: 0..1, exclusive. tolerance: > 0, of the L1 change.

    Raises:
        GraphError: no convergence within `MAX_ITERATIONS`, or a parameter out of range.
    """
    if not 0 < damping < 1 or not tolerance > 0:
        raise GraphError(f"PageRank needs 0 < damping < 1 and tolerance > 0, got {damping}, {tolerance}")
    n = len(indptr) - 1
    member = np.ones(n, np.bool_) if members is None else np.ascontiguousarray(members, np.bool_)
    active = int(member.sum())
    if active == 0:
        return PageRank(np.zeros(n), 0, 0.0)
    degree = np.diff(indptr)
    share = np.divide(1.0, degree, out=np.zeros(n), where=degree > 0)
    by_target = csr.transpose(indptr, indices)
    with ThreadPoolExecutor(threads or len(os.sched_getaffinity(0))) as pool:
        return _iterate(pool, by_target, share, member, active, damping, tolerance)


def _iterate(pool, by_target, share, member, active, damping, tolerance) -> PageRank:
    from .pagerank_kernels import change_step, full_step

    indptr, indices = by_target
    n = len(share)
    cuts = np.searchsorted(indptr + np.arange(n + 1), np.linspace(0, indptr[-1] + n, _BLOCKS + 1))
    spans = [(int(a), int(b)) for a, b in zip(cuts[:-1], cuts[1:], strict=True) if a < b]
    dangling = member & (share == 0)

    def full(x: np.ndarray) -> tuple[np.ndarray, float]:
        new, flow = np.empty(n), x * share
        base = (1 - damping + damping * float(x[dangling].sum())) / active
        parts = pool.map(
            lambda s: full_step(indptr, indices, flow, s[0], s[1], damping, base, member, x, new), spans
        )
        return new, sum(parts)

    x = member / active
    iterations = 0
    while iterations < MAX_ITERATIONS:
        new, change = full(x)
        iterations += 1
        if change < tolerance:
            return PageRank(new / new.sum(), iterations, change)
        delta, x = new - x, new
        loose = float(delta[dangling].sum())
        flow = delta * share
        del delta
        spare = np.empty_like(flow)
        # `change` is that of the step before, so this stops one step short of the tolerance: the full step above is it.
        while change >= tolerance and iterations < MAX_ITERATIONS:
            if change < _SINGLE_BELOW and flow.dtype == np.float64:
                flow, spare = flow.astype(np.float32), np.empty(n, np.float32)
            base = damping * loose / active
            parts = list(
                pool.map(
                    lambda s, f=flow, w=spare, b=base, x=x: change_step(
                        indptr, indices, f, s[0], s[1], damping, b, member, share, x, w
                    ),
                    spans,
                )
            )
            change = sum(p[0] for p in parts)
            loose = sum(p[1] for p in parts)
            flow, spare = spare, flow
            iterations += 1
    raise GraphError(f"PageRank did not settle within {MAX_ITERATIONS} steps; raise the tolerance")
