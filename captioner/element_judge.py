"""Elements of a prompt checked in a picture by a model that looks: yes, no, or it cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import packs
from .answers import AnswerError
from .asking import Asked, ask_json
from .chat import Chat, ChatRequest, ImagePart, Sampling
from .elements import Element
from .fencing import fence, plain

MAX_CLAIMS = 120
MAX_SEEN_CHARS = 200
YES, NO, UNCLEAR = "yes", "no", "unclear"
_VERDICTS = {YES: True, NO: False, UNCLEAR: None}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "claims": {
            "type": "array",
            "maxItems": MAX_CLAIMS,
            "items": {
                "type": "object",
                "properties": {
                    "number": {"type": "integer", "minimum": 1, "maximum": MAX_CLAIMS},
                    "seen": {"type": "string", "maxLength": MAX_SEEN_CHARS},
                    "verdict": {"type": "string", "enum": list(_VERDICTS)},
                },
                "required": ["number", "seen", "verdict"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["claims"],
    "additionalProperties": False,
}


class ElementJudge:
    """Asks a Chat about pictures, one question for all claims. May be used by many tasks of one event loop at once."""

    def __init__(self, chat: Chat, family: str = "auto", tries: int = 3, directory: str | None = None):
        self._chat, self._tries = chat, tries
        self.pack = packs.load(
            "judging", packs.family_of(chat.model) if family == "auto" else family, directory
        )

    async def judge(
        self, image: bytes, prompt: str, claims: Sequence[Element]
    ) -> tuple[dict[str, bool | None], Asked]:
        """Element id -> shown; None where the model says it cannot tell.

        Args:
            image: an encoded picture (JPEG, PNG or WebP).
            claims: at least one and at most MAX_CLAIMS; parents that are no claims are named all the same.

        Raises:
            AnswerError: no acceptable answer. ChatError: no answer. ValueError: no claims, or too many.
        """
        if not 1 <= len(claims) <= MAX_CLAIMS:
            raise ValueError(f"{len(claims)} claims; between 1 and {MAX_CLAIMS} are asked at once")
        listed = "\n".join(f"{i}. {told(claim, claims)}" for i, claim in enumerate(claims, 1))
        request = ChatRequest(
            self.pack.system,
            (
                ImagePart(image),
                self.pack.fill(prompt=fence("prompt", prompt), claims=fence("claims", listed)),
            ),
            schema=SCHEMA,
            schema_name="element_verdicts",
            max_tokens=256 + 64 * len(claims),
            sampling=Sampling(temperature=0.0, seed=0),
        )
        verdicts, asked = await ask_json(
            self._chat, request, lambda found: checked(found, len(claims)), self._tries
        )
        return {claim.id: v for claim, v in zip(claims, verdicts, strict=True)}, asked


def told(claim: Element, claims: Sequence[Element]) -> str:
    """A claim in words, with what it depends on."""
    names = {c.id: c.text for c in claims}
    of = [plain(names[p]) for p in claim.parents if p in names]
    said = plain(claim.text)
    parts = [
        f'the text "{plain(claim.name)}" is written' if claim.kind == "text" else f"{claim.kind}: {said}"
    ]
    if of:
        parts.append(f"of: {', '.join(of)}")
    if claim.negated:
        parts.append("absent")
    return "; ".join(parts)


def checked(found: dict[str, Any], count: int) -> list[bool | None]:
    """Verdicts of a parsed answer, in the order of the claims. Raises AnswerError."""
    listed = found.get("claims")
    if not isinstance(listed, list) or not all(isinstance(x, dict) for x in listed):
        raise AnswerError("schema", "claims must be a list of objects.", "claims")
    verdicts: dict[int, bool | None] = {}
    for entry in listed:
        number, verdict = entry.get("number"), entry.get("verdict")
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= count:
            raise AnswerError("counts", f"number {number!r} is no claim's; there are {count}.", "claims")
        if number in verdicts:
            raise AnswerError("counts", f"Claim {number} is answered twice.", "claims")
        if verdict not in _VERDICTS:
            raise AnswerError("schema", f"Claim {number}: the verdict is yes, no or unclear.", "claims")
        verdicts[number] = _VERDICTS[verdict]
    missing = [i for i in range(1, count + 1) if i not in verdicts]
    if missing:
        raise AnswerError("counts", f"Claim {missing[0]} has no verdict.", "claims")
    return [verdicts[i] for i in range(1, count + 1)]
