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

Which common concepts exceed theirs is left open by that sum, and it may be a few by very much. So a second solve,
`rake_and_spread`, gives concepts that exceed their budgets by more than half a growing cost in place of the bound:

    lambda_t = -LAMBDA_DOWN - S * log(K_t / b_t)    where K_t > b_t                                 (4)

which adds S * (K_t log(K_t / b_t) - K_t + b_t) to the sum above, the divergence of their counts from their budgets;
all other budgets are held by bounds three times as deep.

The solver is a projected Newton method: conjugate gradients on the Hessian, never formed, preconditioned by its
diagonal; a step that overshoots is cut by the secant rule. Sums are over a fixed number of pieces in a fixed
order: the same input gives the same bits on any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .raking_kernels import curvature, open_rows, take_rows, tilt
from .tagged import PIECES, Tagged, in_pieces

#: Bounds of lambda: how much it costs to miss a budget from below, and to exceed it, per sample.
LAMBDA_UP, LAMBDA_DOWN = 60.0, 5.0
#: Concepts that exceed their budgets by this factor have their surplus spread: S of (4), and how much deeper
#: the bound of all others lies then.
SURPLUS, STIFF, DEEP = 1.5, 4.0, 3.0
MAX_STEP, LEAST_PASSES = 8.0, 25


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
    spread: np.ndarray | None = None,
    max_reads: float = np.inf,
) -> Raked:
    """Solve (3), or with `spread` (4).

    Args:
        budget: float64 [m], 0..supply.
        offset: float32 [n], log odds of r0; -inf for samples that stay at `low`, inf for those at `high`.
        low, high: float32 [n], bounds of P, 0 <= low <= high <= 1. Where they are closer than
            `raking_kernels.SETTLED`, P is `low`.
        start: float64 [m], a guess of lambda; default 0.
        tolerance: relative error at which a budget counts as met.
        down: bound of lambda from below; with `spread` that of the other concepts.
        frozen: bool [m], concepts whose lambda stays as it starts.
        spread: bool [m], concepts that will exceed their budgets: their surplus is spread by (4).
        max_passes: over the tags of samples that are not settled, about; what is reached by then is returned,
            with its error. max_reads: tags read, about; at least `LEAST_PASSES` passes are made.
    """
    budget = np.asarray(budget, np.float64)
    part = _Open.of(data, offset, low, high)
    floor = np.full(data.m, -float(down))
    if spread is not None:
        floor[spread] = -DEEP * LAMBDA_UP
    up = LAMBDA_UP if spread is None else DEEP * LAMBDA_UP
    lam = np.zeros(data.m) if start is None else np.clip(start, floor, up)
    scale = np.maximum(budget, 0.5)
    fixed = np.zeros(data.m, bool) if frozen is None else frozen
    limit = min(max_passes, max(LEAST_PASSES, max_reads / max(1, len(part.data.indices))))
    kept, diagonal = part.evaluate(lam)
    passes = 1
    # far from the solution, dividing by the surplus (iterative scaling) gets ahead faster than Newton steps
    damp = 1 / max(1.0, len(data.indices) / max(1, data.n))
    while (
        passes < 8 and not 0.7 < float(kept.sum()) / max(float(budget.sum()), 1e-9) < 1.4 and spread is None
    ):
        ratio = np.log(np.maximum(budget, 1e-6) / np.maximum(kept, 1e-6))
        ratio[fixed] = 0
        lam = np.clip(lam + damp * np.clip(ratio, -MAX_STEP, MAX_STEP), floor, up)
        kept, diagonal = part.evaluate(lam)
        passes += 1
    caution = 1.0
    wanted, give = _relaxed(budget, lam, spread)
    while passes < limit:
        gradient = kept - wanted
        held = fixed | ((lam >= up) & (gradient < 0)) | ((lam <= floor) & (gradient > 0))
        wrong = np.abs(gradient) / np.maximum(wanted, 0.5)
        if not (~held & (wrong > tolerance)).any():
            break
        # concepts all of whose samples are settled have no curvature: they move by the longest step
        ridge = caution * (1e-4 * diagonal + 1e-5 * scale) + give
        step, used = _conjugate_gradients(part, -gradient, diagonal, ridge, ~held)
        passes += used
        step = np.clip(step, -MAX_STEP, MAX_STEP)
        if float((gradient * step).sum()) >= 0:
            step = np.where(held, 0.0, np.clip(-gradient / (diagonal + ridge), -1, 1))
        length = 1.0
        for _ in range(8):
            moved = np.clip(lam + length * step, floor, up)
            slope = float((gradient * (moved - lam)).sum())
            kept, diagonal = part.evaluate(moved)
            wanted, give = _relaxed(budget, moved, spread)
            passes += 1
            ahead = float(((kept - wanted) * (moved - lam)).sum())
            # convex: as long as it still falls here (or nearly), nothing was overshot
            if ahead <= 0.3 * abs(slope):
                break
            length *= min(0.7, max(0.1, -slope / (ahead - slope)))
        lam = moved
        # a step that had to be cut short was too bold where the function bends (Levenberg and Marquardt)
        caution = min(1e4, caution * 30) if length < 0.25 else max(1.0, caution / 10)
    gradient = kept - budget
    at_bound = fixed | (lam >= up) | (lam <= np.maximum(floor, -down if spread is None else -np.inf))
    if spread is not None:
        at_bound |= spread
    held = at_bound & (np.abs(gradient) > tolerance * scale)
    wrong = np.where(held, 0.0, np.abs(gradient) / scale)
    reads = -(-passes * len(part.data.indices) // max(1, len(data.indices)))
    return Raked(lam, part.whole(), kept, ~held, float(wrong.max(initial=0.0)), max(1, reads))


def rake_and_spread(
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
    settled: np.ndarray | None = None,
    max_reads: float = np.inf,
) -> Raked:
    """Solve (3), then (4) for the concepts that exceed their budgets by more than `SURPLUS`. Arguments as of `rake`.

    Args:
        settled: bool [m], concepts whose lambda stays as it starts in (4) as well.
    """
    limits = {"tolerance": tolerance, "max_passes": max_passes, "max_reads": max_reads}
    found = rake(data, budget, offset, low, high, start, down=down, frozen=frozen, **limits)
    fixed = np.zeros(data.m, bool) if settled is None else settled
    over = (found.expected > SURPLUS * np.maximum(budget, 0.5)) & ~found.feasible & ~fixed
    if not over.any():
        return found
    again = rake(
        data, budget, offset, low, high, found.lam, down=DEEP * down, frozen=fixed, spread=over, **limits
    )
    passes = found.passes + again.passes
    if _penalty(again.expected, budget, over) > _penalty(found.expected, budget, over):
        return replace(found, passes=passes)  # stopped too early to be of use
    return replace(again, feasible=found.feasible & again.feasible, passes=passes)


def _penalty(kept: np.ndarray, budget: np.ndarray, spread: np.ndarray) -> float:
    """What (4) minimizes beside the distance from the closed formula."""
    much = np.maximum(kept - budget, 0.0)
    floor = np.maximum(budget, 0.5)
    ratio = np.maximum(kept, floor) / floor
    shared = np.where(spread, STIFF * floor * (ratio * np.log(ratio) - ratio + 1), 0.0)
    missing = np.maximum(budget - kept, 0.0)
    return float((DEEP * LAMBDA_UP * missing + LAMBDA_DOWN * much + shared).sum())


def _relaxed(
    budget: np.ndarray, lam: np.ndarray, spread: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | float]:
    """(counts that (4) asks for at some lambda, how fast they fall with it)."""
    if spread is None:
        return budget, 0.0
    beyond = np.where(spread, np.maximum(0.0, -lam - LAMBDA_DOWN), 0.0)
    wanted = budget * np.exp(np.minimum(LAMBDA_UP, beyond / STIFF))
    return wanted, np.where(beyond > 0, wanted / STIFF, 0.0)


class _Open:
    """The samples that are not settled, with their P and the slope of it; `base`: counts of the others."""

    def __init__(self, data, offset, low, high, rows, whole_low, base):
        self.data, self.offset, self.low, self.high = data, offset, low, high
        self._rows, self._whole_low, self._base = rows, whole_low, base
        self.p, self.bend = np.empty((2, data.n), np.float32)

    @classmethod
    def of(cls, data: Tagged, offset: np.ndarray, low: np.ndarray, high: np.ndarray) -> _Open:
        rows, tags = open_rows(data.indptr, low, high)
        if len(rows) > 0.7 * data.n:
            return cls(data, offset, low, high, None, low, 0.0)
        rest = low.copy()
        rest[rows] = 0
        few = Tagged(*take_rows(data.indptr, data.indices, rows, tags), data.score[rows], data.m)
        return cls(few, offset[rows], low[rows], high[rows], rows, low, data.counts(rest))

    def evaluate(self, lam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Set `p` and `bend`; per concept, the sums of both over all samples."""
        d, out = self.data, np.zeros((PIECES, self.data.m, 2))

        def work(piece: int, first: int, last: int) -> None:
            tilt(
                d.indptr, d.indices, lam, self.offset, self.low, self.high, self.p, self.bend, out[piece], first, last
            )  # fmt: skip

        in_pieces(d.n, work)
        total = out.sum(axis=0)
        return total[:, 0] + self._base, total[:, 1]

    def curve(self, x: np.ndarray) -> np.ndarray:
        """A' diag(bend) A x, float64 [m]."""
        d, out = self.data, np.zeros((PIECES, self.data.m))

        def work(piece: int, first: int, last: int) -> None:
            curvature(d.indptr, d.indices, self.bend, x, out[piece], first, last)

        in_pieces(d.n, work)
        return out.sum(axis=0)

    def whole(self) -> np.ndarray:
        """float32: P of all samples."""
        if self._rows is None:
            return self.p
        result = self._whole_low.copy()
        result[self._rows] = self.p
        return result


def _conjugate_gradients(
    part: _Open,
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
        hp = np.where(free, part.curve(p) + ridge * p, 0.0)
        along = float((p * hp).sum())
        if along <= 0:
            return x, used
        x = x + (rz / along) * p
        r = r - (rz / along) * hp
        z = inverse * r
        before, rz = rz, float((r * z).sum())
        p = z + (rz / before) * p
    return x, used
