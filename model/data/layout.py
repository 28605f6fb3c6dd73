"""Where an epoch stands: which samples come in which step, also after the number of ranks has changed in its middle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import PlanError
from .lengths import CostModel
from .planning import EpochPlan, plan_epoch
from .stage import Chosen, Epoch, draw_epoch

#: Keeps the plans of an epoch's stretches apart.
_STRETCH = 0x9E3779B1


@dataclass(frozen=True)
class Batching:
    """Settings of batches; see `plan_epoch` and `sequence_lengths`."""

    token_budget: int
    most_samples: int | None = None
    cost: CostModel | None = None
    window_blocks: int = 64
    semantic_tokens: int = 0
    token_px: int = 16


@dataclass(frozen=True, eq=False)
class Laid:
    """An epoch's samples, and the plan of the stretch of it that the present ranks make.

    members: int64, samples that the stretch lays out; the plan's numbers are places in it. plan: None where too few
    samples are left for the ranks.
    """

    epoch: Epoch
    members: np.ndarray
    plan: EpochPlan | None

    def __len__(self) -> int:
        return len(self.plan) if self.plan is not None else 0

    def batch(self, step: int, rank: int) -> np.ndarray:
        """int64 samples of the epoch."""
        assert self.plan is not None
        return self.members[self.plan.batch(step, rank)]


def lay_out(
    parts: Sequence[Chosen],
    batching: Batching,
    ranks: int,
    seed: int,
    epoch: int,
    before: Sequence[tuple[int, int]] = (),
) -> Laid:
    """The epoch behind `before`: (ranks, steps made) of each stretch of it, in order.

    What earlier stretches have not trained on is laid out anew for `ranks`, so each sample still comes once.

    Raises:
        PlanError: of a whole epoch no step can be made.
    """
    drawn = draw_epoch(parts, seed, epoch, batching.semantic_tokens, batching.token_px)
    members = np.arange(len(drawn.row))
    for number, (others, steps) in enumerate(before):
        earlier = _plan(drawn, members, batching, others, seed + number * _STRETCH, epoch)
        rest = np.ones(len(members), bool)
        rest[earlier.before(steps)] = False
        members = members[rest]
    try:
        plan = _plan(drawn, members, batching, ranks, seed + len(before) * _STRETCH, epoch)
    except PlanError:
        if not before:
            raise
        plan = None
    return Laid(drawn, members, plan)


def _plan(
    drawn: Epoch, members: np.ndarray, batching: Batching, ranks: int, seed: int, epoch: int
) -> EpochPlan:
    return plan_epoch(
        drawn.lengths[members],
        batching.token_budget,
        ranks,
        seed,
        epoch,
        batching.cost,
        batching.most_samples,
        None if drawn.blocks is None else drawn.blocks[members],
        batching.window_blocks,
    )
