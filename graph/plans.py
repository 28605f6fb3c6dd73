"""Staged sampling plans: which samples a training stage sees, and how well they cover the concepts.

Each stage has a size, a temperature, and for every sample whether it may be used (`eligible`), how much it
is wanted (`weight`), and what the list is ordered by. Per stage:

    s_i  = weight_i * BM25 length score      the score of `raking.py`; 0 where not eligible
    P    = nesting.balance(...) at the stage's temperature and size
    kept = hash64(id, seed) < P              `draw.py`; the same seed for all stages: a stage lies inside another
                                             that differs only in being larger

With `best_first` (higher is better) a stage prefers, within every concept, the samples ranked best: the weight is
multiplied by STEEP^-(1 - rank), rank 0..1 among eligible samples. Budgets hold all the same: raking
makes up for whatever the weights do to a concept as a whole.

Samples without a mapped tag share in the size by their number; they are balanced by communities of near
pictures where there are such (leaf communities as one more tree beside the concepts), else all alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .baselines import Figures, figures
from .bm25 import length_scores
from .budgets import BudgetRule, Tree
from .draw import keep
from .nesting import Balanced, balance
from .tagged import Tagged

#: How much more the best sample of a concept is wanted than the worst, in odds of the closed formula.
STEEP = 1e4


@dataclass(frozen=True)
class Concepts:
    """Samples, their tags, and the trees over the tags.

    Attributes:
        indptr, indices: CSR of samples x tags; tags 0..m-1.
        tree: over the tags. prior: float64 [m] or None (equal among siblings).
        communities: int64 [m_communities] parents of a second tree, or None.
        community: int64 [n], the finest community of every sample, -1 for none.
    """

    indptr: np.ndarray
    indices: np.ndarray
    tree: Tree
    prior: np.ndarray | None = None
    communities: np.ndarray | None = None
    community: np.ndarray | None = None

    @property
    def n(self) -> int:
        return len(self.indptr) - 1


@dataclass(frozen=True)
class StageRule:
    """One stage of a plan.

    Attributes:
        name: unique in the plan. size: samples wanted, >= 0.
        temperature: 0 natural .. 1 the prior.
        by: `concepts` (communities only for samples without a mapped tag) or `communities` (those alone).
    """

    name: str
    size: float
    temperature: float = 1.0
    by: str = "concepts"

    def __post_init__(self) -> None:
        if not self.size >= 0 or not 0 <= self.temperature <= 1 or self.by not in ("concepts", "communities"):
            raise ValueError(
                f"stage {self.name!r}: size must be >= 0, temperature in 0..1, by concepts or communities"
            )


@dataclass(frozen=True)
class StageResult:
    """What a stage draws.

    Attributes:
        probability: float32 [n]. kept: bool [n].
        order: int64, rows that are kept, in the order in which they are to be seen.
        balanced: budgets and expectations; the first m concepts are the tags, then come leaf communities, what
            has neither, and two roots.
        supply: int64, eligible samples of each of these. drawn: float64, those that are kept.
        before, after: figures of the eligible samples, and of the selection.
    """

    probability: np.ndarray
    kept: np.ndarray
    order: np.ndarray
    balanced: Balanced
    supply: np.ndarray
    drawn: np.ndarray
    before: Figures
    after: Figures


def run_stage(
    data: Concepts,
    rule: StageRule,
    halves: np.ndarray,
    seed: int,
    eligible: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    best_first: np.ndarray | None = None,
    order_by: np.ndarray | None = None,
    judge: bool = True,
) -> StageResult:
    """Select and order the samples of one stage.

    Args:
        halves: uint64 [n, 2], ids.
        eligible: bool [n]. weight: float64 [n] >= 0, NaN counts as 0.
        best_first: float64 [n], higher is better, NaN is worst.
        order_by: float64 [n], ascending, NaN last; default: a hash, so that the order is random but fixed.
    """
    n = data.n
    score = np.ones(n) if weight is None else np.nan_to_num(np.asarray(weight, np.float64), nan=0.0)
    if (score < 0).any() or not np.isfinite(score).all():
        raise ValueError(f"stage {rule.name!r}: weights must be finite numbers >= 0")
    able = np.ones(n, bool) if eligible is None else np.asarray(eligible, bool)
    if best_first is not None:
        score = score * STEEP ** -(1 - _rank(np.asarray(best_first, np.float64), able))
    tagged, budget_rule = _joined(data, rule, np.where(able, score, 0.0))
    balanced = balance(tagged, budget_rule, rule.size, judge=judge)
    kept = keep(halves, balanced.probability, seed)
    rows = np.flatnonzero(kept)
    tie = halves[rows] ^ np.uint64(0x5851F42D4C957F2D)  # ids in another order than that of the draw
    shuffled = _hash_order(tie, seed)
    if order_by is not None:
        value = np.asarray(order_by, np.float64)[rows]
        shuffled = np.lexsort((_places(shuffled), np.where(np.isnan(value), np.inf, value)))
    order = rows[shuffled]
    everything = np.where(tagged.score > 0, np.float32(1), np.float32(0))
    return StageResult(
        balanced.probability,
        kept,
        order,
        balanced,
        tagged.supply(),
        tagged.counts(kept),
        figures(tagged, everything, budget_rule),
        figures(tagged, balanced.probability, budget_rule),
    )


def overlap(kept: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Share of every stage's samples that the stage before it has too; stages in order."""
    names = list(kept)
    return {
        name: float((kept[name] & kept[before]).sum() / max(1, kept[name].sum()))
        for before, name in zip(names, names[1:], strict=False)
    }


def _joined(data: Concepts, rule: StageRule, score: np.ndarray) -> tuple[Tagged, BudgetRule]:
    """Tags and, for samples without one (or for all), leaf communities as further tags of one forest."""
    m = len(data.tree.parent)
    tags = np.diff(data.indptr)
    alone = np.ones(data.n, bool) if rule.by == "communities" else tags == 0
    has = data.communities is not None and data.community is not None
    if rule.by == "communities" and not has:
        raise ValueError(f"stage {rule.name!r} is balanced by communities, and there are none")
    extra = np.asarray(data.communities, np.int64) if has else np.zeros(0, np.int64)
    # forest: concepts under one root, communities under another; m + len(extra) catches what has neither
    other = np.where(data.community >= 0, m + data.community, m + len(extra)) if has else np.full(data.n, m)
    parent = np.concatenate([data.tree.parent, np.where(extra >= 0, extra + m, -1), [-1]])
    size = len(parent)
    concept_root, other_root = size, size + 1
    parent = np.where(parent >= 0, parent, np.where(np.arange(size) < m, concept_root, other_root))
    parent = np.concatenate([parent, [-1, -1]])
    keep_tags = tags > 0 if rule.by == "concepts" else np.zeros(data.n, bool)
    lengths = np.where(keep_tags, tags, alone.astype(np.int64))
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    indices = np.empty(indptr[-1], np.int32)
    indices[np.repeat(keep_tags, lengths)] = data.indices[np.repeat(keep_tags, tags)]
    indices[np.repeat(~keep_tags, lengths)] = other[~keep_tags]
    discount = length_scores(lengths) if rule.by == "concepts" else np.ones(data.n, np.float32)
    tagged = Tagged(indptr, indices, (score * discount).astype(np.float32), len(parent))
    return tagged, BudgetRule(Tree.of(parent), _prior(data, tagged, m), rule.temperature)


def _prior(data: Concepts, tagged: Tagged, m: int) -> np.ndarray:
    """Priors of one forest: mapped and unmapped samples share in it by their numbers of tags, whatever the tree."""
    supply = tagged.supply()
    prior = np.zeros(tagged.m)
    prior[:m] = 1.0 if data.prior is None else data.prior
    prior[:m][supply[:m] == 0] = 0.0
    if data.prior is None:
        prior[:m] = _equal_shares(data.tree, supply[:m] > 0)
    if data.communities is not None and len(data.communities):
        k = m + len(data.communities)
        prior[m:k] = _equal_shares(Tree.of(data.communities), supply[m:k] > 0)
        rest = supply[k] / max(1, supply[m : k + 1].sum())
        prior[m:k] *= 1 - rest
        prior[k] = rest
    else:
        prior[m] = 1.0
    for part in (slice(0, m), slice(m, None)):
        total = prior[part].sum()
        prior[part] *= supply[part].sum() / max(1, supply.sum()) / total if total > 0 else 0.0
    return prior


def _equal_shares(tree: Tree, present: np.ndarray) -> np.ndarray:
    """Equal parts among siblings that have any data, all the way down; sums to 1."""
    if not present.any():
        return np.zeros(len(present))
    share = BudgetRule(tree).budgets(np.where(present, 1e9, 0.0), 1.0)
    return share / share.sum()


def _rank(values: np.ndarray, able: np.ndarray) -> np.ndarray:
    """0 (worst) .. 1 (best) among eligible samples; ties share; 0 where unknown."""
    out = np.zeros(len(values))
    known = able & ~np.isnan(values)
    if known.any():
        _, inverse = np.unique(values[known], return_inverse=True)
        out[known] = inverse / max(1, inverse.max())
    return out


def _hash_order(halves: np.ndarray, seed: int) -> np.ndarray:
    from .draw import hash64

    if not len(halves):
        return np.zeros(0, np.int64)
    return np.lexsort((halves[:, 1], halves[:, 0], hash64(np.ascontiguousarray(halves), np.uint64(seed))))


def _places(order: np.ndarray) -> np.ndarray:
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places
