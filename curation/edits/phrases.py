"""Instructions from specs: one clause per change, joined in the order of the spec, in English or Chinese.

Every clause says what the target shows, from values the spec holds; nothing is said that was not done. Which of
several phrasings is taken depends on the caller's choice function alone, so that a pair's text is reproducible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import phrases_en, phrases_zh
from .color_names import ZH as COLORS
from .spec import Change, EditSpec, State, Value
from .taxonomy import classify, types_of

LANGUAGES = ("en", "zh")

#: choose(label, options) -> one of the options.
Choose = Callable[[str, Sequence[str]], str]


class UnspeakableError(ValueError):
    """A change that cannot be put into words; the message names slot and what is missing."""


@dataclass(frozen=True)
class Referent:
    """What the thing in a slot is called, without article.

    Attributes:
        en, zh: noun phrases that fit one thing of the picture only, e.g. `red cup on the left`.
        measure: the Chinese measure word (`只`, `辆`); `个` where it is not known.
        plural: the English noun stands for several.
        color: name of its color, where the value of the slot does not hold one.
        place: the cell of a 3 x 3 grid it lies in, where the value does not tell (see `place_of`).
    """

    en: str
    zh: str
    measure: str = "个"
    plural: bool = False
    color: str | None = None
    place: str | None = None

    def colored(self, color: str) -> Referent:
        """The name with a color in front, in place of the one it had."""
        en, zh = self.en, self.zh
        if self.color is not None:
            en, zh = en.removeprefix(f"{self.color} "), zh.removeprefix(COLORS[self.color])
        return replace(self, en=f"{color} {en}", zh=f"{COLORS[color]}{zh}", color=color)


@dataclass(frozen=True)
class Names:
    """Names of a pair's things: `source[slot]` as it stands in the source, `target[slot]` in the target."""

    source: Mapping[str, Referent] = field(default_factory=dict)
    target: Mapping[str, Referent] = field(default_factory=dict)

    def inverse(self) -> Names:
        return Names(self.target, self.source)


def instruct(
    spec: EditSpec, source: State, names: Names, language: str, choose: Choose, long: bool = False
) -> str:
    """The instruction that leads from a picture in state `source` along `spec`.

    Args:
        language: `en` or `zh`.
        long: a sentence that also says what stays as it is.

    Raises:
        UnspeakableError: a name is missing, or the spec is empty.
    """
    texts = instructions(spec, source, names, choose, (language,))
    return texts[f"{language}_{'long' if long else 'short'}"]


def instructions(
    spec: EditSpec, source: State, names: Names, choose: Choose, languages: Sequence[str] = LANGUAGES
) -> dict[str, str]:
    """All instructions of a spec: `en_short`, `en_long`, ...; see `instruct`."""
    if not spec.changes:
        raise UnspeakableError("an empty spec asks for nothing")
    parts = merged(spec, source)
    local = all(t.partition(".")[0] in ("object", "attr", "text") and t != "object.extract" for t, _ in parts)
    texts: dict[str, str] = {}
    for language in languages:
        words = {"en": phrases_en, "zh": phrases_zh}[language]
        clauses = _clauses(parts, names, language, words, choose)
        texts[f"{language}_short"] = words.sentence(clauses, choose)
        texts[f"{language}_long"] = words.sentence(clauses, choose, keep=local)
    return texts


def _clauses(
    parts: Sequence[tuple[str, Change]], names: Names, language: str, words: Any, choose: Choose
) -> list[str]:
    clauses: list[str] = []
    said: Change | None = None
    for type_, change in parts:
        facts = Facts(type_, change, names.source.get(change.slot), names.target.get(change.slot))
        try:
            clause = (
                words.clause(facts, choose) if not change.slot.startswith("image/") else words.foreign(facts)
            )
        except (KeyError, AttributeError, TypeError) as e:
            raise UnspeakableError(
                f"{type_} of slot {change.slot!r} has no words in {language}: {e!r}"
            ) from e
        if not clause:
            continue  # a box points at what another clause speaks of
        # A thing that is moved and made larger is named once.
        clauses.append(words.pronoun(clause, facts.source) if change is said and facts.source else clause)
        said = change
    if not clauses:
        raise UnspeakableError("nothing but boxes would change")
    return clauses


def merged(spec: EditSpec, source: State) -> list[tuple[str, Change]]:
    """(type, change) in order; a swap of two texts is one entry, told by its first change."""
    if len(spec.changes) == 1:
        return [(type_, spec.changes[0]) for type_ in types_of(spec, source)]
    texts = [c for c in spec.changes if c.slot.startswith("text/")]
    swapped = len(texts) > 1 and "text.swap" in types_of(spec, source)
    found: list[tuple[str, Change]] = []
    for change in spec.changes:
        # Only of things there may be several alike; all else has its types by itself.
        alone = not change.slot.startswith("object/")
        own = classify(change) if alone else types_of(EditSpec((change,)), source)
        if swapped and change.slot.startswith("text/") and own in (("text.replace",), ("text.translate",)):
            if not any(type_ == "text.swap" for type_, _ in found):
                found.append(("text.swap", change))
            continue
        found += [(type_, change) for type_ in own]
    return found


@dataclass(frozen=True)
class Facts:
    """What a clause is made from. `before` and `after` are the values of the slot; names may be missing."""

    type: str
    change: Change
    source: Referent | None
    target: Referent | None

    @property
    def before(self) -> Value:
        return self.change.before

    @property
    def after(self) -> Value:
        return self.change.after

    @property
    def key(self) -> str:
        """What a phrasing is drawn by, so that one change is put alike whoever asks."""
        return f"{self.type}|{self.change.slot}"

    @property
    def rises(self) -> bool:
        """Does a number, or a `strength`, grow?"""
        return number_of(self.after) > number_of(self.before)

    @property
    def color(self) -> str:
        """Name of the color after the change. KeyError where nobody knows it."""
        if isinstance(self.after, Mapping) and "color" in self.after:
            return self.after["color"]
        if self.target is None or self.target.color is None:
            raise KeyError("color")
        return self.target.color

    @property
    def degree(self) -> str:
        """`slight`, `plain` or `strong`: the size of the change of a number, relative to 1."""
        size = abs(number_of(self.after) - number_of(self.before))
        return "slight" if size < 0.18 else "plain" if size < 0.45 else "strong"

    @property
    def place(self) -> str | None:
        """The cell of a 3 x 3 grid where the value's center lies in the target: `top left`, `center`, ..."""
        return place_of(self.after if isinstance(self.after, Mapping) and "x" in self.after else self.before)


def number_of(value: Value) -> float:
    """The number of a value: itself, its `strength`, 0 for the neutral one."""
    if isinstance(value, Mapping):
        value = value.get("strength", 1.0)
    return 0.0 if value is None else float(value)


def place_of(value: Value) -> str | None:
    """Cell of a 3 x 3 grid for a value with `x` and `y` (center, fractions of the sides); None without."""
    if not isinstance(value, Mapping) or "x" not in value or "y" not in value:
        return None
    column = ("left", "", "right")[min(2, max(0, int(float(value["x"]) * 3)))]
    row = ("top", "", "bottom")[min(2, max(0, int(float(value["y"]) * 3)))]
    return " ".join(p for p in (row, column) if p) or "center"


__all__ = [
    "LANGUAGES",
    "Choose",
    "Facts",
    "Names",
    "Referent",
    "UnspeakableError",
    "instruct",
    "merged",
]
