"""Elements of a prompt by a model, held to the prompt: it may name only words that stand there, and every quoted string."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from . import packs
from .answers import AnswerError
from .asking import Asked, ask_json
from .chat import Chat, ChatRequest, Sampling
from .elements import CHECKERS, KINDS, Decomposition, Element, ElementError, assemble
from .elements_quotes import quoted_spans
from .elements_rules import language_of
from .fencing import fence

MAX_PROMPT_CHARS = 8_000
MAX_ELEMENTS = 120

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "elements": {
            "type": "array",
            "maxItems": MAX_ELEMENTS,
            "items": {
                "type": "object",
                "properties": {
                    "ref": {"type": "string", "maxLength": 12},
                    "kind": {"type": "string", "enum": list(KINDS)},
                    "name": {"type": "string", "maxLength": 1000},
                    "words": {"type": "string", "maxLength": 1000},
                    "parents": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 4},
                    "negated": {"type": "boolean"},
                    "checker": {"type": "string", "enum": list(CHECKERS)},
                },
                "required": ["ref", "kind", "name", "words", "parents", "negated", "checker"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["elements"],
    "additionalProperties": False,
}


async def ask_elements(
    prompt: str, chat: Chat, tries: int = 3, max_tokens: int = 4096
) -> tuple[Decomposition, Asked]:
    """Decompose a prompt by a model.

    Raises:
        AnswerError: no acceptable answer. ChatError: no answer. ValueError: a prompt longer than MAX_PROMPT_CHARS.
    """
    if len(prompt) > MAX_PROMPT_CHARS:
        raise ValueError(f"prompt has {len(prompt)} characters; at most {MAX_PROMPT_CHARS}")
    pack = packs.load("elements", packs.family_of(chat.model))
    request = ChatRequest(
        pack.system,
        (pack.fill(prompt=fence("prompt", prompt, MAX_PROMPT_CHARS)),),
        schema=SCHEMA,
        schema_name="prompt_elements",
        max_tokens=max_tokens,
        sampling=Sampling(temperature=0.0, seed=0),
    )
    engine = f"{chat.engine}:{chat.model} {pack.sha[:12]}"
    return await ask_json(chat, request, lambda found: _checked(found, prompt, engine), tries)


def elements_by_model(prompt: str, chat: Chat) -> Decomposition:
    """`ask_elements` outside an event loop. `chat` is loaded and closed here."""

    async def work() -> Decomposition:
        try:
            return (await ask_elements(prompt, chat))[0]
        finally:
            await chat.close()

    chat.load()
    return asyncio.run(work())


def _checked(found: dict[str, Any], prompt: str, engine: str) -> Decomposition:
    listed = found.get("elements")
    if not isinstance(listed, list) or not listed or len(listed) > MAX_ELEMENTS:
        raise AnswerError("counts", f"elements must be a list of 1 to {MAX_ELEMENTS} objects.", "elements")
    claims = [_claim(entry, prompt, i) for i, entry in enumerate(listed)]
    quoted = Counter(q.text for q in quoted_spans(prompt))
    texts = Counter(c.name for c in claims if c.kind == "text")
    if quoted - texts:
        raise AnswerError(
            "quotes",
            f"The quoted string {next(iter(quoted - texts))!r} has no element of kind text.",
            "elements",
        )
    strange = [t for t in texts if t not in prompt]
    if strange:
        raise AnswerError("quotes", f"The prompt does not have the text {strange[0]!r}.", "elements")
    try:
        return assemble(prompt, language_of(prompt), engine, claims)
    except ElementError as e:
        raise AnswerError("order", str(e), "elements") from e


def _claim(entry: Any, prompt: str, i: int) -> Element:
    where = f"elements[{i}]"
    if not isinstance(entry, dict):
        raise AnswerError("schema", f"{where} must be an object.", where)
    ref, kind, name, said = (entry.get(k) for k in ("ref", "kind", "name", "words"))
    parents, checker = entry.get("parents", []), entry.get("checker")
    texts_ok = all(isinstance(x, str) and x.strip() for x in (ref, kind, name))
    if not texts_ok or not isinstance(parents, list) or not all(isinstance(p, str) for p in parents):
        raise AnswerError("schema", f"{where} needs ref, kind, name, words and parents as texts.", where)
    if kind not in KINDS or checker not in CHECKERS:
        raise AnswerError(
            "schema", f"{where}: kind {kind!r} or checker {checker!r} is none of those listed.", where
        )
    # What a checker can do is no opinion of the model's.
    checker = {"text": "ocr", "count": "count"}.get(kind, checker)
    if checker in ("ocr", "count") and kind not in ("text", "count"):
        checker = "vlm"
    if kind == "count" and not name.strip().isdecimal():
        raise AnswerError("schema", f"{where}: the name of a count is its number in digits.", where)
    words = said.strip() if isinstance(said, str) else ""
    start = prompt.find(words) if words else -1
    name = name if kind == "text" else " ".join(name.split())
    end = start + len(words) if start >= 0 else -1
    return Element(
        ref, kind, name, words or name, start, end, tuple(parents), checker, entry.get("negated") is True
    )
