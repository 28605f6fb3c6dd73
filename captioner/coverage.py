"""How much of a picture's long caption a shorter text tells."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[a-z\u00c0-\u024f0-9]+(?:'[a-z]+)?")
_HAN_RUN = re.compile(r"[\u3400-\u9fff]+")
#: Words that tell nothing of a picture, and the nouns by which people ask for one.
_EMPTY = frozenset(
    "a an the and or of in on at to for from with by is are was be being it its this that these those as into over under"
    " near some any his her their one two there which who while has have having please make create draw generate give me"
    " want i image picture photo photograph".split()
)


@lru_cache(maxsize=64)  # each caption is compared several times while it is checked
def content_words(text: str) -> frozenset[str]:
    """Words of content: English without function words and plural or tense endings, Chinese by pairs of characters."""
    folded = text.casefold()
    words = {_stem(w) for w in _WORD.findall(folded) if w not in _EMPTY}
    for run in _HAN_RUN.findall(folded):
        words |= {run[i : i + 2] for i in range(len(run) - 1)}
    return frozenset(words)


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def coverage(text: str, long: str) -> float:
    """Share of the long caption's content words that a text has, 0..1; 0 for an empty caption."""
    wanted = content_words(long)
    return len(wanted & content_words(text)) / len(wanted) if wanted else 0.0


def tells_as_much(prompt: str, short: str, long: str) -> bool:
    """Whether a prompt covers as much of the long caption as the short one, or repeats the short one.

    A short caption that shares at most one word with the long one measures nothing; then only length and repetition
    count.
    """
    mine, full = content_words(prompt), content_words(short)
    repeated = bool(full) and len(mine & full) >= 0.9 * len(full)
    wanted = content_words(long)
    if len(full & wanted) <= 1:
        return repeated
    return repeated or len(mine & wanted) >= len(full & wanted)
