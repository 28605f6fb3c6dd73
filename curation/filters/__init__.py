"""Declarative filters: a small parsed expression language over a dataset's columns, and rules in it.

Grammar, loosest binding first (`expression` must be boolean for a rule):

    expression := or;  or := and ("or" and)*;  and := not ("and" not)*;  not := "not" not | comparison
    comparison := sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum
                       | ["not"] "in" "(" literal ("," literal)* ")" | ["not"] "in" container
                       | "is" ["not"] "null"]
    container := COLUMN | "lower" "(" COLUMN ")"
    sum := product (("+" | "-") product)*;  product := unary (("*" | "/") unary)*;  unary := "-" unary | atom
    atom := NUMBER | STRING | "true" | "false" | COLUMN | "(" or ")"
          | ("min" | "max" | "abs" | "lower" | "count") "(" sum ("," sum)* ")"

`COLUMN` is bare (`width_px`) or qualified (`profile.width_px`), or one of the derived names of
`check.DERIVED` (`aspect`, `pixels`, `short_side_px`, `long_side_px`).

A column is a number, a string, a boolean or a list of strings; any other can only be tested with
`is null`. `in` has two forms: `format in ("PNG", "GIF")` compares with written values; `"cat" in tags`
looks into a column, for an element of a list of strings, or for a part of a string
(`"photoshop" in lower(software)`). `count(tags)` is the number of elements; `lower` takes a string or a
list of strings.

Nulls follow SQL: arithmetic and comparisons with null are null, `and`/`or`/`not` use three-valued
logic (`true or null` is true), only `is null` is never null. NaN, and division by zero, count as null.
An empty list is not null: nothing is in it, and its count is 0. A null inside a list is in no `in`.
A rule fires where its expression is *true*, so a row whose input is null is not dropped by it.
"""

from .check import DERIVED, kind_of
from .explain import Explanation, explain
from .expression import Expression, columns_of, compile_expression
from .rules import Rule, RuleSet, decide, parse_rules
from .whatif import WhatIf, whatif

__all__ = [
    "DERIVED",
    "Explanation",
    "Expression",
    "Rule",
    "RuleSet",
    "WhatIf",
    "columns_of",
    "compile_expression",
    "decide",
    "explain",
    "kind_of",
    "parse_rules",
    "whatif",
]
