"""Is a wanted string written in a picture? Exactly, up to how it is set: by what was read there."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from .ocr.lines import OcrLine, script_of

#: Scripts the bundled engine reads; others come out as wrong strings, which say nothing about the picture.
READ_SCRIPTS = ("han", "latin", "digits", "kana")


def shown(wanted: str, lines: Sequence[OcrLine]) -> bool | None:
    """True where every letter, digit and character of `wanted` stands in the picture in order, without gaps.

    Breaks of lines, blanks, punctuation, case and width of characters do not count; one wrong character does. Lines may
    stand between its parts only where whole lines make it up, e.g. a title in two lines beside a column of prices.

    Returns:
        None for what the reader cannot read: another script, or nothing but punctuation.
    """
    key = folded(wanted)
    if not key or any(script_of(c) not in READ_SCRIPTS for c in key):
        return None
    read = [folded(line.text) for line in lines]
    if key in "".join(read):
        return True
    return _made_of(key, [r for r in read if r and r in key])


def folded(text: str) -> str:
    """Letters, digits and characters after NFKC, cases folded."""
    return "".join(
        c for c in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(c)[0] in "LN"
    )


def _made_of(key: str, lines: Sequence[str]) -> bool:
    """Whether lines in their order, some left out, put together are the key."""
    ends = {0}
    for line in lines:
        ends |= {e + len(line) for e in ends if key.startswith(line, e)}
    return len(key) in ends
