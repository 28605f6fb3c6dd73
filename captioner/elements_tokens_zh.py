"""Tokens of Chinese prompts: the longest word of the lists at each place; what is between them is a noun."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from . import elements_words_zh as z
from .elements_quotes import Quoted, quoted_spans

QUOTE = "\ue000"
_NUMBER = re.compile(r"(?:\d{1,3}|[一二两三四五六七八九十]{1,3}|[几数多]|许多|很多|一些|若干|无数|众多|好几)")
_FORBIDDEN_BEFORE_CLASSIFIER = re.compile(r"一(?:起|边|同|样|般|下|直|切|定|旦|侧|旁|望|线|带|体|致)")
_LATIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 &'.+-]*[A-Za-z0-9]|[A-Za-z0-9]")
_MARKS = frozenset("，。！？；：、,.!?;:\n（）()《》【】[]—-…~·/ \t\u3000|")
_MAX_WORD = 6


@dataclass(frozen=True)
class Token:
    """`kind`: noun, number, color, adj, verb, writing, place, frame, have, conj, no, style, framing, fill, de, zai,
    mark or quote."""

    kind: str
    text: str
    start: int
    end: int
    value: str = ""  # color or relation name, digits of a number
    classifier: str = ""
    quoted: Quoted | None = None


@lru_cache(maxsize=1)
def _words() -> dict[str, str]:
    """Word -> kind; later lists win."""
    table: dict[str, str] = {}
    for kind, listed in (
        ("fill", z.FILLERS), ("verb", (v for v in z.VERBS if len(v) > 1)), ("adj", (a for a in z.ADJECTIVES if len(a) > 1)),
        ("adj", z.MULTICOLOR), ("have", (h for h in z.HAVE if len(h) > 1)), ("writing", z.WRITING), ("no", z.NEGATIONS),
        ("noun", z.NOUNS), ("style", z.STYLES), ("framing", z.FRAMINGS),
        ("color", z.COLORS), ("place", (p for p in z.PLACES if len(p) > 1)), ("frame", z.FRAME_PLACES), ("conj", z.CONJUNCTIONS),
    ):  # fmt: skip
        for word in listed:
            table[word] = kind
    for word in ("是", "有"):
        table[word] = "have"
    table["的"], table["在"] = "de", "zai"
    for word in ("位于", "处于", "坐落于", "坐落在"):
        table[word] = "zai"
    return table


def tokenize(prompt: str) -> list[Token]:
    """Tokens in order, positions in characters of the prompt."""
    spans = {q.start: q for q in quoted_spans(prompt)}
    tokens: list[Token] = []
    i = noun_from = 0

    def flush(end: int) -> None:
        text = prompt[noun_from:end]
        if text.strip():
            tokens.append(Token("noun", text, noun_from, end))

    while i < len(prompt):
        if i in spans:
            flush(i)
            q = spans[i]
            tokens.append(Token("quote", prompt[q.start : q.end], q.start, q.end, quoted=q))
            i = noun_from = q.end
            continue
        found = _at(prompt, i, tokens, noun_from)
        if found is None:
            i += 1
            continue
        flush(i)
        tokens.append(found)
        i = noun_from = found.end
    flush(len(prompt))
    return tokens


def _at(prompt: str, i: int, tokens: list[Token], noun_from: int) -> Token | None:
    """The token at `i`, or None where a run of other characters goes on."""
    if prompt[i] in _MARKS and prompt[i] != "、":
        return Token("mark", prompt[i], i, i + 1)
    number = _number(prompt, i)
    if number:
        return number
    latin = _LATIN.match(prompt, i)
    if latin and prompt[i].isascii():
        word = latin.group()
        kind = "style" if word in z.STYLES else "noun"
        return Token(kind, word, i, latin.end())
    table = _words()
    begins = noun_from == i  # no open run of other characters before
    for size in range(min(_MAX_WORD, len(prompt) - i), 0, -1):
        word = prompt[i : i + size]
        kind = table.get(word)
        if kind is None or (kind == "noun" and size == 1 and not begins):
            continue
        if size == 1 and kind == "fill" and not begins:
            continue
        end = i + size
        if kind == "verb" and prompt[end : end + 1] in ("着", "了"):
            end += 1
        value = (
            z.COLORS.get(word)
            or z.FRAMINGS.get(word)
            or z.FRAME_PLACES.get(word)
            or z.PLACES.get(word)
            or word
        )
        return Token(kind, prompt[i:end], i, end, value)
    return _single(prompt, i, tokens, begins)


def _single(prompt: str, i: int, tokens: list[Token], begins: bool) -> Token | None:
    """Verbs, colors, adjectives and places of one character, by what stands around them."""
    c, after = prompt[i], prompt[i + 1 : i + 2]
    previous = tokens[-1] if tokens and begins else None
    if after in ("着", "了") and "\u4e00" <= c <= "\u9fff" and after:
        return Token("verb", c + after, i, i + 2, c)
    if c in z.VERBS and (
        after in ("在", "的", "") or after in _MARKS or (previous and previous.kind in ("noun", "fill"))
    ):
        return Token("verb", c, i, i + 1, c)
    opens = previous is None or previous.kind not in ("noun",)
    if begins and opens and c in z.TRANSITIVE and after and after not in _MARKS and after != "的":
        return Token("verb", c, i, i + 1, c)
    if begins and opens and c in z.SINGLE_COLORS and after not in _MARKS:
        return Token("color", c, i, i + 1, z.SINGLE_COLORS[c])
    if begins and opens and c in z.SINGLE_ADJECTIVES and after not in _MARKS:
        return Token("adj", c, i, i + 1, c)
    if c in z.PLACES and (_placed(tokens, begins) and not _word_goes_on(prompt, i)):
        return Token("place", c, i, i + 1, z.PLACES[c])
    return None


def _placed(tokens: list[Token], begins: bool) -> bool:
    """Did a place begin (`在桌子…`), or a noun that could be one?"""
    if begins and not (tokens and tokens[-1].kind in ("noun", "quote")):
        return False
    for token in reversed(tokens):
        if token.kind == "zai" or (token.kind == "verb" and token.end):
            return True
        if token.kind in ("mark", "place", "de"):
            break
    return begins


def _word_goes_on(prompt: str, i: int) -> bool:
    """Is the character the first half of a word of the lists (`中国`, `下午`)?"""
    return any(prompt[i : i + size] in z.NOUNS for size in (2, 3, 4))


def _number(prompt: str, i: int) -> Token | None:
    match = _NUMBER.match(prompt, i)
    if not match or _FORBIDDEN_BEFORE_CLASSIFIER.match(prompt, i):
        return None
    word, end = match.group(), match.end()
    classifier = prompt[end : end + 1]
    if word.isdigit() and classifier == " ":
        return None
    value = number_value(word)
    if classifier in z.CLASSIFIERS and classifier:
        stop = end + 1 + (prompt[end + 1 : end + 2] == classifier)
        return Token("number", prompt[i:stop], i, stop, value, classifier)
    if classifier == "人" and value not in ("", "1") and prompt[i - 1 : i] not in ("第",):
        return Token("number", word, i, end, value, "")
    if word in z.VAGUE and len(word) > 1:
        return Token("number", word, i, end, z.VAGUE[word], "")
    return None


def number_value(word: str) -> str:
    """Digits of a Chinese or Arabic number up to 99; a word for one that fixes none; "" for what is no number."""
    if word.isdigit():
        return str(int(word))
    if word in z.VAGUE:
        return z.VAGUE[word]
    if word == "十":
        return "10"
    if "十" in word:
        tens, _, ones = word.partition("十")
        if len(tens) > 1 or len(ones) > 1:
            return ""
        return str(z.DIGITS.get(tens, 1) * 10 + z.DIGITS.get(ones, 0))
    return str(z.DIGITS[word]) if word in z.DIGITS else ""
