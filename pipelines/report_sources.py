"""What became of the rows of every source: the lines of the report's table of sources."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from zcurate.curation.stage import ERROR, OK

from .decisions import GROUPS, RULE_STAGES, SAMPLING
from .report.data import Median, SourceLine
from .view import View

_DECLARED = "metadata.ai_declared"
_WIDTH, _HEIGHT = "profile.width_px", "profile.height_px"
#: Outcomes of a row, by the first decision that drops it.
KEPT, PENDING, FAILED, DROPPED, DUPLICATE, SAMPLED_OUT = range(6)
_DROPS = {GROUPS: DUPLICATE, SAMPLING: SAMPLED_OUT}


class SourceTally:
    """Counts outcomes and reasons per source, shard by shard."""

    def __init__(self, view: View):
        self._decisions = view.decisions
        written = [next(iter(s.bound.spec.outputs)) for s in view.plan.stages if s.bound.spec.outputs]
        self._status = [f"{g}._status" for g in dict.fromkeys([*written, *view.decisions])]
        self._rules = [g for g in RULE_STAGES.values() if view.plan.path(g)]
        self._declared = [_DECLARED] if _declares(view) else []
        self._outcomes: dict[str, Counter[int]] = defaultdict(Counter)
        self._dropped_by: dict[str, Counter[str]] = defaultdict(Counter)
        self._declarations: dict[str, list[int]] = defaultdict(lambda: [0, 0])

    @property
    def columns(self) -> list[str]:
        """Qualified columns that `add` needs."""
        reasons = [f"{g}.reasons" for g in self._rules]
        return ["samples.source", *self._status, *reasons, *self._declared]

    def add(self, table: pa.Table) -> np.ndarray:
        """Count the next live rows; gives their outcomes, int [rows]."""
        sources = table.column("samples.source").to_pylist()
        outcomes, deciders = self._outcome(table)
        for source, outcome in zip(sources, outcomes.tolist(), strict=True):
            self._outcomes[source or ""][outcome] += 1
        for group in self._rules:
            dropped = np.flatnonzero((outcomes == DROPPED) & (deciders == group))
            found = table.column(f"{group}.reasons").take(dropped).to_pylist()
            for row, names in zip(dropped.tolist(), found, strict=True):
                self._dropped_by[sources[row] or ""].update(names or ())
        for column in self._declared:
            for source, declared in zip(sources, table.column(column).to_pylist(), strict=True):
                if declared is not None:
                    self._declarations[source or ""][0] += declared
                    self._declarations[source or ""][1] += 1
        return outcomes

    def _outcome(self, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Outcome of every row, and the first group that does not keep it (None where all do)."""
        status = {c: np.array(table.column(c).to_pylist(), dtype=object) for c in self._status}
        outcome = np.full(table.num_rows, KEPT)
        decider = np.full(table.num_rows, None, dtype=object)
        left = np.ones(table.num_rows, bool)
        for group in self._decisions:
            out = left & ~table.column(f"keep:{group}").to_numpy()
            decided = status[f"{group}._status"] == OK
            outcome[out] = np.where(decided[out], _DROPS.get(group, DROPPED), PENDING)
            decider[out] = group
            left &= ~out
        failed = np.zeros(table.num_rows, bool)
        for values in status.values():
            failed |= values == ERROR
            # a stage that has not come to a row yet says nothing at all
            outcome[(outcome == KEPT) & np.equal(values, None)] = PENDING
        outcome[failed & np.isin(outcome, (KEPT, PENDING))] = FAILED
        return outcome, decider

    def finish(
        self, sources: np.ndarray, values: Mapping[str, np.ndarray], units: Mapping[str, str]
    ) -> tuple[SourceLine, ...]:
        """The lines, by name of the source.

        Args:
            sources: source of every live row, object [rows].
            values: qualified column -> its values, float [rows].
            units: qualified column -> unit.
        """
        chosen = [c for c in _median_columns(values) if np.isfinite(values[c]).any()]
        signals = {c.removeprefix("profile."): (values[c], units.get(c, "")) for c in chosen}
        if _WIDTH in values and _HEIGHT in values:
            short = np.minimum(values[_WIDTH], values[_HEIGHT])
            signals = {"short_side_px": (short, "px"), **signals}
        lines = []
        for name in sorted(self._outcomes):
            mine = sources == name
            count = self._outcomes[name]
            declared, of = self._declarations[name]
            lines.append(
                SourceLine(
                    source=name,
                    rows=count.total(),
                    kept=count[KEPT],
                    errors=count[FAILED],
                    dropped=count[DROPPED],
                    duplicates=count[DUPLICATE] if GROUPS in self._decisions else None,
                    sampled_out=count[SAMPLED_OUT] if SAMPLING in self._decisions else None,
                    pending=count[PENDING],
                    reasons=tuple(self._dropped_by[name].most_common()),
                    ai_declared=declared / of if of else None,
                    medians=tuple(Median(s, _median(v[mine]), unit) for s, (v, unit) in signals.items()),
                )
            )
        return tuple(lines)


def _declares(view: View) -> bool:
    return view.plan.path("metadata") is not None and "ai_declared" in view.schema("metadata").names


def _median_columns(values: Mapping[str, np.ndarray]) -> list[str]:
    """Quality and scores where they are; else what the profile says of sharpness, noise and detail."""
    found = [c for c in values if c.startswith(("quality.", "scores."))]
    plain = ("profile.sharpness", "profile.noise_sigma", "profile.reencode_bpp")
    return found or [c for c in plain if c in values]


def _median(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None
