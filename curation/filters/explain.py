"""Why one row was kept or dropped: every rule with the values it saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from .expression import as_array, comparison_of, evaluate, is_numeric
from .rules import RuleSet
from .syntax import Node, Operation, unparse


@dataclass(frozen=True)
class Check:
    """One numeric comparison inside a condition: `value op threshold`; `value` None when null."""

    text: str
    value: float | None
    op: str
    threshold: float
    holds: bool | None


@dataclass(frozen=True)
class Explanation:
    """One rule on one row.

    Attributes:
        condition: canonical text, as it applies to the row's source; "" when off for it.
        verdict: "drop" (true), "keep" (false), "unknown" (an input is null: not dropped), or "off".
        values: column -> value read.
        checks: the numeric comparisons in the condition, left to right.
    """

    rule: str
    reason: str
    condition: str
    verdict: str
    values: Mapping[str, Any]
    checks: tuple[Check, ...]


def explain(row: Mapping[str, Any], rules: RuleSet, schema: pa.Schema) -> list[Explanation]:
    """Explain every rule for one row.

    Args:
        row: column name (as in `rules.columns`) -> value; a missing column counts as null.
        schema: types of those columns.
    """
    types = {n: schema.field(n).type for n in rules.columns}
    table = pa.table({n: pa.array([row.get(n)], type=t) for n, t in types.items()})
    source = row.get(rules.source_column)
    out = []
    for rule in rules.rules:
        condition = rules.condition(rule, source)
        if condition is None:
            out.append(Explanation(rule.name, rule.reason, "", "off", {}, ()))
            continue
        fired = condition.evaluate(table)[0].as_py()
        verdict = {True: "drop", False: "keep", None: "unknown"}[fired]
        values = {c: row.get(c) for c in condition.columns}
        checks = tuple(_checks(condition.node, table))
        out.append(Explanation(rule.name, rule.reason, condition.text, verdict, values, checks))
    return out


def _checks(node: Node, table: pa.Table) -> list[Check]:
    comparison = comparison_of(node)
    if comparison is not None:
        if not is_numeric(comparison, table):
            return []
        value = as_array(evaluate(comparison.value, table), 1, pa.float64())
        holds = as_array(evaluate(node, table), 1, pa.bool_())[0].as_py()
        return [Check(unparse(node), value[0].as_py(), comparison.op, comparison.threshold, holds)]
    if isinstance(node, Operation) and node.op in ("and", "or", "not"):
        return [c for a in node.args for c in _checks(a, table)]
    return []
