"""Keep probabilities that meet the budgets of all concepts at once.

The closed formula is where it starts:

    P0_i = 1 - prod over tags t of i of (1 - p_t * s_it),    p_t = min(1, b_t / N_t)                (1)

    P0_i  probability that sample i is kept, if tags asked for it one by one
    b_t   budget of concept t: how many samples with t are wanted (see `budgets.py`), 0 <= b_t <= N_t
    N_t   supply: samples that have t
    s_it  score of tag t in sample i, 0..1: its BM25 score over the largest that t has in any sample
          (`bm25.py`); times the sample's weight where a plan gives one

Samples have several tags, so (1) keeps far too many: a rare tag brings its common neighbors along. Therefore
every concept gets a multiplier y_t of the odds, and these are solved for (raking):

    P_i / (1 - P_i) = P0_i / (1 - P0_i) * prod over tags t of i of y_t                              (2)
    such that K_t := sum over samples with t of P_i = b_t for every concept t                       (3)

    y_t   > 1 for concepts that (1) gives too few samples, < 1 for over-represented ones
    K_t   expected number of samples with t that are kept

Given low_i <= P_i <= high_i (what smaller and larger budgets keep, see `nesting.py`), (2) holds for the fraction
r_i = (P_i - low_i) / (high_i - low_i) in place of P_i. (3) is the stationary point of a convex function of
lambda_t = log y_t, whose gradient is K - b and whose Hessian is A' D A (A: samples x concepts, 0/1;
D = (high - low) r (1 - r)); P is the unique minimizer of

    sum over i of (high_i - low_i) * KL(r_i || r0_i)   subject to (3) and the bounds,

KL the divergence of two coins: the I-projection of the closed formula on all P that meet the budgets (Csiszar,
"I-divergence geometry", 1975; in survey statistics this is calibration, Deville and Sarndal, 1992). The means of
this family fill the interior of {A' P : low <= P <= high}, so budgets are met whenever anything meets them.

Budgets of overlapping tags can contradict each other: all samples of a rare concept may show a common one whose
budget is smaller. Then the bounds -LAMBDA_DOWN <= lambda_t <= LAMBDA_UP make the solution the one of least
sum of LAMBDA_UP * (what is missing) + LAMBDA_DOWN * (what is too much), an exact penalty. LAMBDA_UP is
much the larger, so rare concepts get their budgets (which can always be had: b <= N, and P = 1 serves
all) and common ones exceed theirs by as little as possible: those are reported as infeasible.

The solver is a projected Newton method: conjugate gradients on the Hessian, never formed, preconditioned by its
diagonal; a step that overshoots is cut by the secant rule. Sums are over a fixed number of pieces in a fixed
order: the same input gives the same bits on any number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np

#: Pieces that sums are made of, whatever the number of threads: floating-point sums depend on it.
PIECES = 8
#: Bounds of lambda: how much it costs to miss a budget from below, and to exceed it, per sample.
LAMBDA_UP, LAMBDA_DOWN = 60.0, 5.0
MAX_STEP = 8.0


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
        return _any(self.indptr, self.indices, marked)

    def counts(self, probability: np.ndarray) -> np.ndarray:
        """float64 [m]: expected samples of each concept, the K_t of some P (float [n])."""
        out = np.zeros((PIECES, self.m))
        p = np.ascontiguousarray(probability, np.float64)

        def work(piece: int, first: int, last: int) -> None:
            _count(self.indptr, self.indices, p, out[piece], first, last)

        in_pieces(self.n, work)
        return out.sum(axis=0)


@dataclass(frozen=True)
class Raked:
    """A solution.

    Attributes:
        lam: float64 [m], the lambda_t.
        probability: float32 [n], the P_i.
        expected: float64 [m], the K_t.
        feasible: bool [m]: not held at a bound of lambda.
        error: largest |K_t - b_t| / max(b_t, 0.5) over feasible concepts.
        passes: how often all tags were read.
    """

    lam: np.ndarray
    probability: np.ndarray
    expected: np.ndarray
    feasible: np.ndarray
    error: float
    passes: int


def rake(
    data: Tagged,
    budget: np.ndarray,
    offset: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    start: np.ndarray | None = None,
    tolerance: float = 0.005,
    max_passes: int = 150,
    down: float = LAMBDA_DOWN,
    frozen: np.ndarray | None = None,
) -> Raked:
    """Solve (3).

    Args:
        budget: float64 [m], 0..supply.
        offset: float32 [n], log odds of r0; -inf for samples that stay at `low`, inf for those at `high`.
        low, high: float32 [n], bounds of P, 0 <= low <= high <= 1.
        start: float64 [m], a guess of lambda; default 0.
        tolerance: relative error at which a budget counts as met.
        down: bound of lambda from below.
        frozen: bool [m], concepts whose lambda stays as it starts.
        max_passes: over all tags, about; what is reached by then is returned, with its error.
    """
    budget = np.asarray(budget, np.float64)
    lam = np.zeros(data.m) if start is None else np.clip(start, -down, LAMBDA_UP)
    scale = np.maximum(budget, 0.5)
    fixed = np.zeros(data.m, bool) if frozen is None else frozen
    p = np.empty(data.n, np.float32)
    bend = np.empty(data.n, np.float32)
    kept, diagonal = _evaluate(data, lam, offset, low, high, p, bend)
    passes = 1
    # far from the solution, dividing by the surplus (iterative scaling) gets ahead faster than Newton steps
    damp = 1 / max(1.0, len(data.indices) / max(1, data.n))
    while passes < 8 and not 0.7 < float(kept.sum()) / max(float(budget.sum()), 1e-9) < 1.4:
        ratio = np.log(np.maximum(budget, 1e-6) / np.maximum(kept, 1e-6))
        ratio[fixed] = 0
        lam = np.clip(lam + damp * np.clip(ratio, -MAX_STEP, MAX_STEP), -down, LAMBDA_UP)
        kept, diagonal = _evaluate(data, lam, offset, low, high, p, bend)
        passes += 1
    caution = 1.0
    while passes < max_passes:
        gradient = kept - budget
        held = fixed | ((lam >= LAMBDA_UP) & (gradient < 0)) | ((lam <= -down) & (gradient > 0))
        wrong = np.abs(gradient) / scale
        if not (~held & (wrong > tolerance)).any():
            break
        # concepts all of whose samples are settled have no curvature: they move by the longest step
        ridge = caution * (1e-4 * diagonal + 1e-5 * scale)
        step, used = _conjugate_gradients(data, bend, -gradient, diagonal, ridge, ~held)
        passes += used
        step = np.clip(step, -MAX_STEP, MAX_STEP)
        if float((gradient * step).sum()) >= 0:
            step = np.where(held, 0.0, np.clip(-gradient / (diagonal + ridge), -1, 1))
        length = 1.0
        for _ in range(8):
            moved = np.clip(lam + length * step, -down, LAMBDA_UP)
            slope = float((gradient * (moved - lam)).sum())
            kept, diagonal = _evaluate(data, moved, offset, low, high, p, bend)
            passes += 1
            ahead = float(((kept - budget) * (moved - lam)).sum())
            # convex: as long as it still falls here (or nearly), nothing was overshot
            if ahead <= 0.3 * abs(slope):
                break
            length *= min(0.7, max(0.1, -slope / (ahead - slope)))
        lam = moved
        # a step that had to be cut short was too bold where the function bends (Levenberg and Marquardt)
        caution = min(1e4, caution * 30) if length < 0.25 else max(1.0, caution / 10)
    gradient = kept - budget
    held = (fixed | (lam >= LAMBDA_UP) | (lam <= -down)) & (np.abs(gradient) > tolerance * scale)
    wrong = np.where(held, 0.0, np.abs(gradient) / scale)
    return Raked(lam, p, kept, ~held, float(wrong.max(initial=0.0)), passes)


def _conjugate_gradients(
    data: Tagged,
    bend: np.ndarray,
    right: np.ndarray,
    diagonal: np.ndarray,
    ridge: np.ndarray,
    free: np.ndarray,
) -> tuple[np.ndarray, int]:
    """(A' D A + ridge) x = right on the free concepts, to a tenth of the residual; (x, passes)."""
    x = np.zeros(len(right))
    r = np.where(free, right, 0.0)
    inverse = np.where(free, 1 / (diagonal + ridge), 0.0)
    z = inverse * r
    p, rz = z, float((r * z).sum())
    goal = 0.01 * rz
    for used in range(1, 13):
        if rz <= max(goal, 1e-300):
            return x, used - 1
        hp = np.where(free, _curve(data, bend, p) + ridge * p, 0.0)
        along = float((p * hp).sum())
        if along <= 0:
            return x, used
        x = x + (rz / along) * p
        r = r - (rz / along) * hp
        z = inverse * r
        before, rz = rz, float((r * z).sum())
        p = z + (rz / before) * p
    return x, used


def _evaluate(
    data: Tagged,
    lam: np.ndarray,
    offset: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    p: np.ndarray,
    bend: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Fill `p` (P) and `bend` (D); per concept, the sums of both."""
    out = np.zeros((PIECES, data.m, 2))

    def work(piece: int, first: int, last: int) -> None:
        _tilt(data.indptr, data.indices, lam, offset, low, high, p, bend, out[piece], first, last)

    in_pieces(data.n, work)
    total = out.sum(axis=0)
    return total[:, 0], total[:, 1]


def _curve(data: Tagged, bend: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A' diag(bend) A x, float64 [m]."""
    out = np.zeros((PIECES, data.m))

    def work(piece: int, first: int, last: int) -> None:
        _curvature(data.indptr, data.indices, bend, x, out[piece], first, last)

    in_pieces(data.n, work)
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


@numba.njit(nogil=True, cache=True)
def _tilt(indptr, indices, lam, offset, low, high, p, bend, out, first, last):
    for i in range(first, last):
        width = high[i] - low[i]
        total = offset[i]
        for k in range(indptr[i], indptr[i + 1]):
            total += lam[indices[k]]
        if offset[i] == np.inf:
            r = 1.0
        elif offset[i] == -np.inf:
            r = 0.0
        else:
            r = 1.0 / (1.0 + np.exp(-max(-80.0, min(80.0, total))))
        value = min(high[i], max(low[i], np.float32(low[i] + width * r)))
        d = width * r * (1 - r)
        p[i] = value
        bend[i] = d
        for k in range(indptr[i], indptr[i + 1]):
            t = indices[k]
            out[t, 0] += value
            out[t, 1] += d


@numba.njit(nogil=True, cache=True)
def _curvature(indptr, indices, bend, x, out, first, last):
    for i in range(first, last):
        d = bend[i]
        if d == 0:
            continue
        total = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            total += x[indices[k]]
        total *= d
        for k in range(indptr[i], indptr[i + 1]):
            out[indices[k]] += total


@numba.njit(nogil=True, cache=True)
def _any(indptr, indices, marked):
    out = np.zeros(len(indptr) - 1, np.bool_)
    for i in range(len(out)):
        for k in range(indptr[i], indptr[i + 1]):
            if marked[indices[k]]:
                out[i] = True
                break
    return out


@numba.njit(nogil=True, cache=True)
def _count(indptr, indices, value, out, first, last):
    for i in range(first, last):
        v = value[i]
        for k in range(indptr[i], indptr[i + 1]):
            out[indices[k]] += v
