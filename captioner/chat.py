"""A conversation of one turn with a vision-language model: what is asked, what comes back, what goes wrong.

Everything that needs a model (captions, OCR by the model, tags, differences, prompt enhancement, judging of concepts)
speaks through `Chat`; an engine behind it may be a server or a model in this process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol


@dataclass(frozen=True)
class ImagePart:
    """An encoded image (JPEG, PNG or WebP) as it lies in the dataset; the engine resizes it to its token budget."""

    data: bytes

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of the bytes; pictures are hashed once, however often they are asked about."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. None leaves the choice to the engine.

    Attributes:
        temperature: 0 is greedy.
        top_p: share of probability mass kept, (0, 1].
        presence_penalty: -2..2; never used where real repeats must survive (lettering).
        seed: of the engine's random numbers, where it has them.
    """

    temperature: float = 0.0
    top_p: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None


@dataclass(frozen=True)
class ChatRequest:
    """One question.

    Attributes:
        system: instructions; the same for all images of a run, so that servers can cache it.
        parts: the user's turn, texts and images in order. Texts from a dataset are untrusted: whoever builds
            the request fences them.
        schema: JSON schema the answer must follow (`response_format: json_schema`), its properties in the order
            in which they are to be written; None for free text.
        schema_name: name of the schema, `[a-z_]+`.
        max_tokens: ceiling of the answer.
    """

    system: str
    parts: tuple[str | ImagePart, ...]
    schema: Mapping[str, Any] | None = None
    schema_name: str = "answer"
    max_tokens: int = 2048
    sampling: Sampling = field(default_factory=Sampling)

    def key(self, model: str) -> str:
        """sha256 (hex) of everything that decides the answer, with the identity of the model asked."""
        parts = [p if isinstance(p, str) else {"image": p.digest} for p in self.parts]
        asked = [model, self.system, parts, self.schema, self.schema_name, self.max_tokens]
        asked.append(vars(self.sampling))
        text = json.dumps(asked, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def with_sampling(self, sampling: Sampling) -> ChatRequest:
        return replace(self, sampling=sampling)


@dataclass(frozen=True)
class ChatAnswer:
    """An answer as the model gave it, not yet parsed or trusted.

    Attributes:
        finish_reason: `stop` for a finished answer; `length` for one cut at `max_tokens`; `content_filter`;
            any other word the engine uses.
        tokens_in, tokens_out: as counted by the engine; None where it does not say.
        seconds: from sending to the last byte of the attempt that succeeded.
        attempts: tries of the transport, 1 for none repeated; 0 when it came from a journal.
        model: what the engine says answered.
    """

    text: str
    finish_reason: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float = 0.0
    attempts: int = 1
    model: str = ""


class ChatError(ValueError):
    """No usable answer. `reason` is one of REASONS; the message names what to do.

    `fatal` marks what no other row could do better (a wrong key, an unknown model, the spend cap): the stage stops
    with this message rather than quarantining every row.
    """

    #: transport: refused or broken connections, 5xx, 429 to the last try. timeout: no answer in time.
    #: rejected: a 4xx that another try cannot cure (e.g. a prompt that is too long). auth: 401 or 403.
    #: missing_model: 404. spend_cap: the money or token limit of the recipe is reached.
    #: memory: a model in this process has no room for the request.
    REASONS = ("transport", "timeout", "rejected", "auth", "missing_model", "spend_cap", "memory")

    def __init__(self, reason: str, message: str, fatal: bool = False):
        if reason not in self.REASONS:
            raise ValueError(f"unknown reason {reason!r}; there are {', '.join(self.REASONS)}")
        super().__init__(f"{reason}: {message}")
        self.reason, self.fatal = reason, fatal


class Chat(Protocol):
    """A model to talk to. Cheap to construct and to ship; `load` does the expensive part, once per worker.

    `ask` may be awaited by many tasks of one event loop at once: the engine bounds how many are under way (a server's
    capacity, a batch of the GPU). An instance belongs to one event loop.
    """

    engine: str  # "openai" or "transformers"
    model: str  # what the engine runs; with the recipe's revision it is part of every journal key
    placeholder: bool  # always False: a Chat is a model

    def load(self) -> None: ...

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        """Raises ChatError; never returns an empty text with finish_reason `stop`."""

    async def close(self) -> None:
        """Give back connections. May be called twice."""
