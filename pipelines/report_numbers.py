"""The numbers of the report: one pass over all rows, then histograms, borderline samples and sources."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from .report.data import Borderline, Histogram, RuleSamples, Sample, SourceLine, histogram_of
from .report_rules import RuleSignal, RuleSignals
from .report_sources import KEPT, SourceTally
from .view import View

#: Signals of the profile that are drawn even when no rule uses them.
_PROFILE_SIGNALS = (
    *("width_px", "height_px", "compression_ratio", "jpeg_quality", "blockiness", "border_variance"),
    *("reencode_bpp", "entropy_bits", "sharpness", "noise_sigma", "color_cast"),
    *("dark_share", "bright_share", "dominant_color_share", "grid_evidence"),
)
#: Groups of which every number is drawn.
_SCORE_GROUPS = ("quality", "scores")


@dataclass
class Numbers:
    """A float per live row and signal, and what is counted on the way.

    Attributes:
        ids, sources, selected: of the live rows; selected: kept by every decision, without an error.
        values: qualified column -> float32 [rows], NaN where null.
        duplicate_groups: of more than one member; None where none were looked for.
    """

    view: View
    columns: list[str]
    ids: list[bytes] = field(default_factory=list)
    sources: np.ndarray = field(default_factory=lambda: np.zeros(0, object))
    selected: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    values: dict[str, np.ndarray] = field(default_factory=dict)
    signals: list[RuleSignal] = field(default_factory=list)
    source_lines: tuple[SourceLine, ...] = ()
    duplicate_groups: int | None = None

    def spread(self, n: int) -> list[bytes]:
        """Ids of selected rows, evenly over the dataset."""
        at = np.flatnonzero(self.selected)
        if not len(at):
            return []
        return [self.ids[i] for i in at[np.linspace(0, len(at) - 1, min(n, len(at)), dtype=int)]]

    def near(self, most: int) -> set[bytes]:
        """Ids of the rows that `rule_samples` shows."""
        rows = [s.nearest(dropped, most) for s in self.signals for dropped in (True, False)]
        return {self.ids[i] for found in rows for i in found}

    @cached_property
    def fields(self) -> dict[str, tuple[str, str]]:
        """Qualified column -> (unit, meaning)."""
        return {c: _unit_and_meaning(self.view, c) for c in self.columns}

    def histograms(self) -> list[Histogram]:
        """Signals that have values, then what rules compare that is no bare column.

        `dropped` counts what rules really drop.
        """
        compared = [s for s in self.signals if s.threshold is not None]
        shown = []
        for column in [*self.columns, *dict.fromkeys(s.label for s in compared if s.column is None)]:
            mine = [s for s in compared if column == (s.label if s.column is None else s.column)]
            values = self.values[column] if column in self.values else mine[0].values
            if not mine and not np.isfinite(values).any():
                continue  # e.g. a score whose model is not configured
            unit, meaning = self.fields.get(column, ("", "computed in a rule"))
            shown.append(
                histogram_of(
                    column.removeprefix("profile."),
                    values,
                    unit=unit,
                    meaning=meaning,
                    thresholds=tuple(dict.fromkeys(s.threshold for s in mine if s.threshold)),
                    dropped=int(np.logical_or.reduce([s.fires for s in mine]).sum()) if mine else None,
                )
            )
        return shown

    def rule_samples(self, samples: dict[bytes, Sample], most: int) -> list[RuleSamples]:
        """Both sides of every threshold, and what conditions without one drop."""
        shown = []
        for s in self.signals:
            sides = []
            for dropped in (True, False):
                found = [(self.ids[i], float(s.values[i])) for i in s.nearest(dropped, most)]
                sides.append(
                    tuple(
                        Borderline(samples[i], None if np.isnan(v) else v) for i, v in found if i in samples
                    )
                )
            threshold = s.threshold.value if s.threshold else None
            unit = self.fields.get(s.column or "", ("", ""))[0]
            shown.append(RuleSamples(s.title, s.label, threshold, *sides, int(s.fires.sum()), unit))
        return shown


def gather(view: View) -> Numbers:
    """One pass over all rows of a dataset."""
    rules, tally = RuleSignals(view), SourceTally(view)
    numbers = Numbers(view, _columns(view, rules.signals))
    grouped = ["groups.group_id"] if view.has("groups") else []
    wanted = list(dict.fromkeys([*tally.columns, *grouped, *numbers.columns, *rules.columns]))
    sizes: Counter[bytes] = Counter()
    values: dict[str, list[np.ndarray]] = defaultdict(list)
    sources: list[str] = []
    outcomes = [np.zeros(0, int)]
    for _, table in view.tables(wanted):
        for column in grouped:
            sizes.update(g for g in table.column(column).to_pylist() if g is not None)
        part = table.take(np.flatnonzero(table.column("live").to_numpy()))
        rules.add(part)
        outcomes.append(tally.add(part))
        numbers.ids += part.column("sample_id").to_pylist()
        sources += [s or "" for s in part.column("samples.source").to_pylist()]
        for c in numbers.columns:
            values[c].append(part.column(c).cast(pa.float32(), safe=False).to_numpy())
    numbers.values = {c: np.concatenate(v) for c, v in values.items()}
    numbers.signals = rules.finish()
    numbers.sources = np.array(sources, dtype=object)
    numbers.selected = np.concatenate(outcomes) == KEPT
    units = {c: unit for c, (unit, _) in numbers.fields.items()}
    numbers.source_lines = tally.finish(numbers.sources, numbers.values, units)
    numbers.duplicate_groups = sum(n > 1 for n in sizes.values()) if grouped else None
    return numbers


def _columns(view: View, signals: list[RuleSignal]) -> list[str]:
    """Qualified columns to draw: the profile's, quality and scores, and what rules compare."""
    columns = [f"profile.{c}" for c in _PROFILE_SIGNALS]
    for group in _SCORE_GROUPS:
        if view.plan.path(group):
            columns += [f"{group}.{c}" for c in view.schema(group).names]
    columns += [s.column for s in signals if s.column]
    return [c for c in dict.fromkeys(columns) if _is_number(view, c)]


def _is_number(view: View, column: str) -> bool:
    group, _, name = column.rpartition(".")
    if not view.plan.path(group) or name not in view.schema(group).names:
        return False
    t = view.schema(group).field(name).type
    return pa.types.is_integer(t) or pa.types.is_floating(t)


def _unit_and_meaning(view: View, column: str) -> tuple[str, str]:
    group, _, name = column.rpartition(".")
    metadata = view.schema(group).field(name).metadata or {}
    return metadata.get(b"unit", b"").decode(), metadata.get(b"meaning", b"").decode()
