"""Other people's ways to draw a balanced selection, for comparison at the same size.

All give a keep probability per sample, so that all are judged alike: by expected counts, and by draws with
the same hashes (`draw.py`). Figures of one selection: `figures`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .budgets import BudgetRule, shares_of
from .nesting import balance
from .tagged import Tagged

METHODS = ("ours", "uniform", "metaclip", "hierarchical")


@dataclass(frozen=True)
class Figures:
    """What a selection looks like.

    Attributes:
        size: expected samples.
        kl: KL divergence sum q log(q / prior) of its shares q of concepts from the prior, in nats; over
            concepts with data.
        ess: effective sample size, (sum P)^2 / sum P^2.
        tail_share, head_share: occurrences of the rarer half, and of the commonest hundredth of concepts.
        covered: concepts with at least one expected sample.
    """

    size: float
    kl: float
    ess: float
    tail_share: float
    head_share: float
    covered: int


def uniform(data: Tagged, size: float) -> np.ndarray:
    """Every sample alike: P = size / n; float32 [n]."""
    return np.full(data.n, min(1.0, size / max(1, data.n)), np.float32)


def metaclip(data: Tagged, size: float) -> np.ndarray:
    """MetaCLIP (Xu et al., 2023): P = 1 - prod over tags of (1 - min(1, t / c)), float32 [n].

    c is how many samples have the tag; t is found by bisection, so that P sums to the size. Samples
    without tags are dropped.
    """
    count = np.maximum(1, np.bincount(data.indices, minlength=data.m))

    def at(t: float) -> np.ndarray:
        with np.errstate(divide="ignore"):
            logs = np.log1p(-np.minimum(1.0, t / count))
        return 1 - np.exp(_row_sums(data, logs))

    return _bisect(at, float(count.max(initial=1)), size).astype(np.float32)


def hierarchical(data: Tagged, rule: BudgetRule, size: float) -> np.ndarray:
    """Hierarchical sampling of Vo et al. (2024), float32 [n]: every sample lies in one leaf only.

    Its rarest tag is the sample's leaf; budgets go down the tree in equal parts up to what a child has
    (the rule's tree, no prior), and samples of a leaf are drawn alike.
    """
    supply = np.bincount(data.indices, minlength=data.m)
    leaf = rarest_tag(data, supply)
    has = leaf >= 0
    own = np.bincount(leaf[has], minlength=data.m).astype(np.float64)
    budget = BudgetRule(rule.tree).budgets(own, size)
    rate = budget / np.maximum(own, 1)
    return np.where(has, rate[np.maximum(leaf, 0)] if data.m else 0.0, 0.0).astype(np.float32)


def rarest_tag(data: Tagged, supply: np.ndarray) -> np.ndarray:
    """int64 [n]: the tag of each sample that the fewest samples have (ties: the smaller number); -1 without."""
    rank = np.empty(data.m, np.int64)
    order = np.lexsort((np.arange(data.m), supply))
    rank[order] = np.arange(data.m)
    rows = np.diff(data.indptr) > 0
    result = np.full(data.n, -1, np.int64)
    if rows.any():
        result[rows] = order[np.minimum.reduceat(rank[data.indices], data.indptr[:-1][rows])]
    return result


def compare(data: Tagged, rule: BudgetRule, size: float) -> dict[str, np.ndarray]:
    """Keep probabilities of every method of `METHODS` at one size."""
    return {
        "ours": balance(data, rule, size, judge=False).probability,
        "uniform": uniform(data, size),
        "metaclip": metaclip(data, size),
        "hierarchical": hierarchical(data, rule, size),
    }


def figures(data: Tagged, probability: np.ndarray, rule: BudgetRule) -> Figures:
    """Figures of one selection, in expectation. The prior is what the rule's tree gives at temperature 1."""
    supply = np.bincount(data.indices, minlength=data.m)
    counts = data.counts(probability)
    total = float(counts.sum())
    prior = shares_of(rule, supply > 0)
    p = probability.astype(np.float64)
    squares = float((p**2).sum())
    by_supply = np.argsort(-supply, kind="stable")[: int((supply > 0).sum())]
    head = by_supply[: max(1, len(by_supply) // 100)]
    tail = by_supply[len(by_supply) // 2 :]
    whole = max(total, 1e-300)
    return Figures(
        size=float(p.sum()),
        kl=divergence(counts, prior),
        ess=float(p.sum()) ** 2 / squares if squares > 0 else 0.0,
        tail_share=float(counts[tail].sum()) / whole,
        head_share=float(counts[head].sum()) / whole,
        covered=int((counts >= 1).sum()),
    )


def divergence(counts: np.ndarray, prior: np.ndarray) -> float:
    """sum q log(q / prior), nats, of the shares q of counts; concepts without prior are left out."""
    counted = np.where(prior > 0, counts, 0.0)
    total = counted.sum()
    if total <= 0:
        return float("nan")
    q, on = counted / total, counted > 0
    return float((q[on] * np.log(q[on] / prior[on])).sum())


def _row_sums(data: Tagged, values: np.ndarray) -> np.ndarray:
    out = np.zeros(data.n)
    rows = np.diff(data.indptr) > 0
    if rows.any():
        out[rows] = np.add.reduceat(values[data.indices], data.indptr[:-1][rows])
    return out


def _bisect(at: Callable[[float], np.ndarray], most: float, size: float) -> np.ndarray:
    low, high = 0.0, most
    for _ in range(60):
        middle = (low + high) / 2
        if at(middle).sum() < size:
            low = middle
        else:
            high = middle
    return at(high)
