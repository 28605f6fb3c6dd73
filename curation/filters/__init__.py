"""Declarative filters: a small parsed expression language over a dataset's columns, and rules in it.

Grammar, loosest binding first (`expression` must be boolean for a rule):

    expression := or;  or := and ("or" and)*;  and := not ("and" not)*;  not := "not" not | comparison
    comparison := sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum
                       | ["not"] "in" "(" literal ("," literal)* ")" | "is" ["not"] "null"]
    sum := product (("+" | "-") product)*;  product := unary (("*" | "/") unary)*;  unary := "-" unary | atom
    atom := NUMBER | STRING | "true" | "false" | COLUMN | "(" or ")"
          | ("min" | "max" | "abs") "(" sum ("," sum)* ")"

`COLUMN` is bare (`width_px`) or qualified (`profile.width_px`), or one of the derived names of
`check.DERIVED` (`aspect`, `pixels`, `short_side_px`, `long_side_px`).

Nulls follow SQL: arithmetic and comparisons with null are null, `and`/`or`/`not` use three-valued
logic (`true or null` is true), only `is null` is never null. NaN, and division by zero, count as null.
A rule fires where its expression is *true*, so a row whose input is null is not dropped by it.
"""

from .explain import Explanation, explain
from .expression import Expression, columns_of, compile_expression
from .rules import Rule, RuleSet, decide, parse_rules
from .whatif import WhatIf, whatif

__all__ = [
    "Explanation",
    "Expression",
    "Rule",
    "RuleSet",
    "WhatIf",
    "columns_of",
    "compile_expression",
    "decide",
    "explain",
    "parse_rules",
    "whatif",
]
