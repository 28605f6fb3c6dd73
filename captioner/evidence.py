"""The `ocr` stage's reading as a witness: what it confirms of a model's reading, and what it contradicts."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from .ocr.lines import OcrLine, script_of

#: Lines read with at least this confidence, and this many letters, are held against a model that does not have them.
SURE_SCORE = 0.85
SURE_LETTERS = 2
#: Share of a string's character pairs that must occur in the evidence for it to be confirmed. Half: the two readers
#: may cut lines differently and confuse single characters.
CONFIRMED_SHARE = 0.5
#: Scripts whose strings cannot be confused with each other's. Kana and Han stand together in Japanese.
_WRITING = {"han": "han", "kana": "han", "latin": "latin", "hangul": "hangul", "cyrillic": "cyrillic"}


@dataclass(frozen=True)
class Evidence:
    """Attributes:
    lines: as the engine read them.
    engine: what read them; None where nothing did, and then nothing is contradicted.
    """

    lines: tuple[OcrLine, ...] = ()
    engine: str | None = None

    @cached_property
    def _joined(self) -> str:
        return "".join(_fold(line.text) for line in self.lines)

    @cached_property
    def _pairs(self) -> frozenset[str]:
        return frozenset(self._joined[i : i + 2] for i in range(len(self._joined) - 1))

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(_fold(line.text) for line in self.lines)

    @cached_property
    def sure(self) -> tuple[OcrLine, ...]:
        """Lines that are certainly there."""
        return tuple(
            line
            for line in self.lines
            if line.score >= SURE_SCORE and sum(c.isalnum() for c in line.text) >= SURE_LETTERS
        )

    def has(self, text: str) -> bool:
        """Whether the evidence holds a string, case, blanks and width apart."""
        folded = _fold(text)
        return bool(folded) and folded in self._joined

    def count(self, text: str) -> int:
        """How often the evidence has a line like this."""
        return self._counts[_fold(text)]

    def resembles(self, text: str) -> bool:
        """Whether the evidence holds most of a string, by pairs of characters."""
        folded = _fold(text)
        if len(folded) < 2:
            return folded in self._joined
        pairs = [folded[i : i + 2] for i in range(len(folded) - 1)]
        return sum(p in self._pairs for p in pairs) >= CONFIRMED_SHARE * len(pairs)

    def missed(self, texts: Sequence[str]) -> list[str]:
        """Lines that are certainly there and that no string of a list resembles."""
        other = Evidence(tuple(OcrLine(t, "", 1.0, (0, 0, 1, 1)) for t in texts), "model")
        return [line.text for line in self.sure if not other.resembles(line.text)]

    def translated(self, texts: Sequence[str]) -> str:
        """How a list of strings looks translated, "" if it does not.

        Either nothing is left of a script in which at least two sure lines, or four letters, are written, while
        strings stand in another script that the evidence has not got; or a string of the evidence is followed by a
        gloss in brackets in another script.
        """
        seen = Counter(_writing(line.text) for line in self.sure)
        letters = Counter[str]()
        for line in self.sure:
            letters[_writing(line.text)] += sum(c.isalpha() for c in line.text)
        given = {_writing(t) for t in texts} - {""}
        foreign = [t for t in texts if _writing(t) and _writing(t) not in seen and not self.resembles(t)]
        for script, lines in seen.items():
            if script and script not in given and foreign and (lines >= 2 or letters[script] >= 4):
                return (
                    f"the lettering is in {_NAMES[script]} script, but strings are given in another, such as "
                    f"{foreign[0][:60]!r}; copy the characters as they stand, without translating"
                )
        for text in texts:
            gloss = _gloss(text)
            if gloss and self.resembles(text.replace(gloss, "")) and not self.resembles(gloss):
                return f"{gloss!r} is a translation that is not in the picture; copy only what is written"
        return ""


_NAMES = {"han": "Chinese or Japanese", "latin": "Latin", "hangul": "Korean", "cyrillic": "Cyrillic"}


def _gloss(text: str) -> str:
    """The part in closing brackets of a string, when it is written in another script than the rest."""
    stripped = text.strip()
    if not stripped.endswith((")", "）")):
        return ""
    at = max(stripped.rfind("("), stripped.rfind("（"))
    before, inside = stripped[: max(at, 0)], stripped[at:]
    scripts = _writing(before), _writing(inside)
    return inside if at > 0 and all(scripts) and scripts[0] != scripts[1] else ""


def _writing(text: str) -> str:
    return _WRITING.get(script_of(text), "")


def _fold(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())
