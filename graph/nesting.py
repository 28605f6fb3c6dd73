"""Keep probabilities for any number of samples wanted, such that smaller selections lie inside larger ones.

Budgets met exactly and samples that nest contradict each other. Concepts U and V, ten samples with U
alone, ten with V alone, ten with both; V is wanted four times as often as U. For 12 occurrences, U can be had
from samples with U alone; for 16, V needs samples with both, which use up U's budget, and the samples with U
alone must go again. So what a size keeps has to look ahead to larger sizes, and back to smaller ones.

Here that is a bisection over water levels that does not depend on the size wanted:

    level x in [0, 1],  B(x) = B(1) * x^3,  B(1) = all occurrences
    P(0) = 0,  P(1) = 1;  P((x + z) / 2) = raking.rake to the budgets of its B, between P(x) and P(z)

Levels 1/2, 1/4, 3/4, ... are solved only along the way to the size wanted, until two that enclose it are less than
`CLOSE` apart in B; between them P is interpolated linearly so that it sums to the size. Every sample's P is
thus a non-decreasing function of the size, whatever sizes are asked for, and with u < P (`draw.py`)
their samples nest. Solving within bounds costs accuracy only where the budgets of two sizes pull apart: the
result says by how much each budget is missed, and whether it could be met without nesting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from .budgets import BudgetRule
from .raking import LAMBDA_DOWN, Raked, rake, rake_and_spread
from .tagged import Tagged, in_pieces

#: Levels are halved until two are this near, and so many times at most.
CLOSE, DEPTH = 1.04, 14
#: Levels whose bounds are this near decide how well budgets are met; those before only bound them.
FINE = 1.15
#: Tags read for one level, about, and passes at most: time for large data, accuracy for small.
PATIENCE, MOST_PASSES = 3e9, 120
#: The first levels start from the closed formula of `raking.py`, in which scores count.
CLOSED_LEVELS = 3
#: Budgets are called feasible where no multiplier of odds below e^-4 is needed: beyond, a concept's samples
#: are as good as excluded by hand.
FEASIBLE_DOWN = 4.0


@dataclass(frozen=True)
class Balanced:
    """Keep probabilities and how well they meet the budgets.

    Attributes:
        probability: float32 [n]; sums to the size wanted, or to all that can be had.
        budget, expected: float64 [m], samples wanted and expected of each concept; budget <= supply.
        feasible: bool [m]: some keep probabilities meet this budget without missing any other that can be met
            (see `raking.py`; judged without nesting), or this one meets it.
        asked: float64 [m], the budget before supplies ran out: the concept's share of all occurrences.
        passes: how often all tags were read.
    """

    probability: np.ndarray
    budget: np.ndarray
    expected: np.ndarray
    feasible: np.ndarray
    asked: np.ndarray
    passes: int

    @property
    def error(self) -> np.ndarray:
        """float64 [m]: (expected - budget) / budget; 0 where the budget is below half a sample."""
        return np.where(self.budget >= 0.5, self.expected / np.maximum(self.budget, 0.5) - 1, 0.0)


def balance(
    data: Tagged,
    rule: BudgetRule,
    size: float,
    tolerance: float = 0.004,
    judge: bool = True,
) -> Balanced:
    """Keep probabilities of a selection of `size` samples.

    Args:
        rule: over the m concepts of `data`.
        size: samples wanted, >= 0. Samples without tags or of score 0 are never kept.
        tolerance: relative error of budgets at the levels next to the size.
        judge: also solve without nesting, to tell which budgets are feasible; else all that are met within 5 %.
    """
    if not size >= 0:
        raise ValueError(f"size must be a number of samples >= 0, got {size}")
    supply = data.supply().astype(np.float64)
    most = float(rule.budgets(supply, supply.sum()).sum())
    can = (np.diff(data.indptr) > 0) & (data.score > 0)
    low, high = np.zeros(data.n, np.float32), _reachable(data, rule, supply, can)
    top = _tops(data)
    x, z = 0.0, 1.0
    passes = 0
    for level in range(DEPTH):
        if z**3 < CLOSE * x**3 or most <= 1 or size >= float(high.sum(dtype=np.float64)):
            break
        middle = (x + z) / 2
        budget = rule.budgets(supply, most * middle**3)
        solved = _between(data, budget, low, high, top, level, tolerance, z**3 < FINE * x**3)
        passes += solved.passes
        if float(solved.probability.sum(dtype=np.float64)) < size:
            x, low = middle, solved.probability
        else:
            z, high = middle, solved.probability
    few, many = float(low.sum(dtype=np.float64)), float(high.sum(dtype=np.float64))
    part = min(1.0, (size - few) / (many - few)) if many > few else 0.0
    p = np.minimum(high, np.maximum(low, (low + part * (high - low)).astype(np.float32)))
    water = most * (x**3 + part * (z**3 - x**3))
    budget = rule.budgets(supply, water)
    expected = data.counts(p)
    if judge and most > 1:
        zero, one = np.zeros(data.n, np.float32), can.astype(np.float32)
        full = (supply > 0) & (budget >= supply * (1 - 1e-6))
        offset = log_odds(data, budget, supply, top)
        offset[data.with_any(full) & can] = np.inf
        free = rake_and_spread(
            data, budget, offset, zero, one, None, tolerance, down=FEASIBLE_DOWN, frozen=full, settled=full
        )
        passes += free.passes
        feasible = free.feasible | (np.abs(expected - budget) <= 0.01 * np.maximum(budget, 0.5))
    else:
        feasible = np.abs(expected - budget) <= 0.05 * np.maximum(budget, 0.5)
    return Balanced(p, budget, expected, feasible, rule.asked(supply, water), passes)


def _reachable(data: Tagged, rule: BudgetRule, supply: np.ndarray, can: np.ndarray) -> np.ndarray:
    """float32 [n]: 1 for samples that have a concept with a budget at all, else 0."""
    wanted = rule.budgets(supply, supply.sum()) > 0
    return (can & (data.with_any(wanted))).astype(np.float32)


def _between(
    data: Tagged,
    budget: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    top: np.ndarray,
    level: int,
    tolerance: float,
    fine: bool,
) -> Raked:
    below, above = data.counts(low), data.counts(high)
    wanted, available = np.clip(budget - below, 0, None), np.maximum(above - below, 0)
    if level < CLOSED_LEVELS:
        offset = log_odds(data, wanted, available, top)
    else:
        # close together: both bounds nearly meet their budgets, so the same part of every gap nearly does
        part = np.clip(wanted.sum() / max(available.sum(), 1e-9), 1e-3, 1 - 1e-3)
        offset = np.full(data.n, np.log(part / (1 - part)), np.float32)
    # all samples of a concept are wanted: settled at once, else Newton steps creep towards them
    full = (above > 0) & (budget >= above * (1 - 1e-6))
    offset[data.with_any(full)] = np.inf
    # what the lower level has too many of already gets as few more as possible; close together both bounds do that
    lost = below > budget * 1.001
    start = np.where(lost & (level >= CLOSED_LEVELS) & (not fine), -LAMBDA_DOWN, 0.0)
    limits = {
        "tolerance": tolerance if fine else 4 * tolerance,
        "max_passes": MOST_PASSES,
        "max_reads": PATIENCE,
    }
    frozen = (full | lost) if fine else full
    if level == 0 and len(data.indices) * MOST_PASSES > PATIENCE:
        # no time for two solves over all samples, and far from any size: a bound, for which the first will do
        return rake(data, budget, offset, low, high, start, frozen=frozen, **limits)
    return rake_and_spread(data, budget, offset, low, high, start, frozen=frozen, settled=full, **limits)


def log_odds(data: Tagged, budget: np.ndarray, supply: np.ndarray, top: np.ndarray) -> np.ndarray:
    """float32 [n]: log odds of the closed formula (1) of `raking.py`; -inf for samples of score 0."""
    p = np.clip(budget / np.maximum(supply, 1e-9), 0.0, 1.0)
    out = np.empty(data.n, np.float32)

    def work(piece: int, first: int, last: int) -> None:
        _closed(data.indptr, data.indices, data.score, p, top, out, first, last)

    in_pieces(data.n, work)
    return out


def _tops(data: Tagged) -> np.ndarray:
    """float64 [m]: largest score of any sample that has the concept."""
    top = np.zeros(data.m)
    _largest(data.indptr, data.indices, data.score, top)
    return top


@numba.njit(nogil=True, cache=True)
def _largest(indptr, indices, score, top):
    for i in range(len(score)):
        for k in range(indptr[i], indptr[i + 1]):
            top[indices[k]] = max(top[indices[k]], score[i])


@numba.njit(nogil=True, cache=True)
def _closed(indptr, indices, score, p, top, out, first, last):
    for i in range(first, last):
        if score[i] <= 0 or indptr[i] == indptr[i + 1]:
            out[i] = -np.inf
            continue
        drop = 1.0
        for k in range(indptr[i], indptr[i + 1]):
            t = indices[k]
            drop *= 1 - p[t] * min(1.0, score[i] / top[t])
        # neither 0 nor 1, so that raking can move it either way
        drop = min(1 - 1e-9, max(1e-6, drop))
        out[i] = np.log((1 - drop) / drop)
