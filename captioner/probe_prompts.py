"""Prompts by which a generator is tested for one concept, written by a language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import packs
from .answers import AnswerError
from .asking import Asked, ask_json
from .chat import Chat, ChatRequest, Sampling
from .fencing import fence, plain

MAX_PROMPTS = 64
MAX_PROMPT_CHARS = 400
MAX_NAMES = 12
#: Of the prompts asked for, those that must be usable for an answer to be taken.
_LEAST_SHARE = 0.5

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "prompts": {
            "type": "array",
            "maxItems": MAX_PROMPTS,
            "items": {"type": "string", "minLength": 1, "maxLength": MAX_PROMPT_CHARS},
        }
    },
    "required": ["prompts"],
    "additionalProperties": False,
}


class ProbeWriter:
    """Asks a Chat. May be used by many tasks of one event loop at once."""

    def __init__(self, chat: Chat, family: str = "auto", tries: int = 3, directory: str | None = None):
        self._chat, self._tries = chat, tries
        self.pack = packs.load(
            "probing", packs.family_of(chat.model) if family == "auto" else family, directory
        )

    async def write(
        self, names: Sequence[str], count: int, names_it: Callable[[str], bool]
    ) -> tuple[list[str], Asked]:
        """Between half of `count` prompts and all of them, each different and naming the concept.

        Args:
            names: of the concept; the first is the usual one.
            count: 1 to MAX_PROMPTS.
            names_it: whether a prompt names the concept. Those that do not are left out: they would test another.

        Raises:
            AnswerError: no acceptable answer. ChatError: no answer. ValueError: no names, or a wrong count.
        """
        if not names or not 1 <= count <= MAX_PROMPTS:
            raise ValueError(
                f"{len(names)} names, {count} prompts; give a name, and ask for 1 to {MAX_PROMPTS}"
            )
        listed = "\n".join(plain(n, 200) for n in names[:MAX_NAMES])
        request = ChatRequest(
            self.pack.system,
            (self.pack.fill(count=str(count), names=fence("names", listed)),),
            schema=SCHEMA,
            schema_name="probe_prompts",
            max_tokens=min(256 + 120 * count, 4096),
            sampling=Sampling(temperature=0.7, seed=0),
        )
        return await ask_json(self._chat, request, lambda found: checked(found, count, names_it), self._tries)


def checked(found: dict[str, Any], count: int, names_it: Callable[[str], bool]) -> list[str]:
    """The usable prompts of a parsed answer, at most `count`. Raises AnswerError: too few of them."""
    listed = found.get("prompts")
    if not isinstance(listed, list) or not all(isinstance(p, str) for p in listed):
        raise AnswerError("schema", "prompts must be a list of strings.", "prompts")
    said = dict.fromkeys(" ".join(plain(p).split()) for p in listed)
    good = [p for p in said if p and len(p) <= MAX_PROMPT_CHARS and names_it(p)]
    if len(good) < _LEAST_SHARE * count:
        raise AnswerError(
            "counts",
            f"Of {count} prompts wanted only {len(good)} differ from each other and hold a name as it is spelled.",
            "prompts",
        )
    return good[:count]
