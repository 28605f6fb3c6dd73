"""Binding a syntax tree to a schema: column names, derived names, and types, before any data is seen."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import pyarrow as pa

from ..errors import ConfigError
from .syntax import COMPARISONS, Column, Literal, Node, Operation, parse, problem

#: Names that stand for an expression. Sides are as displayed, in pixels.
DERIVED: dict[str, str] = {
    "aspect": "max(width_px, height_px) / min(width_px, height_px)",
    "long_side_px": "max(width_px, height_px)",
    "pixels": "width_px * height_px",
    "short_side_px": "min(width_px, height_px)",
}
NUMBER, STRING, BOOL, LIST, OTHER = "number", "string", "boolean", "list", "other"


def kind_of(type_: pa.DataType) -> str:
    """number | string | boolean | list (of strings) | other: what expressions can do with a column of this type."""
    if pa.types.is_boolean(type_):
        return BOOL
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return NUMBER
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return STRING
    if pa.types.is_list(type_) and pa.types.is_string(type_.value_type):
        return LIST
    return OTHER


def resolve(name: str, names: Iterable[str]) -> list[str]:
    """Schema names that `name` can mean: itself, or `GROUP.name` for a bare one."""
    names = list(names)
    if name in names:
        return [name]
    return [n for n in names if n.rpartition(".")[2] == name]


def bind(node: Node, schema: pa.Schema, text: str) -> tuple[Node, str]:
    """Replace names by schema names and check types.

    Returns:
        The tree over schema names, and its kind (see `kind_of`).

    Raises:
        ConfigError: unknown or ambiguous column, or an operation between kinds that have none.
    """
    if isinstance(node, Literal):
        if isinstance(node.value, bool):
            return node, BOOL
        return node, STRING if isinstance(node.value, str) else NUMBER
    if isinstance(node, Column):
        return _bind_column(node, schema, text)
    if node.op in ("within", "not within"):
        _check_item(node.args[0], text)  # first: `cat in tags` lacks quotes, whatever columns there are
    args, kinds = [], []
    for a in node.args:
        bound, kind = bind(a, schema, text)
        args.append(bound)
        kinds.append(kind)
    bound = Operation(node.op, tuple(args), node.at, node.end)
    return bound, _result_kind(node, kinds, text)


def _bind_column(node: Column, schema: pa.Schema, text: str) -> tuple[Node, str]:
    found = resolve(node.name, schema.names)
    if len(found) == 1:
        return Column(found[0], node.at, node.end), kind_of(schema.field(found[0]).type)
    if len(found) > 1:
        raise problem(
            text, node.at, node.end, f"column {node.name!r} is ambiguous: write one of {', '.join(found)}"
        )
    if node.name in DERIVED:
        try:
            return bind(_placed(parse(DERIVED[node.name]), node), schema, text)
        except ConfigError as e:
            raise problem(text, node.at, node.end, f"{node.name!r} needs width_px and height_px") from e
    known = sorted({*schema.names, *(n.rpartition(".")[2] for n in schema.names), *DERIVED})
    # a name with its group is a slip of another such name, before it is one of a bare name
    pools = [schema.names, known] if "." in node.name else [known]
    near = next((n for p in pools if (n := difflib.get_close_matches(node.name, p, n=1, cutoff=0.5))), [])
    bare = sorted({*(n.rpartition(".")[2] for n in schema.names), *DERIVED})
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(bare)}"
    raise problem(text, node.at, node.end, f"unknown column {node.name!r}; {hint}")


def _placed(node: Node, where: Column) -> Node:
    """The tree with the position of the name it stands for, so that errors point at that name."""
    if isinstance(node, Operation):
        args = tuple(_placed(a, where) for a in node.args)
        return Operation(node.op, args, where.at, where.end)
    if isinstance(node, Column):
        return Column(node.name, where.at, where.end)
    return Literal(node.value, where.at, where.end)


def _result_kind(node: Operation, kinds: list[str], text: str) -> str:
    def need(*wanted: str) -> None:
        for arg, found in zip(node.args, kinds, strict=True):
            if found not in wanted:
                message = f"{node.op!r} needs a {' or a '.join(wanted)} here, this is a {found}"
                raise problem(text, arg.at, arg.end, message)

    if node.op in ("and", "or", "not"):
        need(BOOL)
        return BOOL
    if node.op in ("is null", "is not null"):
        return BOOL
    if node.op in ("within", "not within"):
        _check_within(node, kinds, text)
        return BOOL
    if node.op in ("in", "not in") or node.op in COMPARISONS:
        _check_comparable(node, kinds, text)
        return BOOL
    if node.op == "count":
        need(LIST)
        return NUMBER
    if node.op == "lower":
        need(STRING, LIST)
        return kinds[0]
    need(NUMBER)
    return NUMBER


def _check_within(node: Operation, kinds: list[str], text: str) -> None:
    container = node.args[1]
    if kinds[1] not in (LIST, STRING):
        message = f"`in` looks into a list of strings or a string, this is a {kinds[1]}"
        raise problem(text, container.at, container.end, message)


def _check_item(item: Node, text: str) -> None:
    if not isinstance(item, Literal) or not isinstance(item.value, str):
        raise problem(
            text, item.at, item.end, 'what `in` looks for in a column is a string in quotes: "x" in COLUMN'
        )


def _check_comparable(node: Operation, kinds: list[str], text: str) -> None:
    first, place = kinds[0], node.args[0]
    if first == OTHER:
        raise problem(text, place.at, place.end, "this column can only be tested with `is null`")
    for arg, kind in zip(node.args, kinds, strict=True):
        if kind == LIST:
            raise problem(
                text, arg.at, arg.end, 'a list is not compared; write "x" in COLUMN, or count(COLUMN) > 0'
            )
    for arg, kind in zip(node.args[1:], kinds[1:], strict=True):
        if kind != first:
            raise problem(text, arg.at, arg.end, f"a {first} cannot be compared with a {kind}")
    if first != NUMBER and node.op in ("<", "<=", ">", ">="):
        raise problem(text, node.at, node.end, f"{node.op!r} compares numbers; for a {first} use == or !=")
