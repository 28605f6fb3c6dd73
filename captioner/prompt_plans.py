"""Plans of simulated user prompts, drawn before the model writes them.

Asked for "prompts as users type them" without a plan, models write short captions again. A plan says what is kept,
and so what is left out, and how it is put. Drawn from seed and sample id: the same on any machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from .schema import PromptPlan

ELEMENTS = ("subject", "attribute", "place", "style", "text")
#: Register -> how the model is told.
REGISTERS = {
    "keywords": "a few keywords with commas, no sentence",
    "phrase": "one noun phrase",
    "sentence": "one plain sentence",
    "command": "a request, as to an assistant",
    "casual": "casual and careless: no capitals, little punctuation, a colloquial word",
}
#: How many elements a plan keeps: mostly one or two, so that prompts are mostly incomplete. In sixteenths.
_KEPT = (1,) * 6 + (2,) * 8 + (3,) * 2

_NAMES = {
    "subject": "the main subject",
    "attribute": "one or two of its attributes",
    "place": "the place or background",
    "style": "medium or style",
    "text": "one string of the lettering, quoted",
}


def draw_plans(
    sample_id: bytes, seed: int, languages: Sequence[str], count: int, has_text: bool
) -> tuple[PromptPlan, ...]:
    """`count` different plans per language, in order. Without lettering none keeps `text`.

    Three of four keep the subject; the rest ask for something the picture shows beside it.
    """
    plans: list[PromptPlan] = []
    elements = [e for e in ELEMENTS if has_text or e != "text"]
    for language in languages:
        drawn: dict[PromptPlan, None] = {}
        attempt = 0
        while len(drawn) < count:
            key = sample_id + f"|{seed}|{language}|{attempt}".encode()
            number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
            attempt += 1
            number, register = divmod(number, len(REGISTERS))
            number, size = divmod(number, len(_KEPT))
            number, with_subject = divmod(number, 4)
            pool = elements[1:]
            kept = {"subject"} if with_subject else set()
            while len(kept) < _KEPT[size]:
                number, index = divmod(number, len(pool))
                kept.add(pool[index])
            plan = PromptPlan(language, tuple(e for e in ELEMENTS if e in kept), tuple(REGISTERS)[register])
            drawn[plan] = None
        plans += drawn
    return tuple(plans)


def told(plans: Sequence[PromptPlan]) -> str:
    """Plans as the model reads them, one a line."""
    lines, number = [], dict.fromkeys(("en", "zh"), 0)
    for plan in plans:
        number[plan.language] += 1
        kept = ", ".join(_NAMES[e] for e in plan.keep)
        lines.append(
            f"{plan.language} {number[plan.language]}: {REGISTERS[plan.register]}; mentions only {kept}"
        )
    return "\n".join(lines)
