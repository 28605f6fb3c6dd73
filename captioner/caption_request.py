"""The second call as a request: lettering and metadata as given facts, plans of prompts, and the shape of the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .checks import ENTITY_KINDS, LIMITS, SOURCES, Draft
from .fencing import fence, has_control_token
from .known_facts import KnownFacts
from .ocr_pass import strings_schema
from .packs import Prompt
from .prompt_plans import told
from .schema import LANGUAGES, OcrString, PromptPlan
from .shapes import closed_object

MAX_LETTERING_CHARS = 24_000
MAX_KEPT_CHARS = 8_000

_NAMES = {"en": "English", "zh": "Chinese"}


def user_text(
    prompt: Prompt,
    lettering: str | None,
    facts: KnownFacts,
    plans: Sequence[PromptPlan],
    languages: Sequence[str],
) -> str:
    """The user's turn beside the picture. `lettering` None where the answer holds the lettering itself."""
    values = {
        "metadata": facts.block(prompt.section("no_metadata")),
        "plans": told(plans),
        "languages": prompt.section("both_languages")
        if len(languages) == len(LANGUAGES)
        else prompt.section("one_language", language=f'"{languages[0]}" ({_NAMES[languages[0]]})'),
        "closing": prompt.section("closing"),
    }
    if lettering is None:
        values["place"] = prompt.section("place")
    else:
        values["lettering"] = lettering
    return prompt.fill(**values)


def rest_text(prompt: Prompt, draft: Draft, wanted: Mapping[str, Sequence[str]]) -> str:
    """What follows the user's turn when parts of the answer are kept."""
    kept = {
        language: {k: v for k, v in kinds.items() if k not in wanted.get(language, ())}
        for language, kinds in draft.items()
    }
    text = fence("written", json.dumps(kept, ensure_ascii=False), MAX_KEPT_CHARS)
    fields = ", ".join(f'"{language}"."{kind}"' for language, kinds in wanted.items() for kind in kinds)
    return prompt.section("rest", kept=text, fields=fields)


def lettering_text(prompt: Prompt, strings: Sequence[OcrString]) -> str:
    """The OCR pass as JSON lines, fenced: a sign may say anything, instructions included."""
    lines = [
        json.dumps(
            {
                "text": s.text,
                "carrier": s.carrier or "",
                "cell": s.cell or "",
                **({} if s.kind == "content" else {"kind": s.kind}),
                **({} if s.legible else {"legible": False}),
            },
            ensure_ascii=False,
        )
        for s in strings
        if not has_control_token(s.text)
    ]
    return (
        fence("lettering", "\n".join(lines), MAX_LETTERING_CHARS) if lines else prompt.section("no_lettering")
    )


def json_schema(
    wanted: Mapping[str, Sequence[str]], facts: bool = True, ocr: Prompt | None = None
) -> dict[str, Any]:
    """JSON schema of an answer with the fields wanted, in the order in which they are to be written.

    Args:
        facts: with `contradicted` and `entities` before the captions.
        ocr: with the lettering before everything, as this prompt asks for it.
    """
    many = {"type": "array", "items": {"type": "string"}}
    types = {
        "tags": many | {"minItems": LIMITS.tags[0], "maxItems": LIMITS.tags[1]},
        "user_prompts": many | {"minItems": 1, "maxItems": LIMITS.user_prompts[1]},
    }
    properties: dict[str, Any] = {"ocr": strings_schema(ocr)} if ocr else {}
    if facts:
        entity = {
            "en": {"type": "string"},
            "zh": {"type": "string"},
            "kind": {"type": "string", "enum": list(ENTITY_KINDS)},
            "source": {"type": "string", "enum": list(SOURCES)},
        }
        properties["contradicted"] = many | {"maxItems": 20}
        properties["entities"] = {"type": "array", "items": closed_object(entity), "maxItems": 40}
    for language, kinds in wanted.items():
        properties[language] = closed_object({kind: types.get(kind, {"type": "string"}) for kind in kinds})
    return closed_object(properties)
