"""Rules: named conditions that drop a row, per-source changes to them, and rules of single sources."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import ConfigError
from .check import resolve
from .expression import Expression, as_array, compile_expression

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Rule:
    """A row is dropped where `drop_if` is true; `name` is stored as the reason.

    Attributes:
        drop_if: None for a rule that only some sources have.
        reason: text for people; does not change decisions.
    """

    name: str
    drop_if: Expression | None
    reason: str = ""


@dataclass(frozen=True)
class RuleSet:
    """Rules and their overrides.

    Attributes:
        rules: in the order of the recipe, which is the order of reasons; rules of single sources last.
        overrides: (glob on the source name, rule name -> replacement condition, or None for off),
            in the order of the recipe. Where several globs match a source, the last one decides.
        source_column: name of the column holding the source.
    """

    rules: tuple[Rule, ...]
    overrides: tuple[tuple[str, Mapping[str, Expression | None]], ...] = ()
    source_column: str = "samples.source"

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column read, the source included, sorted."""
        expressions = [r.drop_if for r in self.rules]
        expressions += [e for _, changes in self.overrides for e in changes.values()]
        read = (c for e in expressions if e is not None for c in e.columns)
        return tuple(sorted({self.source_column, *read}))

    def config(self) -> dict[str, Any]:
        """JSON-able normal form: two spellings of one set of rules give the same value.

        Lists keep the order, which decides between overrides.
        """
        overrides = [
            [glob, [[n, _text(e)] for n, e in sorted(changes.items())]] for glob, changes in self.overrides
        ]
        return {"rules": [[r.name, _text(r.drop_if)] for r in self.rules], "sources": overrides}

    def condition(self, rule: Rule, source: str | None) -> Expression | None:
        """The condition of a rule for one source; None when the rule is off there, or is not of that source."""
        return self.choice(rule, source)[0]

    def choice(self, rule: Rule, source: str | None) -> tuple[Expression | None, str | None]:
        """(condition, glob it comes from) of a rule for one source; no glob: the rule's own condition."""
        chosen: tuple[Expression | None, str | None] = (rule.drop_if, None)
        for glob, changes in self.overrides:
            if rule.name in changes and fnmatchcase(source or "", glob):
                chosen = (changes[rule.name], glob)
        return chosen


def _text(expression: Expression | None) -> str | None:
    return expression.text if expression is not None else None


def parse_rules(
    rules: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    schema: pa.Schema,
    sources: Mapping[str, Mapping[str, Any]] | None = None,
) -> RuleSet:
    """Rules as written in a recipe, checked against a schema.

    Args:
        rules: name -> {drop_if, reason}, name -> condition text, or a list of {name, drop_if, reason}.
        schema: columns the rules may read, names qualified or bare; has `samples.source` or `source`.
        sources: glob on the source name -> rule name -> {drop_if}, condition text, or off (YAML reads
            a bare `off` as false; both are taken). A name that is not among `rules` makes a rule of
            these sources alone, and needs {drop_if, reason}: without a reason it is taken for a slip.

    Raises:
        ConfigError: naming the rule and the place in its condition.
    """
    listed = _as_list(rules)
    names = [n for n, _, _ in listed]
    if len(set(names)) != len(names):
        raise ConfigError(f"filter rule {max(names, key=names.count)!r} is given twice; rename one")
    parsed = tuple(Rule(n, _compile(f"rule {n!r}", d, schema), r) for n, d, r in listed)
    overrides, own = [], {}
    for glob, changes in (sources or {}).items():
        if not isinstance(changes, Mapping):
            raise ConfigError(f"sources.{glob}: expected RULE: {{drop_if: ...}} or RULE: off")
        chosen: dict[str, Expression | None] = {}
        for name, change in changes.items():
            where = f"sources.{glob}, rule {name!r}"
            off = change is False or change == "off"
            condition, reason = ("", "") if off else _drop_if(where, change)
            if name not in names:
                if not reason and name not in own:
                    raise _unknown_rule(f"sources.{glob}", str(name), names)
                own.setdefault(_checked_name(name), reason)
            chosen[name] = None if off else _compile(where, condition, schema)
        overrides.append((str(glob), chosen))
    parsed += tuple(Rule(name, None, reason) for name, reason in own.items())
    source = [n for n in ("samples.source", "source") if n in schema.names]
    if not source:
        raise ConfigError("the schema of the filter has no samples.source column")
    return RuleSet(parsed, tuple(overrides), source[0])


def _as_list(rules: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    if isinstance(rules, Mapping):
        pairs = list(rules.items())
    else:
        pairs = []
        for i, entry in enumerate(rules):
            if not isinstance(entry, Mapping) or "name" not in entry:
                raise ConfigError(f"rules[{i}]: expected {{name, drop_if}}")
            pairs.append((entry["name"], {k: v for k, v in entry.items() if k != "name"}))
    return [(_checked_name(n), *_drop_if(f"rule {n!r}", entry)) for n, entry in pairs]


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"rule name {name!r}: use letters, digits, '_', '-' and '.', at most 64")
    return name


def _unknown_rule(where: str, name: str, names: Sequence[str]) -> ConfigError:
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names) or 'none'}."
    return ConfigError(
        f"{where}: no rule named {name!r}; {hint} A rule of these sources alone needs a reason: "
        f"{name}: {{drop_if: CONDITION, reason: TEXT}}"
    )


def _drop_if(where: str, entry: Any) -> tuple[str, str]:
    if isinstance(entry, str):
        return entry, ""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("drop_if"), str):
        raise ConfigError(f"{where}: expected {{drop_if: CONDITION}}, for example drop_if: width_px < 256")
    extra = sorted(set(entry) - {"drop_if", "reason"}, key=str)
    if extra:
        raise ConfigError(f"{where}: unknown field {extra[0]!r}; there are drop_if and reason")
    return entry["drop_if"], str(entry.get("reason") or "")


def _compile(where: str, text: str, schema: pa.Schema) -> Expression:
    try:
        return compile_expression(text, schema)
    except ConfigError as e:
        raise ConfigError(f"{where}: {e}") from e


def decide(table: pa.Table, rules: RuleSet) -> pa.Table:
    """Which rows to keep, and why not.

    Args:
        table: has the columns of `rules.columns`.

    Returns:
        Table of the same length: keep bool, reasons list<string> (names of the rules that fired, in
        rule order; empty where kept).
    """
    sources = as_array(table.column(rules.source_column), table.num_rows, pa.string())
    names = pc.unique(sources).to_pylist() if rules.overrides else []
    fired = []
    for rule in rules.rules:
        by_condition: dict[Expression | None, list[str | None]] = {}
        for name in names:
            by_condition.setdefault(rules.condition(rule, name), []).append(name)
        if not by_condition:
            by_condition = {rule.drop_if: []}
        total = pa.array([False] * table.num_rows, pa.bool_())
        for condition, members in by_condition.items():
            if condition is None:
                continue
            hit = pc.fill_null(condition.evaluate(table), False)
            if len(by_condition) > 1:
                inside = pc.is_in(sources, value_set=pa.array(members, type=sources.type))
                hit = pc.and_(hit, inside)
            total = pc.or_(total, hit)
        fired.append(total.to_numpy(zero_copy_only=False))
    keep = [True] * table.num_rows
    reasons: list[list[str]] = [[] for _ in range(table.num_rows)]
    for rule, mask in zip(rules.rules, fired, strict=True):
        for i in mask.nonzero()[0]:
            keep[i] = False
            reasons[i].append(rule.name)
    schema = pa.schema([("keep", pa.bool_()), ("reasons", pa.list_(pa.string()))])
    return pa.table({"keep": keep, "reasons": reasons}, schema=schema)


def schema_column(name: str, schema: pa.Schema) -> str | None:
    """The schema name of a bare or qualified column, or None."""
    found = resolve(name, schema.names)
    return found[0] if found else None
