"""Checkers of prompt elements (`curation.active.judging.Checker`), from OCR and from the verifier of the procedural world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zcurate.curation.errors import ConfigError

#: Verifiers that know a whole world, by name.
VERIFIERS = ("shapes",)
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


class ShapesChecker:
    """Concepts of the procedural world (`model.data.shapes`), such as `red circle`, by its exact reader."""

    name = "shapes"

    def check(self, rgb: np.ndarray, prompt: str, claims: Sequence[Any]) -> Mapping[str, bool | None]:
        from zcurate.model.data.shapes.reading import Claim, holds, read
        from zcurate.model.data.shapes.world import SIDE_PX

        if rgb.shape != (SIDE_PX, SIDE_PX, 3):
            return {}
        reading = read(rgb)
        return {
            c.id: holds(Claim("object", c.name), reading) is not c.negated
            for c in claims
            if c.kind == "subject" and _in_world(c.name)
        }


@dataclass
class RewardChecker:
    """By the reward model, where it is sure: a probability of at least SURE, or at most 1 - SURE."""

    model: Any
    name: str = "reward"

    def check(self, rgb: np.ndarray, prompt: str, claims: Sequence[Any]) -> Mapping[str, bool | None]:
        asked = [c for c in claims if c.checker != "human"]
        (found,) = self.model.judged([rgb], [asked]) if asked else ({},)
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
    return ShapesChecker()


def _in_world(concept: str) -> bool:
    from zcurate.model.data.shapes.world import COLORS, GLYPHS, SHAPES

    color, _, rest = concept.partition(" ")
    kind, _, glyph = rest.partition(" ")
    return color in COLORS and (kind in SHAPES if not glyph else kind == "glyph" and glyph in GLYPHS)


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer
