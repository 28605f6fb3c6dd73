"""How well one set of strings reproduces another: the measure of OCR read-back and of lettering in captions.

Everything is compared after NFKC normalization. Chinese counts by character, everything written with spaces
by word in lower case, punctuation not at all; matches are of multisets, summed over all images before the
division (micro average), so that a page with much text weighs more than a label.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .ocr.lines import script_of

#: Han, with the iteration mark and the zero that belong to it.
_HAN = r"\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_ZH = re.compile(f"[{_HAN}]")
_EN = re.compile(rf"[^\W_{_HAN}]+")
#: Inside a word an apostrophe is drawn in many ways, and often lost: "don't" counts as "dont".
_APOSTROPHE = re.compile(r"(?<=\w)['’‘`´](?=\w)")

#: Texts longer than this are compared in order by their first characters only (the cost is quadratic).
MAX_ORDERED_CHARS = 4000


def zh_characters(text: str) -> list[str]:
    """Han characters of a string after NFKC, in order."""
    return _ZH.findall(unicodedata.normalize("NFKC", text))


def en_words(text: str) -> list[str]:
    """Words and numbers of a string after NFKC, in lower case, in order; Han characters separate them."""
    return _EN.findall(_APOSTROPHE.sub("", unicodedata.normalize("NFKC", text)).casefold())


@dataclass(frozen=True)
class Agreement:
    """Counts of tokens, to be added over images.

    Attributes:
        matched: size of the multiset intersection.
        reference: tokens that should be there.
        found: tokens that are there.
    """

    matched: int = 0
    reference: int = 0
    found: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.matched + other.matched, self.reference + other.reference, self.found + other.found
        )

    @property
    def recall(self) -> float | None:
        """0..1; None where the reference is empty."""
        return self.matched / self.reference if self.reference else None

    @property
    def precision(self) -> float | None:
        """0..1; None where nothing was found."""
        return self.matched / self.found if self.found else None


def agreement(reference: Iterable[str], found: Iterable[str]) -> dict[str, Agreement]:
    """Agreement by character (`zh`) and by word (`en`) of strings found with the strings that should be."""
    wanted, got = list(reference), list(found)
    counts = {}
    for language, split in (("en", en_words), ("zh", zh_characters)):
        a = Counter(token for text in wanted for token in split(text))
        b = Counter(token for text in got for token in split(text))
        counts[language] = Agreement((a & b).total(), a.total(), b.total())
    return counts


def ordered_distance(reference: str, found: str) -> float:
    """Levenshtein distance over the length of the longer string, 0 (equal) .. 1, after NFKC, blanks removed.

    Unlike `agreement` it sees the order and the punctuation. Two empty strings are equal.
    """
    a, b = (
        "".join(unicodedata.normalize("NFKC", text).casefold().split())[:MAX_ORDERED_CHARS]
        for text in (reference, found)
    )
    if not a or not b:
        return 0.0 if a == b else 1.0
    codes = np.frombuffer(b.encode("utf-32-le", "replace"), np.uint32)
    steps = np.arange(len(codes) + 1)
    row = steps.copy()
    for i, char in enumerate(a, start=1):
        new = np.empty_like(row)
        new[0] = i
        new[1:] = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(char)))
        # An insertion costs one per step to the right, so it is a running minimum once that cost is taken off.
        row = np.minimum.accumulate(new - steps) + steps
    return float(row[-1]) / max(len(a), len(b))


def leaked(reference: Iterable[str], found: Iterable[str]) -> list[str]:
    """Strings found that are written in a script in which the reference has nothing: a sign of translation.

    Strings without letters (numbers, marks) cannot leak. A reference without letters allows none to be
    called a leak: there is nothing they could be a translation of.
    """
    # Letter by letter: a line that names a shop in two scripts has both.
    tokens = [token for text in reference for token in (*zh_characters(text), *en_words(text))]
    scripts = {script_of(token) for token in tokens} - {"digits", "other"}
    return [text for text in found if scripts and script_of(text) not in scripts | {"digits", "other"}]
