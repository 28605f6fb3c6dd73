"""Text to syntax tree: tokenizer and Pratt parser. Expressions are untrusted: size and depth are bounded."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..errors import ConfigError

MAX_CHARS = 2_000
MAX_DEPTH = 40
#: Function name -> fewest and most arguments; None for no limit.
FUNCTIONS: dict[str, tuple[int, int | None]] = {
    "abs": (1, 1),
    "count": (1, 1),
    "lower": (1, 1),
    "max": (2, None),
    "min": (2, None),
}
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
_KEYWORDS = {"and", "or", "not", "in", "is", "null", "true", "false"}
# Binding powers: a higher number binds tighter.
_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _UNARY = range(1, 8)
_INFIX = {"or": _OR, "and": _AND, "in": _COMPARE, "not": _COMPARE, "is": _COMPARE}
_INFIX |= dict.fromkeys(COMPARISONS, _COMPARE) | {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT}
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)"
    r"|(?P<string>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
    r"|(?P<symbol><=|>=|==|!=|[<>+\-*/(),])",
    re.ASCII,
)


@dataclass(frozen=True)
class Literal:
    value: float | str | bool
    at: int
    end: int


@dataclass(frozen=True)
class Column:
    name: str
    at: int
    end: int


@dataclass(frozen=True)
class Operation:
    """`op` is an operator, a function name, "neg", "not", "in", "not in", "is null", "is not null",
    "within" or "not within" (`"x" in COLUMN`; `in` alone is the one with a written list).
    """

    op: str
    args: tuple[Node, ...]
    at: int
    end: int


Node = Literal | Column | Operation


@dataclass(frozen=True)
class _Token:
    kind: str  # number | name | word | string | symbol | end
    text: str
    at: int
    end: int


def problem(text: str, at: int, end: int, message: str) -> ConfigError:
    """An error that shows the place: position (1-based), the expression, a line of carets."""
    line = re.sub(r"\s", " ", text)  # same length, so that carets line up
    left = max(0, at - 60)
    shown = line[left : left + 100]
    carets = " " * (at - left) + "^" * max(1, min(end, left + 100) - at)
    return ConfigError(f"{message} (at position {at + 1})\n  {shown}\n  {carets}")


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            hint = {"=": "use == to compare", "&": "use `and`", "|": "use `or`", "!": "use `not` or !="}
            if text[at] in "\"'":
                raise problem(text, at, len(text), "string without a closing quote")
            raise problem(text, at, at + 1, f"unexpected {text[at]!r}; {hint.get(text[at], 'remove it')}")
        kind = match.lastgroup or ""
        if kind == "name" and match.group() in _KEYWORDS:
            kind = "word"
        if kind != "space":
            tokens.append(_Token(kind, match.group(), at, match.end()))
        at = match.end()
    return [*tokens, _Token("end", "", len(text), len(text))]


class _Parser:
    def __init__(self, text: str):
        self.text = text
        self.tokens = _tokens(text)
        self.i = 0
        self.depth = 0

    @property
    def now(self) -> _Token:
        return self.tokens[self.i]

    def fail(self, token: _Token, message: str) -> ConfigError:
        return problem(self.text, token.at, token.end, message)

    def take(self, text: str) -> _Token:
        token = self.now
        if token.text != text or token.kind == "string":
            raise self.fail(token, f"expected {text!r}, found {token.text or 'the end of the expression'!r}")
        self.i += 1
        return token

    def accept(self, text: str) -> bool:
        found = self.now.text == text and self.now.kind in ("word", "symbol")
        self.i += found
        return found

    def parse(self, power: int) -> Node:
        """The longest expression whose operators bind tighter than `power`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(self.now, f"nested deeper than {MAX_DEPTH} levels; split it into several rules")
        left = self.prefix()
        compared = False
        while True:
            token = self.now
            binds = _INFIX.get(token.text, 0) if token.kind in ("word", "symbol") else 0
            if binds <= power:
                break
            if binds == _COMPARE:
                if compared:
                    raise self.fail(token, "comparisons cannot be chained; join two of them with `and`")
                compared = True
            left = self.infix(left, token, binds)
        self.depth -= 1
        return left

    def prefix(self) -> Node:
        token = self.now
        self.i += 1
        if token.kind == "number":
            value = float(token.text.replace("_", ""))
            if not math.isfinite(value):
                raise self.fail(token, "number too large")
            return Literal(value, token.at, token.end)
        if token.kind == "string":
            return Literal(re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.S), token.at, token.end)
        if token.text in ("true", "false"):
            return Literal(token.text == "true", token.at, token.end)
        if token.kind == "name":
            if self.now.text == "(" and self.now.kind == "symbol":
                return self.call(token)
            return Column(token.text, token.at, token.end)
        if token.text == "not":
            operand = self.parse(_NOT)
            return Operation("not", (operand,), token.at, operand.end)
        if token.text == "-":
            operand = self.parse(_UNARY)
            return Operation("neg", (operand,), token.at, operand.end)
        if token.text == "(":
            inner = self.parse(0)
            self.take(")")
            return inner
        if token.text == "null":
            raise self.fail(token, "null is only used in `is null` and `is not null`")
        found = token.text or "the end of the expression"
        raise self.fail(token, f"expected a column, a number or a string, found {found!r}")

    def call(self, name: _Token) -> Node:
        if name.text not in FUNCTIONS:
            raise self.fail(name, f"unknown function {name.text!r}; there are {', '.join(FUNCTIONS)}")
        self.take("(")
        args = [self.parse(0)]
        while self.accept(","):
            args.append(self.parse(0))
        end = self.take(")")
        fewest, most = FUNCTIONS[name.text]
        if len(args) < fewest or (most is not None and len(args) > most):
            wanted = "one argument" if most == 1 else "two or more arguments"
            raise problem(self.text, name.at, end.end, f"{name.text} takes {wanted}")
        return Operation(name.text, tuple(args), name.at, end.end)

    def infix(self, left: Node, token: _Token, power: int) -> Node:
        self.i += 1
        if token.text == "is":
            op = "is not null" if self.accept("not") else "is null"
            end = self.take("null")
            return Operation(op, (left,), left.at, end.end)
        if token.text in ("in", "not"):
            if token.text == "not":
                self.take("in")
            return self.membership(left, "in" if token.text == "in" else "not in")
        right = self.parse(power)
        return Operation(token.text, (left, right), left.at, right.end)

    def membership(self, left: Node, op: str) -> Node:
        if self.now.kind == "name":  # a column or a call: anything wider would read differently once unparsed
            container = self.prefix()
            within = "within" if op == "in" else "not within"
            return Operation(within, (left, container), left.at, container.end)
        if self.now.text != "(" or self.now.kind != "symbol":
            raise self.fail(
                self.now, 'after `in` comes a list in parentheses, ("a", "b"), or a column: "a" in tags'
            )
        self.take("(")
        items: list[Node] = []
        while True:
            if self.now.text == ")" and items:
                break
            token = self.now
            item = self.parse(_SUM)
            if isinstance(item, Operation) and item.op == "neg" and isinstance(item.args[0], Literal):
                value = item.args[0].value
                if isinstance(value, float):
                    item = Literal(-value, item.at, item.end)
            if not isinstance(item, Literal):
                raise self.fail(
                    token,
                    "the list of `in` holds plain numbers or strings only; to look into a column "
                    'write "x" in COLUMN, without parentheses',
                )
            items.append(item)
            if not self.accept(","):
                break
        end = self.take(")")
        return Operation(op, (left, *items), left.at, end.end)


def parse(text: str) -> Node:
    """Parse one expression.

    Raises:
        ConfigError: with the position, a caret line, and the fix; also beyond MAX_CHARS or MAX_DEPTH.
    """
    if not isinstance(text, str) or not text.strip():
        raise ConfigError("empty expression; write for example `width_px < 256`")
    if len(text) > MAX_CHARS:
        raise ConfigError(
            f"expression of {len(text)} characters; at most {MAX_CHARS}: split it into several rules"
        )
    parser = _Parser(text)
    node = parser.parse(0)
    if parser.now.kind != "end":
        raise parser.fail(parser.now, f"unexpected {parser.now.text!r}; join conditions with `and` or `or`")
    _check_depth(node, text)
    return node


def _check_depth(root: Node, text: str) -> None:
    """Left-associative chains grow the tree without recursion in the parser, so measure the tree."""
    stack = [(root, 1)]
    limit = 4 * MAX_DEPTH
    while stack:
        node, depth = stack.pop()
        if depth > limit:
            raise problem(text, node.at, node.end, f"more than {limit} chained operations; split the rule")
        if isinstance(node, Operation):
            stack.extend((a, depth + 1) for a in node.args)


def unparse(node: Node, outer: int = 0) -> str:
    """Canonical text: `parse(unparse(parse(t)))` is the same tree as `parse(t)`, positions aside."""
    if isinstance(node, Column):
        return node.name
    if isinstance(node, Literal):
        if isinstance(node.value, bool):
            return "true" if node.value else "false"
        if isinstance(node.value, str):
            return '"' + node.value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return (
            str(int(node.value))
            if node.value == int(node.value) and abs(node.value) < 1e15
            else repr(node.value)
        )
    op, args = node.op, node.args
    if op in FUNCTIONS:
        return f"{op}({', '.join(unparse(a) for a in args)})"
    if op == "neg":
        power, out = _UNARY, "-" + unparse(args[0], _UNARY)
    elif op == "not":
        power, out = _NOT, "not " + unparse(args[0], _NOT - 1)
    elif op in ("is null", "is not null"):
        power, out = _COMPARE, f"{unparse(args[0], _COMPARE)} {op}"
    elif op in ("in", "not in"):
        items = ", ".join(unparse(a) for a in args[1:])
        power, out = _COMPARE, f"{unparse(args[0], _COMPARE)} {op} ({items})"
    elif op in ("within", "not within"):
        word = op.replace("within", "in")
        power, out = _COMPARE, f"{unparse(args[0], _COMPARE)} {word} {unparse(args[1])}"
    else:
        power = _INFIX[op]
        left = unparse(args[0], power - 1 if power != _COMPARE else power)
        out = f"{left} {op} {unparse(args[1], power)}"
    return f"({out})" if power <= outer else out
