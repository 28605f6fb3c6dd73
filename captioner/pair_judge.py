"""Edit pairs checked by a model that looks at both pictures: what was asked for, all else kept, no traces. Yes, no or unclear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import packs
from .asking import Asked, ask_json
from .chat import Chat, ChatRequest, ImagePart, Sampling
from .element_judge import SCHEMA, checked
from .fencing import fence, plain

#: Keys of what is asked of every pair, besides its instructions.
REST, LOOK = "rest", "look"
_SAID = {
    REST: "rest: everything that no instruction asks to change is as it was",
    LOOK: "look: the result shows no trace of editing",
}


class PairElementJudge:
    """Asks a Chat about pairs, one question for all claims. May be used by many tasks of one event loop at once."""

    def __init__(self, chat: Chat, family: str = "auto", tries: int = 3, directory: str | None = None):
        self._chat, self._tries = chat, tries
        family = packs.family_of(chat.model) if family == "auto" else family
        self.pack = packs.load("judging_pair", family, directory)

    async def judge(
        self, sources: Sequence[bytes], target: bytes, instructions: Mapping[str, str]
    ) -> tuple[dict[str, bool | None], Asked]:
        """Key of an instruction, REST or LOOK -> met; None where the model says it cannot tell.

        Args:
            sources, target: encoded pictures (JPEG, PNG or WebP), before and after.
            instructions: key -> instruction, in any language; `en_...` and `zh_...` say which. Who wrote them is not told.

        Raises:
            AnswerError: no acceptable answer. ChatError: no answer. ValueError: no source or no instruction.
        """
        if not sources or not instructions:
            raise ValueError("a pair has at least one source and one instruction")
        said = {key: f"instruction ({key[:2]}): {_line(text)}" for key, text in instructions.items()} | _SAID
        listed = "\n".join(f"{i}. {text}" for i, text in enumerate(said.values(), 1))
        request = ChatRequest(
            self.pack.system,
            (*map(ImagePart, sources), ImagePart(target), self.pack.fill(claims=fence("claims", listed))),
            schema=SCHEMA,
            schema_name="element_verdicts",
            max_tokens=tokens_of(len(instructions)),
            sampling=Sampling(temperature=0.0, seed=0),
        )
        verdicts, asked = await ask_json(
            self._chat, request, lambda found: checked(found, len(said)), self._tries
        )
        return dict(zip(said, verdicts, strict=True)), asked


def _line(text: str) -> str:
    """On one line, so that an instruction cannot pose as another claim."""
    return " ".join(plain(text).split())


def tokens_of(instructions: int) -> int:
    """Tokens an answer may take."""
    return 256 + 64 * (instructions + len(_SAID))
