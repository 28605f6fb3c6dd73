"""Difference captions without a model: from the pair's own edit specification, exact, or not at all.

A specification is a list of operations, each a mapping:

    {"kind": "attribute", "what": {"en": "the color of the car", "zh": "汽车的颜色"},
     "before": {"en": "red", "zh": "红色"}, "after": {"en": "blue", "zh": "蓝色"}}

`kind` is one of `difference.KINDS`. `add` has no `before`, `remove` no `after`. Of `text` the values are the exact
strings, the same in both languages; everywhere else a value without both languages is refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .difference import KINDS, Difference, DifferenceError, Instruction, PairCaption, Side
from .schema import LANGUAGES, QUOTES

#: Raised whenever the instruction of some specification changes.
VERSION = 1
ENGINE = "template"

_EN = {
    "add": "add {after}",
    "remove": "remove {before}",
    "subject": "replace {before} with {after}",
    "replace": "replace {before} with {after}",
    "attribute": "change {what} from {before} to {after}",
    "background": "change the background from {before} to {after}",
    "style": "change the style from {before} to {after}",
    "camera": "change {what} from {before} to {after}",
    "pixel": "change {what} from {before} to {after}",
    "text": "change the text {before} to {after}",
    "text_add": "add the text {after}",
    "text_remove": "remove the text {before}",
}
_ZH = {
    "add": "添加{after}",
    "remove": "移除{before}",
    "subject": "将{before}替换为{after}",
    "replace": "将{before}替换为{after}",
    "attribute": "将{what}由{before}改为{after}",
    "background": "将背景由{before}换成{after}",
    "style": "将风格由{before}改为{after}",
    "camera": "将{what}由{before}改为{after}",
    "pixel": "将{what}由{before}改为{after}",
    "text": "将文字{before}改为{after}",
    "text_add": "添加文字{after}",
    "text_remove": "移除文字{before}",
}
_TEMPLATES = {"en": _EN, "zh": _ZH}
_FIELDS = ("kind", "what", "before", "after")


def describe_edits(source: Side, target: Side, edits: Sequence[Mapping[str, Any]] | None) -> PairCaption:
    """The pair as its specification tells it, both ways. Same specification, same words.

    Args:
        source, target: with whatever captions they have; none are made.
        edits: the operations from source to target; empty where nothing was done; None where the pair has none.

    Raises:
        DifferenceError: `no_spec` for None: rules cannot see what differs. `bad_spec`, naming operation and field.
    """
    if edits is None:
        raise DifferenceError(
            "no_spec",
            "the template engine describes a pair by its edit specification, and this pair has none; "
            "name a model (openai:URL#MODEL or transformers:DIRECTORY_OR_ID) to have it looked at",
        )
    spoken = {code: [_operation(edit, i, code) for i, edit in enumerate(edits)] for code in LANGUAGES}
    said: dict[bool, Instruction | None] = {}
    for back in (False, True):
        said[back] = (
            Instruction(*(_instruction(spoken[code], code, back) for code in LANGUAGES)) if edits else None
        )
    return PairCaption(
        source=source,
        target=target,
        unchanged="",
        differences=tuple(spoken["en"]),
        forward=said[False],
        backward=said[True],
        engine=ENGINE,
        model=f"{ENGINE}-{VERSION}",
        exact=True,
    )


def _operation(edit: Mapping[str, Any], number: int, language: str) -> Difference:
    where = f"edit {number}"
    if not isinstance(edit, Mapping) or set(edit) - set(_FIELDS):
        raise DifferenceError("bad_spec", f"{where} must be a mapping of {', '.join(_FIELDS)}")
    kind = edit.get("kind")
    if kind not in KINDS:
        raise DifferenceError("bad_spec", f"{where}, kind: {kind!r} is none of {', '.join(KINDS)}")
    before, after = (_value(edit, name, kind, where, language) for name in ("before", "after"))
    needed = {"add": (False, True), "remove": (True, False)}.get(kind, (True, True))
    if kind == "text":
        needed = (bool(before), bool(after))
    if (bool(before), bool(after)) != needed or before == after:
        raise DifferenceError(
            "bad_spec", f"{where}: before {before!r} and after {after!r} do not make a {kind!r}"
        )
    what = _value(edit, "what", "what", where, language)
    if not what and kind in ("attribute", "camera", "pixel"):
        raise DifferenceError("bad_spec", f"{where}, what: name what changes, in en and zh")
    return Difference(kind, what or before or after, before, after)


def _value(edit: Mapping[str, Any], name: str, kind: str, where: str, language: str) -> str:
    value = edit.get(name)
    if value is None or value == "":
        return ""
    if kind == "text" and isinstance(value, str):
        return value
    texts = value if isinstance(value, Mapping) else {}
    if not all(isinstance(texts.get(code), str) and texts[code].strip() for code in LANGUAGES):
        raise DifferenceError("bad_spec", f"{where}, {name}: write it as {{en: ..., zh: ...}}, got {value!r}")
    return texts[language].strip()


def _instruction(differences: Sequence[Difference], language: str, back: bool) -> str:
    clauses = [_clause(d.inverse() if back else d, language) for d in differences]
    if language == "zh":
        return "，".join(clauses) + "。"
    text = clauses[0] if len(clauses) == 1 else f"{', '.join(clauses[:-1])} and {clauses[-1]}"
    return text[0].upper() + text[1:] + "."


def _clause(d: Difference, language: str) -> str:
    kind = d.kind
    opening, closing = QUOTES[language] if kind == "text" else ("", "")
    if kind == "text" and not (d.before and d.after):
        kind = "text_add" if d.after else "text_remove"
    quoted = {
        name: f"{opening}{value}{closing}" for name, value in (("before", d.before), ("after", d.after))
    }
    return _TEMPLATES[language][kind].format(what=d.what, **quoted)
