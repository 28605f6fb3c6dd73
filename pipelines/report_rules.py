"""The conditions of a recipe's rules, evaluated for the report: what fires, and what is near."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from zcurate.curation.filters import Rule, RuleSet
from zcurate.curation.filters.expression import Comparison, Expression, as_array, evaluate
from zcurate.curation.filters.syntax import Column, Node, Operation, unparse

from .decisions import rule_sets
from .report.data import Threshold
from .statuses import all_ok, statuses_of
from .view import View


@dataclass
class RuleSignal:
    """One comparison `value op number` of one rule, over all rows of a dataset; or a whole condition without one.

    Attributes:
        label: what is compared: a column's bare name, or an expression; "" without a comparison.
        column: its qualified name when it is a bare column.
        threshold: None for a condition that compares no number.
        source: glob of the sources whose own condition this is; None for the rule's.
        values: what is compared, float64 [rows], NaN where null.
        fires: bool [rows]: the whole condition drops the row.
        others: bool [rows]: every other part of the condition holds, so this one decides.
    """

    rule: str
    text: str
    label: str = ""
    column: str | None = None
    threshold: Threshold | None = None
    source: str | None = None
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))
    fires: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    others: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    @property
    def title(self) -> str:
        """The rule as a heading."""
        return (
            f"{self.rule}: {self.text}"
            if self.source is None
            else f"{self.rule} ({self.source}): {self.text}"
        )

    def nearest(self, dropped: bool, most: int) -> np.ndarray:
        """Rows closest to the threshold that this comparison drops, or that it alone saves.

        Without a threshold: rows spread over those that the condition drops.
        """
        if self.threshold is None:
            at = np.flatnonzero(self.fires) if dropped else np.zeros(0, int)
            return at[np.linspace(0, len(at) - 1, min(most, len(at)), dtype=int)] if len(at) else at
        mask = self.fires if dropped else self.others & ~self.fires
        at = np.flatnonzero(mask & np.isfinite(self.values))
        return at[np.argsort(np.abs(self.values[at] - self.threshold.value), kind="stable")[:most]]


@dataclass
class _Part:
    """A signal while it is gathered: where it comes from, and its arrays so far."""

    signal: RuleSignal
    rules: RuleSet
    rule: Rule
    whole: Expression
    part: Expression
    comparison: Comparison | None
    arrays: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def add(self, table: pa.Table, sources: np.ndarray) -> None:
        names = set(sources.tolist())
        mine = [n for n in names if self.rules.choice(self.rule, n)[1] == self.signal.source]
        inside = np.isin(sources, mine) & all_ok(table, self.whole.columns)
        others = inside.copy()
        for c in self.whole.conjuncts():
            if c.text != self.part.text:
                others &= _true(c, table)
        if self.comparison is None:
            values = np.full(table.num_rows, np.nan)
        else:
            found = as_array(evaluate(self.comparison.value, table), table.num_rows, pa.float64())
            values = found.cast(pa.float64()).to_numpy(zero_copy_only=False)
        self.arrays.append((values, inside & _true(self.whole, table), others))


class RuleSignals:
    """Gathers the rule signals of a recipe, shard by shard."""

    def __init__(self, view: View):
        self._parts = [
            part
            for rules, _ in rule_sets(view.recipe).values()
            for rule in rules.rules
            for whole, source in _conditions(rules, rule)
            for part in _parts(rules, rule, whole, source)
        ]

    @property
    def signals(self) -> list[RuleSignal]:
        """In the order of the rules; their arrays are empty until `finish`."""
        return [p.signal for p in self._parts]

    @property
    def columns(self) -> list[str]:
        """Qualified columns that `add` needs."""
        read = {c for p in self._parts for c in (*p.whole.columns, p.rules.source_column)}
        return sorted({*read, *statuses_of(read)})

    def add(self, table: pa.Table) -> None:
        """Evaluate on the next rows."""
        for p in self._parts:
            sources = [s or "" for s in table.column(p.rules.source_column).to_pylist()]
            p.add(table, np.array(sources, dtype=object))

    def finish(self) -> list[RuleSignal]:
        """All of them, in the order of the rules."""
        for p in self._parts:
            if p.arrays:
                columns = zip(*p.arrays, strict=True)
                p.signal.values, p.signal.fires, p.signal.others = (np.concatenate(c) for c in columns)
        return self.signals


def _conditions(rules: RuleSet, rule: Rule) -> Iterator[tuple[Expression, str | None]]:
    """(condition, glob) of every condition that a rule has somewhere."""
    if rule.drop_if is not None:
        yield rule.drop_if, None
    for glob, changes in rules.overrides:
        found = changes.get(rule.name)
        if found is not None:
            yield found, glob


def _parts(rules: RuleSet, rule: Rule, whole: Expression, source: str | None) -> list[_Part]:
    """The comparisons with a threshold in a condition; where it has none, the condition itself."""
    conditions = whole.conjuncts()
    found = []
    for condition in conditions:
        comparison = condition.comparison()
        if comparison is None or comparison.op not in ("<", "<=", ">", ">="):
            continue
        side = "below" if comparison.op in ("<", "<=") else "above"
        value = comparison.value
        signal = RuleSignal(
            rule=rule.name,
            text=_short(whole.node),
            label=_short(value),
            column=value.name if isinstance(value, Column) else None,
            threshold=Threshold(comparison.threshold, side, source, alone=len(conditions) == 1),
            source=source,
        )
        found.append(_Part(signal, rules, rule, whole, condition, comparison))
    if not found:
        signal = RuleSignal(rule.name, _short(whole.node), source=source)
        found.append(_Part(signal, rules, rule, whole, whole, None))
    return found


def _true(expression: Expression, table: pa.Table) -> np.ndarray:
    return expression.evaluate(table).fill_null(False).to_numpy(zero_copy_only=False).astype(bool)


def _short(node: Node) -> str:
    """A condition without the group names that go without saying on the page."""

    def bare(node: Node) -> Node:
        if isinstance(node, Column):
            return replace(node, name=node.name.removeprefix("profile.").removeprefix("samples."))
        return replace(node, args=tuple(map(bare, node.args))) if isinstance(node, Operation) else node

    return unparse(bare(node))
