"""Does a picture show what it was asked for? Element by element, by whoever can check each; else unscored, never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .reward.claims import Claim as Element


class Claim(Element, Protocol):
    """An element of a prompt, and who is meant to check it."""

    checker: str


class Checker(Protocol):
    """Whoever can check some elements. `name` is recorded with every answer."""

    name: str

    def check(self, rgb: np.ndarray, prompt: str, claims: Sequence[Any]) -> Mapping[str, bool | None]:
        """Element id -> satisfied; None, or absent, where it cannot tell.

        Args:
            rgb: uint8 [h, w, 3].
            prompt: whole, for context.
            claims: the elements not yet decided; a checker answers those it is made for.
        """


@dataclass(frozen=True)
class Answer:
    """One element's answer: True, False, or None for unscored; and by whom."""

    satisfied: bool | None
    checker: str = ""


@dataclass(frozen=True)
class Judgement:
    """All answers on one picture.

    Attributes:
        answers: element id -> answer, for every element of the prompt.
        passes: every element that matters is satisfied; None where one is unscored and none failed.
    """

    answers: Mapping[str, Answer]
    passes: bool | None

    @property
    def satisfied(self) -> dict[str, bool]:
        """The scored ones, as `captioner.elements.score` takes them."""
        return {i: a.satisfied for i, a in self.answers.items() if a.satisfied is not None}


def judge(
    rgb: np.ndarray,
    prompt: str,
    claims: Sequence[Claim],
    checkers: Sequence[Checker],
    matters: Sequence[str] | None = None,
) -> Judgement:
    """Ask checkers in turn; the first that can tell decides an element.

    Args:
        claims: of the prompt, parents before children.
        matters: ids of the elements that the verdict is about, e.g. those of the probed concept; None for all.
            An id that is none of the claims' is unscored.

    Raises:
        ValueError: a checker answers about an element it was not asked for.
    """
    answers = {c.id: Answer(None) for c in claims}
    for checker in checkers:
        left = [c for c in claims if answers[c.id].satisfied is None]
        if not left:
            break
        asked = {c.id for c in left}
        for element, satisfied in checker.check(rgb, prompt, left).items():
            if element not in asked:
                raise ValueError(
                    f"checker {checker.name!r} answers about {element!r}, which it was not asked"
                )
            if satisfied is not None:
                answers[element] = Answer(bool(satisfied), checker.name)
    about = list(answers) if matters is None else list(matters)
    verdicts = [answers.get(i, Answer(None)).satisfied for i in about]
    if any(v is False for v in verdicts):
        return Judgement(answers, False)
    return Judgement(answers, True if verdicts and all(verdicts) else None)
