"""Every column a rule can read, with its kind, unit and meaning: what `zcurate columns` prints."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from zcurate.curation.filters import DERIVED, kind_of
from zcurate.curation.store import SAMPLES
from zcurate.curation.store.samples import SCHEMA

from .stages.filter import filter_schema
from .stages.filter_scores import scores_schema
from .stages.filter_tags import tags_schema
from .view import open_view


@dataclass(frozen=True)
class RuleColumn:
    """One column.

    Attributes:
        column: its qualified name.
        kind: see `filters.kind_of`; `other` can only be compared with null.
        stages: under which stages of a recipe rules may read it; none: `zcurate whatif`, `search --where` and
            `prune --where` alone may.
    """

    column: str
    kind: str
    unit: str
    meaning: str
    stages: tuple[str, ...]


def rule_columns(url: str | None = None) -> list[RuleColumn]:
    """Columns that rules of a recipe may read; with a dataset also those of every other group it has.

    Raises:
        DatasetError: there is no such dataset.
    """
    stages = {
        "filter": filter_schema(),
        "filter_scores": scores_schema(),
        "filter_tags": tags_schema(with_scores=True),
    }
    fields: dict[str, pa.Field] = {f.name: f for schema in stages.values() for f in schema}
    if url is not None:
        view = open_view(url)
        # Names with a slash, as of decisions, are quotients in an expression.
        for group in (g for g in view.plan.paths if "/" not in g):
            fields |= {f"{group}.{f.name}": f for f in view.schema(group)}
    named = [
        _described(name, f, tuple(s for s, schema in stages.items() if name in schema.names))
        for name, f in fields.items()
    ]
    computed = [RuleColumn(n, "number", "", expression, tuple(stages)) for n, expression in DERIVED.items()]
    return [*named, *computed]


def _described(name: str, field: pa.Field, stages: tuple[str, ...]) -> RuleColumn:
    group, _, column = name.rpartition(".")
    about = (SCHEMA.field(column) if group == SAMPLES else field).metadata or {}
    unit, meaning = (about.get(k, b"").decode() for k in (b"unit", b"meaning"))
    return RuleColumn(name, kind_of(field.type), unit, meaning, stages)


def show_columns(columns: list[RuleColumn]) -> None:
    """For people: a section per group, names as a rule may write them."""
    bare = [c.column.rpartition(".")[2] for c in columns if c.stages]
    last = None
    for c in columns:
        group, _, name = c.column.rpartition(".")
        if group != last:
            last = group
            where = ", ".join(c.stages) or "whatif, search --where and prune --where"
            print(f"\n{group or 'computed'}  (for {where})")
        written = name if c.stages and bare.count(name) == 1 else c.column
        unit = f" [{c.unit}]" if c.unit else ""
        print(f"  {written:<28} {c.kind:<8} {c.meaning}{unit}")
