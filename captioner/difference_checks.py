"""What a model may say about a pair: form of the analysis and of the instruction."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .answers import AnswerError
from .difference import KINDS, Difference, Instruction
from .schema import fold, language_share

MAX_DIFFERENCES = 12
MAX_FIELD_CHARS = 400

#: Bounds of an instruction, lettering in quotes not counted.
MAX_WORDS_EN, MAX_CHARS_ZH = 40, 80
MIN_LANGUAGE_SHARE = 0.6
MIN_LETTERS = 4

#: Lettering quoted in any of the usual marks.
_QUOTED = re.compile(r'"([^"]+)"|“([^”]+)”|「([^」]+)」|『([^』]+)』')

#: Openings of a statement. An instruction begins with its verb, or with a place and then the verb.
_STATES_EN = re.compile(
    r"\s*(?:the|a|an|this|that|these|those|it|its|there|here|both|we|i|he|she|they|his|her|their|one|two|source|target"
    r"|image|picture|photo|original|difference|differences|added|removed|replaced|changed)\b(?![^,]*,\s*\w)",
    re.I,
)
_STATES_ZH = re.compile(
    r"\s*(?:这|那|该图|此图|图中有|图里有|图片中有|画面中有|画面显示|原图|源图|目标图|两张图|区别|不同|差异|它|我|他|她)"
)

#: Who is given an instruction sees one picture only, and the result is not there yet.
_OTHER_PICTURE = re.compile(
    r"\b(?:second|other|target|edited|resulting|after|first|source|original|both)[- ](?:image|picture|photo|version)s?\b"
    r"|\bimages? (?:1|2|a|b)\b|\b(?:has|have|had) been\b|\b(?:was|were) (?:added|removed|replaced|changed|turned)\b"
    r"|第[一二]张图?|(?:目标|编辑后的?|修改后的?|源|后一张|另一张)(?:图像|图片|照片|图)|图像?[12ABab]",
    re.I,
)
_ADDS = re.compile(r"\b(?:add|insert|introduce)\b|添加|增加|加上|加入|新增", re.I)
_REMOVES = re.compile(
    r"\b(?:remove|delete|erase|take away|get rid of)\b|移除|删除|删去|去掉|去除|擦除|移走", re.I
)

ANALYSIS_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["unchanged", "differences"],
    "properties": {
        "unchanged": {"type": "string", "maxLength": MAX_FIELD_CHARS},
        "differences": {
            "type": "array",
            "maxItems": MAX_DIFFERENCES,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["kind", "what", "before", "after"],
                "properties": {
                    "kind": {"type": "string", "enum": list(KINDS)},
                    "what": {"type": "string", "maxLength": MAX_FIELD_CHARS},
                    "before": {"type": "string", "maxLength": MAX_FIELD_CHARS},
                    "after": {"type": "string", "maxLength": MAX_FIELD_CHARS},
                },
            },
        },
    },
}
INSTRUCTION_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["en", "zh"],
    "properties": {
        "en": {"type": "string", "maxLength": 1200},
        "zh": {"type": "string", "maxLength": 800},
    },
}


def check_analysis(value: Mapping[str, Any]) -> tuple[str, tuple[Difference, ...]]:
    """(unchanged, differences) of an answer; both may be empty: nothing stays, or nothing differs.

    Raises:
        AnswerError: schema or counts, naming the difference at fault.
    """
    unchanged, items = value.get("unchanged", ""), value.get("differences")
    if not isinstance(unchanged, str) or not isinstance(items, list):
        raise AnswerError("schema", "unchanged must be a text and differences a list")
    if len(items) > MAX_DIFFERENCES:
        raise AnswerError("counts", f"{len(items)} differences; at most {MAX_DIFFERENCES}", "differences")
    found: list[Difference] = []
    for i, item in enumerate(items):
        difference = _difference(item, f"differences[{i}]")
        if difference not in found:
            found.append(difference)
    return unchanged.strip()[:MAX_FIELD_CHARS], tuple(found)


def _difference(item: Any, field: str) -> Difference:
    names = ("kind", "what", "before", "after")
    if not isinstance(item, Mapping) or not all(isinstance(item.get(n, ""), str | None) for n in names):
        raise AnswerError("schema", f"must be an object of texts {', '.join(names)}", field)
    kind, what, before, after = ((item.get(n) or "").strip() for n in names)
    if kind not in KINDS:
        raise AnswerError("schema", f"kind {kind!r} is none of {', '.join(KINDS)}", field)
    if not what:
        raise AnswerError("schema", "what is empty: name the thing or property", field)
    if any(len(text) > MAX_FIELD_CHARS for text in (what, before, after)):
        raise AnswerError("length", f"texts may have {MAX_FIELD_CHARS} characters at most", field)
    # What is absent is often written out.
    before, after = ("" if fold(t) in _ABSENT else t for t in (before, after))
    if kind == "add" and (before or not after):
        raise AnswerError("schema", "add has an empty before and says in after what is new", field)
    if kind == "remove" and (after or not before):
        raise AnswerError("schema", "remove says in before what was there and has an empty after", field)
    if kind not in ("add", "remove", "text") and not (before and after):
        raise AnswerError("schema", f"{kind} needs both before and after", field)
    # Lettering differs by a capital; everything else does not.
    if (before == after) if kind == "text" else (fold(before) == fold(after)):
        raise AnswerError("schema", f"before and after are both {before!r}: that is no difference", field)
    return Difference(kind, what, before, after)


_ABSENT = frozenset(("none", "n/a", "na", "null", "absent", "nothing", "not present", "无", "没有", "不存在"))


def check_instruction(
    value: Mapping[str, Any], differences: Sequence[Difference], lettering: Sequence[str] = ()
) -> Instruction:
    """The instruction of an answer.

    Args:
        differences: in the direction of the instruction.
        lettering: strings in either picture, which an instruction may quote to say where.

    Raises:
        AnswerError: schema, length, language, quotes, style (no imperative, or it speaks of another picture) or
            order (it leads the wrong way).
    """
    texts = {}
    for language in ("en", "zh"):
        text = value.get(language)
        if not isinstance(text, str) or not text.strip():
            raise AnswerError("schema", "must be a text", language)
        texts[language] = " ".join(text.split())
        _check_one(language, texts[language], differences, lettering)
    return Instruction(texts["en"], texts["zh"])


def quoted(text: str) -> list[str]:
    """Strings in quotation marks, in order."""
    return ["".join(groups) for groups in _QUOTED.findall(text)]


def _check_one(language: str, text: str, differences: Sequence[Difference], lettering: Sequence[str]) -> None:
    said = _QUOTED.sub(" ", text)
    size = len(said.split()) if language == "en" else len("".join(said.split()))
    most, unit = (MAX_WORDS_EN, "words") if language == "en" else (MAX_CHARS_ZH, "characters")
    if size > most:
        raise AnswerError("length", f"{size} {unit} outside quotes; at most {most}", language)
    share = language_share(text, language, MIN_LETTERS)
    if share is not None and share < MIN_LANGUAGE_SHARE:
        raise AnswerError(
            "language", f"only {share:.0%} of its letters outside quotes are {language}", language
        )
    _check_quotes(language, text, differences, lettering)
    if (_STATES_EN if language == "en" else _STATES_ZH).match(said):
        raise AnswerError("style", "it states; begin with the verb that says what to do", language)
    other = _OTHER_PICTURE.search(said)
    if other:
        raise AnswerError(
            "style", f"{other.group()!r}: say what to do, not what another picture shows", language
        )
    kinds = {d.kind if d.kind != "text" else ("add" if not d.before else "remove" if not d.after else "text")
             for d in differences}  # fmt: skip
    wrong = _REMOVES if kinds == {"add"} else _ADDS if kinds == {"remove"} else None
    if (
        wrong
        and (match := wrong.search(said))
        and not (_ADDS if wrong is _REMOVES else _REMOVES).search(said)
    ):
        raise AnswerError("order", f"{match.group()!r} leads the wrong way: the source lies before", language)


def _check_quotes(
    language: str, text: str, differences: Sequence[Difference], lettering: Sequence[str]
) -> None:
    wanted = [d.after for d in differences if d.kind == "text" and d.after]
    allowed = {t for d in differences if d.kind == "text" for t in (d.before, d.after) if t} | set(lettering)
    spans = quoted(text)
    for string in wanted:
        # A string that holds marks of its own cannot be told apart by them.
        if string not in spans and not (_QUOTED.search(string) and string in text):
            raise AnswerError(
                "quotes", f"the new lettering {string!r} must stand in quotes, unaltered", language
            )
    for span in spans:
        if span not in allowed and not any(span in string for string in allowed):
            raise AnswerError(
                "quotes", f"{span!r} is in quotes and is no lettering of either picture", language
            )
