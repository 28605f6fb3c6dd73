"""A checked expression: bound to a schema, evaluated over Arrow tables with compute kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .check import BOOL, bind
from .syntax import Column, Literal, Node, Operation, parse, problem, unparse

_COMPARE = {
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
    "==": pc.equal,
    "!=": pc.not_equal,
}
_ARITHMETIC = {"+": pc.add, "-": pc.subtract, "*": pc.multiply, "/": pc.divide}


@dataclass(frozen=True)
class Comparison:
    """One comparison of a number with a constant: `value op threshold`.

    `value op threshold` with a non-constant right side is `left - right op 0`.
    """

    value: Node
    op: str
    threshold: float


@dataclass(frozen=True)
class Expression:
    """A boolean expression over the columns of one schema.

    Attributes:
        text: canonical text with qualified names; equal texts are equal expressions.
        columns: the schema names it reads, sorted.
    """

    text: str
    node: Node
    columns: tuple[str, ...]

    def evaluate(self, table: pa.Table) -> pa.BooleanArray:
        """True, false or null per row of a table that has `columns`."""
        return as_array(evaluate(self.node, table), table.num_rows, pa.bool_())

    def comparison(self) -> Comparison | None:
        """The single numeric comparison this expression is, or None."""
        return comparison_of(self.node)

    def conjuncts(self) -> tuple[Expression, ...]:
        """The conditions that `and` joins at the top, left to right; the expression itself without one."""
        todo, found = [self.node], []
        while todo:
            node = todo.pop(0)
            if isinstance(node, Operation) and node.op == "and":
                todo = [*node.args, *todo]
            else:
                found.append(Expression(unparse(node), node, tuple(sorted(column_names(node)))))
        return tuple(found)


def compile_expression(text: str, schema: pa.Schema) -> Expression:
    """Parse and type-check a boolean expression against a schema (names qualified or bare).

    Raises:
        ConfigError: with position, caret line and suggestion.
    """
    tree = parse(text)
    node, kind = bind(tree, schema, text)
    if kind != BOOL:
        raise problem(
            text, tree.at, tree.end, f"a rule is a condition, this is a {kind}; compare it with something"
        )
    columns = tuple(sorted(column_names(node)))
    if not columns:
        raise problem(text, tree.at, tree.end, "the condition reads no column: it is the same for every row")
    return Expression(unparse(node), node, columns)


def columns_of(expression: Expression | str, schema: pa.Schema | None = None) -> tuple[str, ...]:
    """Columns an expression reads: schema names for a compiled one, or for text with a schema.

    For text without a schema, the names as written (derived names included).
    """
    if isinstance(expression, Expression):
        return expression.columns
    if schema is not None:
        return compile_expression(expression, schema).columns
    return tuple(sorted(column_names(parse(expression))))


def column_names(node: Node) -> set[str]:
    if isinstance(node, Column):
        return {node.name}
    if isinstance(node, Operation):
        return set().union(*(column_names(a) for a in node.args))
    return set()


def comparison_of(node: Node) -> Comparison | None:
    if not isinstance(node, Operation) or node.op not in _COMPARE:
        return None
    left, right = node.args
    sides = (constant(left), constant(right))
    if any(isinstance(s, str | bool) for s in sides):
        return None
    if sides[1] is not None:
        return Comparison(left, node.op, sides[1])
    if sides[0] is not None:
        flipped = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
        return Comparison(right, flipped.get(node.op, node.op), sides[0])
    return Comparison(Operation("-", (left, right), node.at, node.end), node.op, 0.0)


def is_numeric(comparison: Comparison, table: pa.Table) -> bool:
    """Does a comparison compare numbers? Two string columns compared have no threshold."""
    node = comparison.value
    left = node.args[0] if isinstance(node, Operation) and node.op == "-" else node
    return pa.types.is_floating(evaluate(left, table.slice(0, 0)).type)


def constant(node: Node) -> float | str | bool | None:
    """The value of a tree without columns; None when it has columns (or is null, e.g. 1 / 0)."""
    if isinstance(node, Literal):
        return node.value
    if column_names(node):
        return None
    value = evaluate(node, None)
    return value.as_py() if isinstance(value, pa.Scalar) else None


def as_array(value: pa.Array | pa.ChunkedArray | pa.Scalar, length: int, type_: pa.DataType) -> pa.Array:
    """Kernels give arrays, chunked arrays or scalars: one plain array of `length`."""
    if isinstance(value, pa.Scalar):
        return pa.array([value.as_py()] * length, type=type_)
    if isinstance(value, pa.ChunkedArray):
        value = pa.concat_arrays(value.chunks) if value.num_chunks else pa.array([], type=value.type)
    return value


def _finite(value):
    """Not a number and infinities (division by zero) are null: they say nothing about a row."""
    return pc.if_else(pc.is_finite(value), value, pa.scalar(None, pa.float64()))


def evaluate(node: Node, table: pa.Table | None) -> pa.Array | pa.ChunkedArray | pa.Scalar:
    """Evaluate a bound tree. Numbers are float64, so integers are exact up to 2**53."""
    if isinstance(node, Literal):
        is_number = isinstance(node.value, float)
        return pa.scalar(node.value, type=pa.float64()) if is_number else pa.scalar(node.value)
    if isinstance(node, Column):
        assert table is not None
        column = table.column(node.name)
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            return _finite(pc.cast(column, pa.float64(), safe=False))
        return column
    op = node.op
    if op in ("in", "not in"):
        return _membership(node, table)
    if op in ("within", "not within"):
        return _within(node, table)
    args = [evaluate(a, table) for a in node.args]
    if op in _COMPARE:
        return _COMPARE[op](*args)
    if op in _ARITHMETIC:
        return _finite(_ARITHMETIC[op](*args))
    if op == "and":
        return pc.and_kleene(*args)
    if op == "or":
        return pc.or_kleene(*args)
    if op == "not":
        return pc.invert(args[0])
    if op == "is null":
        return pc.is_null(args[0])
    if op == "is not null":
        return pc.is_valid(args[0])
    if op == "min":
        return pc.min_element_wise(*args, skip_nulls=False)
    if op == "max":
        return pc.max_element_wise(*args, skip_nulls=False)
    if op == "count":
        return pc.cast(pc.list_value_length(args[0]), pa.float64())
    if op == "lower":
        return _lower(args[0])
    return {"neg": pc.negate, "abs": pc.abs}[op](args[0])


def _lower(value: pa.Array | pa.ChunkedArray | pa.Scalar) -> pa.Array | pa.ChunkedArray | pa.Scalar:
    """Lower case (Unicode), of a string or of every string of a list."""
    if not pa.types.is_list(value.type):
        return pc.utf8_lower(value)
    lists = as_array(value, len(value), value.type)
    # flatten() leaves out what stands behind nulls and outside a slice, so offsets are counted anew
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, pc.utf8_lower(lists.flatten()), mask=pc.is_null(lists))


def _membership(node: Operation, table: pa.Table | None) -> pa.Array | pa.ChunkedArray | pa.Scalar:
    value = evaluate(node.args[0], table)
    options = pa.array([a.value for a in node.args[1:] if isinstance(a, Literal)])
    if pa.types.is_large_string(value.type):
        value = value.cast(pa.string())
    elif pa.types.is_floating(value.type):
        value = pc.add(value, 0.0)  # 0 for -0, which `is_in` tells apart
    found = pc.is_in(value, value_set=options)
    found = pc.if_else(pc.is_valid(value), found, pa.scalar(None, pa.bool_()))
    return pc.invert(found) if node.op == "not in" else found


def _within(node: Operation, table: pa.Table | None) -> pa.Array | pa.ChunkedArray | pa.Scalar:
    """`"x" in COLUMN`: an element of a list, or a part of a string. Nulls inside a list are no elements."""
    wanted, container = node.args
    assert isinstance(wanted, Literal)
    value = evaluate(container, table)
    if pa.types.is_list(value.type):
        lists = as_array(value, len(value), value.type)
        equal = pc.fill_null(pc.equal(lists.flatten(), pa.scalar(wanted.value, pa.string())), False)
        # not `list_parent_indices`, which counts elements that may lie behind a null, where `flatten` does not
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        hit = np.zeros(len(lists), bool)
        hit[np.repeat(np.arange(len(lists)), lengths)[equal.to_numpy(zero_copy_only=False)]] = True
        found = pc.if_else(pc.is_valid(lists), pa.array(hit), pa.scalar(None, pa.bool_()))
    else:
        found = pc.match_substring(value, str(wanted.value))
    return pc.invert(found) if node.op == "not within" else found
