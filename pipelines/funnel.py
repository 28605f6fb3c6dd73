"""How many rows every step left: for the report and for the cards of exports."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc

from zcurate.curation.stage import OK

from .decisions import RULE_STAGES, step_name
from .view import View


class Funnel(NamedTuple):
    """Attributes:
    steps: (step, rows left), from ingested to the last decision that was made for any row.
    reasons: rule -> rows it dropped, most first.
    waiting: step -> rows that left there only because the step has not come to them yet.
    """

    steps: tuple[tuple[str, int], ...]
    reasons: dict[str, int]
    waiting: dict[str, int]


def funnel_of(view: View) -> Funnel:
    """Count all live rows. Steps that did not run at all are left out: they dropped nothing."""
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    groups = [g for g in view.decisions if view.has(g)]
    steps = [("profile", "readable")] if view.has("profile") else []
    steps += [(g, step_name(g)) for g in groups]
    rules = [g for g in RULE_STAGES.values() if g in groups]
    columns = [*(f"{g}._status" for g, _ in steps), *(f"{g}.reasons" for g in rules)]
    for shard, table in view.tables(columns):
        mask = table.column("live").to_numpy().copy()
        counts["ingested"] += int(mask.sum())
        for group, step in steps:
            status = table.column(f"{group}._status")
            if group in groups:
                if group in rules:
                    for names in table.column(f"{group}.reasons").take(np.flatnonzero(mask)).to_pylist():
                        reasons.update(names or ())
                left = mask & table.column(f"keep:{group}").to_numpy()
            else:
                left = mask & pc.fill_null(pc.equal(status, OK), False).to_numpy()
            waits = int((mask & ~left & pc.is_null(status).to_numpy()).sum())
            if waits:
                waiting[step] += waits
            mask = left
            counts[step] += int(mask.sum())
        if not groups:  # which would have left out what people dropped
            mask[list(view.selection.bases[shard].dropped)] = False
            counts["not pruned"] += int(mask.sum())
    return Funnel(tuple(counts.items()), dict(reasons.most_common()), dict(waiting))
