"""Quoted spans of a prompt, in all quotation marks people use: lettering that must not be altered."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

#: Opening mark -> closing marks. Straight double quotes and curly ones are mixed up by people and keyboards, so a
#: curly one also closes a span that another curly one opened the wrong way round.
_PAIRS = {
    '"': '"',
    "“": "”",
    "”": "”",
    "„": "“”",
    "‟": "”",
    "＂": "＂",
    "「": "」",
    "『": "』",
    "｢": "｣",
    "«": "»",
    "‘": "’",
    "‚": "‘’",
    "'": "'",
    "`": "`",
    "〝": "〞〟",
}
#: Marks that also are apostrophes or accents: they quote only where blanks or punctuation stand outside.
_DOUBTFUL = frozenset("'‘‚`")
#: Longest quoted span, in characters; a longer one is a stray mark.
MAX_SPAN_CHARS = 1_000


@dataclass(frozen=True)
class Quoted:
    """A quoted span: `text` between the marks, `start` and `end` with them (characters of the prompt)."""

    text: str
    start: int
    end: int


#: A key of a JSON object.
_KEY = re.compile(r'"[^"\n]{1,80}"\s*:')


def quoted_spans(prompt: str) -> tuple[Quoted, ...]:
    """Outermost quoted spans in order; a mark that nothing closes is no quote, and empty quotes quote nothing.

    Nor is anything in a JSON object, as people write into prompts: there quotation marks are grammar.
    """
    found, i = [], 0
    objects = _json_objects(prompt)
    while i < len(prompt):
        if objects and i >= objects[0][0]:
            i = max(i, objects.pop(0)[1])
            continue
        end = _closing(prompt, i) if prompt[i] in _PAIRS else -1
        if end < 0:
            i += 1
            continue
        if prompt[i + 1 : end].strip():
            found.append(Quoted(prompt[i + 1 : end], i, end + 1))
        i = end + 1
    return tuple(found)


def _json_objects(prompt: str) -> list[tuple[int, int]]:
    """(start, end) of outermost balanced braces that hold a key, in order."""
    found, level, start = [], 0, 0
    for match in re.finditer(r"[{}]", prompt):
        if match.group() == "{":
            start = match.start() if not level else start
            level += 1
        elif level:
            level -= 1
            if not level and _KEY.search(prompt, start, match.end()):
                found.append((start, match.end()))
    return found


def _closing(prompt: str, start: int) -> int:
    """Position of the mark that closes the one at `start`; -1 for none."""
    opening = prompt[start]
    closings = _PAIRS[opening]
    doubtful = opening in _DOUBTFUL
    before = prompt[start - 1] if start else " "
    if doubtful and _joins(before):
        return -1
    if opening == '"' and before.isdigit() and not _another(prompt, start):
        return -1  # inches: a 5" screen
    level, i, stop = 0, start + 1, min(len(prompt), start + 2 + MAX_SPAN_CHARS)
    while i < stop:
        c = prompt[i]
        if c == opening and opening not in closings and not doubtful:
            level += 1
        elif c in closings:
            outside = prompt[i + 1] if i + 1 < len(prompt) else " "
            if doubtful and _joins(outside):
                pass  # an apostrophe inside a word
            elif level:
                level -= 1
            else:
                return i
        elif doubtful and c == "\n":
            return -1
        i += 1
    return -1


def _another(prompt: str, start: int) -> bool:
    return '"' in prompt[start + 1 : start + 2 + MAX_SPAN_CHARS] and prompt.count('"') % 2 == 0


def _joins(c: str) -> bool:
    """Would a mark beside this character be inside a word? Chinese is written without blanks."""
    return c.isalnum() and unicodedata.east_asian_width(c) not in "WF"


def quoted_multiset(prompt: str) -> Counter[str]:
    """Text of every quoted span -> how often."""
    return Counter(q.text for q in quoted_spans(prompt))


def without_quotes(prompt: str, filler: str = " ") -> str:
    """The prompt with every quoted span, marks included, replaced by `filler`."""
    parts, last = [], 0
    for q in quoted_spans(prompt):
        parts += [prompt[last : q.start], filler]
        last = q.end
    return "".join([*parts, prompt[last:]])


_LETTER = re.compile(r"[^\W\d_]")


def script_counts(text: str) -> Counter[str]:
    """Script (first word of the Unicode name: LATIN, CJK, HANGUL, CYRILLIC, HIRAGANA...) -> letters."""
    return Counter(unicodedata.name(c, "UNKNOWN").split(" ")[0].split("-")[0] for c in _LETTER.findall(text))
