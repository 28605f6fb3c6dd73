"""The numeric comparisons in a recipe's rules, evaluated for the report: what fires, and what is near."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from zcurate.curation.filters import parse_rules
from zcurate.curation.filters.expression import Comparison, Expression, as_array, evaluate
from zcurate.curation.filters.syntax import Column, unparse

from .report.data import Threshold
from .stages.filter import Config, filter_schema
from .view import View


@dataclass
class RuleSignal:
    """One comparison `value op number` of one rule, over all rows of a dataset.

    Attributes:
        label: what is compared: a column's bare name, or an expression.
        column: its qualified name when it is a bare column.
        values: what is compared, float64 [rows], NaN where null.
        fires: bool [rows]: the whole rule drops the row.
        others: bool [rows]: every other condition of the rule holds, so this one decides.
    """

    rule: str
    text: str
    label: str
    column: str | None
    threshold: Threshold
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))
    fires: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    others: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def nearest(self, dropped: bool, most: int) -> np.ndarray:
        """Rows closest to the threshold that this comparison drops, or that it alone saves."""
        mask = self.fires if dropped else self.others & ~self.fires
        at = np.flatnonzero(mask & np.isfinite(self.values))
        return at[np.argsort(np.abs(self.values[at] - self.threshold.value), kind="stable")[:most]]


class RuleSignals:
    """Gathers the rule signals of a recipe, shard by shard."""

    def __init__(self, view: View):
        settings = view.recipe.stages.get("filter")
        config = Config.model_validate(settings or {})
        rules = parse_rules(config.rules, filter_schema(), config.sources).rules if settings else ()
        self._parts: list[tuple[RuleSignal, Expression, Expression, Comparison, list]] = []
        for rule in rules:
            conditions = rule.drop_if.conjuncts()
            for condition in conditions:
                comparison = condition.comparison()
                if comparison is None or comparison.op not in ("<", "<=", ">", ">="):
                    continue
                side = "below" if comparison.op in ("<", "<=") else "above"
                value = comparison.value
                column = value.name if isinstance(value, Column) else None
                signal = RuleSignal(
                    rule=rule.name,
                    text=_short(rule.drop_if.text),
                    label=_short(unparse(value)),
                    column=column,
                    threshold=Threshold(comparison.threshold, side, alone=len(conditions) == 1),
                )
                self._parts.append((signal, rule.drop_if, condition, comparison, []))

    @property
    def signals(self) -> list[RuleSignal]:
        """In the order of the rules; their arrays are empty until `finish`."""
        return [signal for signal, *_ in self._parts]

    @property
    def columns(self) -> list[str]:
        """Qualified columns that `add` needs."""
        return sorted({c for _, rule, *_ in self._parts for c in rule.columns})

    def add(self, table: pa.Table) -> None:
        """Evaluate on the next rows."""
        for _, rule, condition, comparison, parts in self._parts:
            value = as_array(evaluate(comparison.value, table), table.num_rows, pa.float64())
            others = np.ones(table.num_rows, bool)
            for c in rule.conjuncts():
                if c.text != condition.text:
                    others &= _true(c, table)
            values = value.cast(pa.float64()).to_numpy(zero_copy_only=False)
            parts.append((values, _true(rule, table), others))

    def finish(self) -> list[RuleSignal]:
        """All of them, in the order of the rules."""
        for signal, *_, parts in self._parts:
            if parts:
                columns = zip(*parts, strict=True)
                signal.values, signal.fires, signal.others = (np.concatenate(c) for c in columns)
        return self.signals


def _true(expression: Expression, table: pa.Table) -> np.ndarray:
    return expression.evaluate(table).fill_null(False).to_numpy(zero_copy_only=False).astype(bool)


def _short(text: str) -> str:
    """Without the group names: on the page every signal is of the profile."""
    return text.replace("profile.", "").replace("samples.", "")
