"""The order of an epoch: batches of like length under a token budget, dealt so that all ranks have equal work.

`plan_epoch` is pure: the same lengths, seed and epoch give the same plan on every rank, so ranks agree on it without
a word. Samples are shuffled, sorted by length (which keeps the shuffled order among equals), cut into
batches, and batches of like cost dealt to the ranks of one step; then the steps are shuffled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .batch_cutting import cut, evened
from .errors import PlanError
from .lengths import CostModel

#: Batches whose costs differ by less are dealt as if equal, so that a step mixes lengths.
_COST_STEP = 0.02


@dataclass(frozen=True, eq=False)
class EpochPlan(Sequence):
    """Which samples each rank takes at each step. `plan[step][rank]` is int64 [samples].

    Attributes:
        order: int64 [n]: samples, batch behind batch. starts: int64 [batches + 1]: of the batches in it.
        steps: int64 [steps, ranks]: batch that a rank takes.
        too_long: int64: samples that exceed the token budget alone; never planned.
        left_out: int64: samples beyond the last full step, fewer than ranks; only where batches cannot be split
            any more. Others every epoch.
    """

    order: np.ndarray
    starts: np.ndarray
    steps: np.ndarray
    too_long: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    left_out: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, step: int) -> list[np.ndarray]:  # type: ignore[override]
        return [self.batch(step, rank) for rank in range(self.steps.shape[1])]

    def batch(self, step: int, rank: int) -> np.ndarray:
        """int64 samples."""
        number = self.steps[step, rank]
        return self.order[self.starts[number] : self.starts[number + 1]]

    def global_samples(self, step: int) -> int:
        """Samples of all ranks at a step."""
        numbers = self.steps[step]
        return int((self.starts[numbers + 1] - self.starts[numbers]).sum())

    def before(self, step: int) -> np.ndarray:
        """int64: samples of all ranks in the steps before `step`."""
        numbers = self.steps[:step].ravel()
        taken = np.zeros(len(self.starts) - 1, bool)
        taken[numbers] = True
        return self.order[np.repeat(taken, np.diff(self.starts))]


def plan_epoch(
    lengths: np.ndarray,
    token_budget: int,
    ranks: int = 1,
    seed: int = 0,
    epoch: int = 0,
    cost: CostModel | None = None,
    most_samples: int | None = None,
    blocks: np.ndarray | None = None,
    window_blocks: int = 64,
) -> EpochPlan:
    """Lay out one epoch.

    Every sample comes once (but for `too_long` and `left_out`), all ranks take equally many batches, and
    no batch, padded to its longest sample, holds more than `token_budget` tokens.

    Args:
        lengths: int [n], tokens of each sample.
        token_budget: tokens of a batch at most.
        cost: by which the batches of a step are evened; by default the number of tokens.
        most_samples: of a batch; None: as the budget allows.
        blocks: int [n], for stores that are read in blocks (row groups of Parquet): samples are shuffled within windows
            of `window_blocks` random blocks, so that a reader needs no more than a window at a time.

    Raises:
        PlanError: no sample fits the budget, or there are fewer than ranks.
    """
    lengths = np.asarray(lengths, np.int64)
    if token_budget < 1 or ranks < 1 or (most_samples is not None and most_samples < 1):
        raise PlanError(
            f"token_budget {token_budget}, ranks {ranks}, most_samples {most_samples}: all must be at least 1"
        )
    if len(lengths) and lengths.min() < 1:
        raise PlanError(
            f"sample {int(lengths.argmin())} has length {int(lengths.min())}; at least 1 is wanted"
        )
    cost = cost or CostModel()
    rng = np.random.default_rng([seed % 2**63, epoch])
    fits = lengths <= token_budget
    too_long = np.flatnonzero(~fits)
    order, window = _shuffled(len(lengths), blocks, window_blocks, rng)
    if len(too_long):
        order, window = order[fits[order]], window[fits[order]]
    if len(order) < ranks:
        raise PlanError(
            f"{len(order)} samples of at most {token_budget} tokens for {ranks} ranks ({len(too_long)} are longer): "
            "give more samples, a larger token_budget or fewer ranks"
        )
    by_length = np.lexsort((lengths[order], window)) if blocks is not None else _by_length(lengths[order])
    order, window = order[by_length], window[by_length]
    starts, left_out = evened(
        cut(lengths[order], token_budget, most_samples), lengths[order], token_budget, ranks
    )
    kept = np.ones(len(order), bool)
    kept[left_out] = False
    left, order, window = order[left_out], order[kept], window[kept]
    sizes = np.diff(starts)
    totals = np.add.reduceat(cost.of_sample(lengths[order]), starts[:-1])
    bins = np.floor(np.log(totals) / np.log1p(_COST_STEP)).astype(np.int64)
    dealt = np.lexsort((rng.permutation(len(sizes)), bins, window[starts[:-1]])).reshape(-1, ranks)
    # Ranks change places, so that none always has the costliest batch of a step.
    dealt = rng.permuted(dealt, axis=1)
    first = window[starts[:-1]][dealt[:, 0]]
    steps = dealt[np.lexsort((rng.permutation(len(dealt)), first))]
    return EpochPlan(order, starts, steps, too_long, np.sort(left))


def _by_length(lengths: np.ndarray) -> np.ndarray:
    """Stable order; short integers are sorted by radix, ten times as fast."""
    small = lengths.astype(np.uint16) if lengths.max() < 2**16 else lengths
    return np.argsort(small, kind="stable")


def _shuffled(
    n: int, blocks: np.ndarray | None, window_blocks: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(order, window of each sample in that order)."""
    order = rng.permutation(n)
    if blocks is None:
        return order, np.zeros(n, np.int32)
    names, number = np.unique(blocks, return_inverse=True)
    place = rng.permutation(len(names)) // max(1, window_blocks)
    window = place[number][order]
    by_window = np.argsort(window, kind="stable")
    return order[by_window], window[by_window].astype(np.int32)


def padding_waste(plan: EpochPlan, lengths: np.ndarray) -> float:
    """Share of tokens that only fill batches up to their longest sample."""
    ordered = np.asarray(lengths, np.int64)[plan.order]
    longest = np.maximum.reduceat(ordered, plan.starts[:-1])
    return float(1 - ordered.sum() / (longest * np.diff(plan.starts)).sum())


def step_cost_spread(plan: EpochPlan, lengths: np.ndarray, cost: CostModel) -> np.ndarray:
    """float64 [steps]: (costliest rank - cheapest) / costliest."""
    totals = np.add.reduceat(cost.of_sample(np.asarray(lengths)[plan.order]), plan.starts[:-1])[plan.steps]
    return 1 - totals.min(axis=1) / totals.max(axis=1)
