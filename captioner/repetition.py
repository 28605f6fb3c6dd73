"""Loops in a model's text: a repeated ending, few distinct word sequences, a text that compresses too well."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence

#: A unit repeated this often at the end of a text is a loop; short units need more repeats, because real text has
#: "ha ha ha", rows of dashes and tables. Characters covered decide, see `looping_tail`.
MIN_REPEATS = 4
MIN_COVERED_CHARS = 80
MAX_UNIT_CHARS = 600
#: How much of the end is looked at.
TAIL_CHARS = 6_000

#: Below these a text of at least `MIN_CHARS` characters counts as repeating itself. Good captions of a few hundred
#: characters stay above 0.85 and 0.35; dense tables come closest.
MIN_DISTINCT_4GRAMS = 0.5
MIN_ZLIB_RATIO = 0.18
MIN_CHARS = 240
MIN_SAME_LINES = 3
#: Shorter lines ("•", "100", "Menu") repeat in real text.
MIN_LINE_CHARS = 12

#: Shorter strings of lettering are taken out between quotation marks only.
MIN_LETTERING_CHARS = 4
_HELD = "\ue000"
_SENTENCE = re.compile(r"[\n.。!！?？;；]")
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")


def looping_tail(text: str) -> str:
    """What a text repeats at its end, shortened; "" if it does not.

    The ending counts as a loop when its last unit (1 to `MAX_UNIT_CHARS` characters, holding a letter or digit or
    being at least 80 times repeated) occurs `MIN_REPEATS` times in a row and the repeats cover `MIN_COVERED_CHARS`.
    The last repeat may be cut. Linear in the tail (Z-array of the reversed text).
    """
    tail = text[-TAIL_CHARS:][::-1]
    n = len(tail)
    if n < MIN_COVERED_CHARS:
        return ""
    z = _z_array(tail)
    # Reversed, a text that ends in repeats of a unit starts with them: tail[i:] begins like tail, for z[i] characters.
    for unit in range(1, min(MAX_UNIT_CHARS, n // MIN_REPEATS) + 1):
        covered = z[unit] + unit
        if covered >= max(MIN_COVERED_CHARS, MIN_REPEATS * unit):
            piece = tail[:unit][::-1]
            if any(c.isalnum() for c in piece) or covered >= 80 * unit:
                return repr(piece.strip()[:60])
    return ""


def _z_array(text: str) -> list[int]:
    """z[i]: length of the longest common prefix of text and text[i:]."""
    n = len(text)
    z = [0] * n
    left = right = 0
    for i in range(1, n):
        length = min(right - i, z[i - left]) if i < right else 0
        while i + length < n and text[length] == text[i + length]:
            length += 1
        z[i] = length
        if i + length > right:
            left, right = i, i + length
    return z


def repetition_in(text: str, lettering: str | Sequence[str] = ()) -> str:
    """How a caption repeats itself, in words for people; "" if it does not.

    Args:
        lettering: strings of the picture (or one text, taken by its lines), as often as they stand in it. So often
            they may stand in the caption, and the sentence around them ("Below it, ... reads ...") does not count;
            what is beyond that does.
    """
    text = _without(text, lettering.splitlines() if isinstance(lettering, str) else lettering)
    loop = looping_tail(text)
    if loop:
        return f"it ends in repeats of {loop}"
    lines = Counter(s for s in (line.strip() for line in _SENTENCE.split(text)) if len(s) >= MIN_LINE_CHARS)
    line, times = max(lines.items(), key=lambda item: item[1], default=("", 0))
    if times >= MIN_SAME_LINES:
        return f"it says {line[:60]!r} {times} times"
    if len(text) < MIN_CHARS:
        return ""
    share = distinct_4grams(text)
    if share < MIN_DISTINCT_4GRAMS:
        return f"only {share:.0%} of its sequences of four words differ"
    ratio = zlib_ratio(text)
    if ratio < MIN_ZLIB_RATIO:
        return f"it compresses to {ratio:.0%} of its length"
    return ""


def _without(text: str, lettering: Sequence[str]) -> str:
    """A text without the sentences that hold a string of the picture, each string as often as it stands there."""
    counts = Counter(s for s in lettering if s.strip())
    for string in sorted(counts, key=len, reverse=True):
        inner = " ".join(string.split())
        if len(inner) < MIN_LETTERING_CHARS:  # between marks only: "A" and "5" are in any text
            for left, right in (("“", "”"), ('"', '"')):
                text = text.replace(left + inner + right, _HELD, counts[string])
        else:
            text = text.replace(inner, _HELD, counts[string])
    if _HELD not in text:
        return text
    return ". ".join(s for s in _SENTENCE.split(text) if _HELD not in s)


def distinct_4grams(text: str) -> float:
    """Distinct sequences of four words (a Han, kana or hangul character is a word) over all; 1 for fewer than 5."""
    words = _TOKEN.findall(text.casefold())
    grams = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return len(set(grams)) / len(grams) if len(grams) > 1 else 1.0


def zlib_ratio(text: str) -> float:
    """Compressed over plain bytes (UTF-8, level 9); small for repeats. 1 for an empty text."""
    data = text.encode("utf-8", "replace")
    return len(zlib.compress(data, 9)) / len(data) if data else 1.0
