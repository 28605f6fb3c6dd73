"""Checkers of prompt elements (`curation.active.judging.Checker`), from OCR and from the verifier of the procedural world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zcurate.curation.errors import ConfigError

if TYPE_CHECKING:
    from zcurate.model.data.shapes.reading import Claim as ShapeClaim

#: Verifiers that know a whole world, by name.
VERIFIERS = ("shapes", "shapes+rare")
#: Calibrated probability from which the reward model's word is taken.
SURE = 0.9


@dataclass
class OcrChecker:
    """Quoted text, exactly; see `captioner.lettering_shown`. `ocr` is a loaded engine."""

    ocr: Any
    name: str = "ocr"

    def check(self, rgb: np.ndarray, prompt: str, claims: Sequence[Any]) -> Mapping[str, bool | None]:
        from zcurate.captioner.lettering_shown import shown

        texts = [c for c in claims if c.checker == "ocr"]
        if not texts:
            return {}
        lines = self.ocr.read(rgb)
        found = {c.id: shown(c.name, lines) for c in texts}
        return {c.id: _not(found[c.id]) if c.negated else found[c.id] for c in texts}


@dataclass(frozen=True)
class ShapesChecker:
    """Concepts of the procedural world (`model.data.shapes`), `red circle` or `circle`, by its exact reader.

    Attributes:
        rare: the world has its rare shapes, too.
    """

    rare: bool = False

    @property
    def name(self) -> str:
        return VERIFIERS[self.rare]

    def check(self, rgb: np.ndarray, prompt: str, claims: Sequence[Any]) -> Mapping[str, bool | None]:
        from zcurate.model.data.shapes.reading import holds, read
        from zcurate.model.data.shapes.world import SIDE_PX

        if rgb.shape != (SIDE_PX, SIDE_PX, 3):
            return {}
        reading = read(rgb, self.rare)
        said = {c: _claim(c.name, self.rare) for c in claims if c.kind == "subject"}
        return {c.id: holds(claim, reading) is not c.negated for c, claim in said.items() if claim}


@dataclass
class RewardChecker:
    """By the reward model, where it is sure: a probability of at least SURE, or at most 1 - SURE."""

    model: Any
    name: str = "reward"

    def check(self, rgb: np.ndarray, prompt: str, claims: Sequence[Any]) -> Mapping[str, bool | None]:
        from zcurate.captioner.elements import elements

        asked = [c for c in claims if c.checker != "human"]
        # Claims that others have decided are not asked about, but what depends on them is worded with them.
        among = [*claims, *(e for e in elements(prompt).elements if e.id not in {c.id for c in claims})]
        (found,) = self.model.judged([rgb], [asked], [among]) if asked else ({},)
        return {i: True if p >= SURE else False if p <= 1 - SURE else None for i, p in found.items()}


@dataclass(frozen=True)
class Given:
    """Answers that are there already, e.g. a model's."""

    name: str
    answers: Mapping[str, bool | None]

    def check(self, rgb: np.ndarray, prompt: str, claims: Sequence[Any]) -> Mapping[str, bool | None]:
        return {c.id: self.answers[c.id] for c in claims if c.id in self.answers}


def verifier_of(name: str) -> ShapesChecker:
    """Raises ConfigError."""
    if name not in VERIFIERS:
        raise ConfigError(f"verifier {name!r} is none of {', '.join(VERIFIERS)}")
    return ShapesChecker(rare=name == VERIFIERS[1])


def _claim(concept: str, rare: bool) -> ShapeClaim | None:
    """What a concept of the world says of a picture; None for what is not of the world."""
    from zcurate.model.data.shapes.rare import RARE
    from zcurate.model.data.shapes.reading import Claim
    from zcurate.model.data.shapes.world import COLORS, GLYPHS, SHAPES

    shapes = {*SHAPES, *RARE} if rare else {*SHAPES}
    color, _, rest = concept.partition(" ")
    if concept in shapes:
        return Claim("shape", word=concept)
    kind, _, glyph = rest.partition(" ")
    known = color in COLORS and (rest in shapes or (kind == "glyph" and glyph in GLYPHS))
    return Claim("object", concept) if known else None


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer
