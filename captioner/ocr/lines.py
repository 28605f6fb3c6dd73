"""A recognized line of text and its script."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Protocol

import numpy as np

CONTENT, WATERMARK = "content", "watermark"


class OcrError(ValueError):
    """The engine cannot be used, or an image cannot be given to it."""


@dataclass(frozen=True)
class OcrLine:
    """One line of text as it stands in the image.

    Attributes:
        text: the recognized characters, in their own language; never translated or corrected.
        script: han, latin, kana, hangul, cyrillic, digits or other (see `script_of`).
        score: mean character confidence of the recognizer, 0..1.
        box: (x0, y0, x1, y1), upright bounding box as fractions of width and height, 0..1.
        kind: "content", or "watermark" for marks laid over the picture.
    """

    text: str
    script: str
    score: float
    box: tuple[float, float, float, float]
    kind: str = CONTENT


class Ocr(Protocol):
    """A text reader. Cheap to construct; `load` does the expensive part, once per worker."""

    engine: str  # short name with version, written to every row
    identity: str  # what the output depends on: model names and digests

    def load(self) -> None: ...

    def read(self, rgb: np.ndarray) -> list[OcrLine]:
        """Lines of an (H, W, 3) uint8 image in reading order; [] where there is no text."""


def script_of(text: str) -> str:
    """The script of most characters of a string.

    Letters and digits vote; marks, spaces and punctuation do not. Ties go to letters, and among
    letters to the order han, latin, kana, hangul, cyrillic. A Japanese line with more kanji than
    kana is therefore `han`. Arabic, Thai, Devanagari, Greek and strings without any letter or
    digit are `other`.
    """
    votes = dict.fromkeys(("han", "latin", "kana", "hangul", "cyrillic", "other", "digits"), 0)
    for char in text:
        script = _char_script(char)
        if script:
            votes[script] += 1
    best = max(votes, key=lambda name: votes[name])  # the first of equals, in the order above
    return best if votes[best] else "other"


def _char_script(char: str) -> str | None:
    category = unicodedata.category(char)
    if category == "Nd":
        return "digits"
    if category[0] != "L":
        return None
    code = ord(char)
    if (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0xF900 <= code <= 0xFAFF
        or 0x20000 <= code <= 0x3FFFF
        or code in (0x3005, 0x3007)
    ):
        return "han"
    if 0x3040 <= code <= 0x30FF or 0x31F0 <= code <= 0x31FF or 0xFF66 <= code <= 0xFF9F:
        return "kana"
    if 0xAC00 <= code <= 0xD7AF or 0x1100 <= code <= 0x11FF or 0x3130 <= code <= 0x318F:
        return "hangul"
    if 0x0400 <= code <= 0x052F:
        return "cyrillic"
    if code < 0x0250 or 0x1E00 <= code <= 0x1EFF or 0xFF21 <= code <= 0xFF5A:
        return "latin"
    return "other"
