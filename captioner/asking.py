"""Asking a model for one JSON object until a check is satisfied: a few tries, no two the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from .answers import AnswerError, parse_object
from .chat import Chat, ChatRequest, Sampling
from .fencing import plain
from .shapes import lacks

T = TypeVar("T")

#: How much a further try raises the temperature, and by which factor a cut answer's budget grows.
TEMPERATURE_STEP = 0.3
BUDGET_STEP = 1.5
#: Longest description of the fault told to the model, in characters.
MAX_NOTE_CHARS = 600


@dataclass(frozen=True)
class Asked:
    """What an answer cost.

    Attributes:
        attempts: answers drawn, the good one included; tries of the transport are not counted.
        finish_reason: of the last answer.
        repaired: what was put right in the last answer, see `answers.Parsed`.
        tokens_in, tokens_out: over all attempts; None where the engine never said.
        seconds: over all attempts, waiting included.
        failures: reason of every attempt that failed, in order.
        seed, temperature: of the last attempt.
    """

    attempts: int
    finish_reason: str
    repaired: tuple[str, ...]
    tokens_in: int | None
    tokens_out: int | None
    seconds: float
    failures: tuple[str, ...] = ()
    seed: int | None = None
    temperature: float = 0.0


async def ask_json(
    chat: Chat,
    request: ChatRequest,
    check: Callable[[dict[str, Any]], T],
    tries: int = 3,
    max_temperature: float = 1.0,
) -> tuple[T, Asked]:
    """Ask until `check` accepts the object of an answer.

    Args:
        check: given the parsed object, returns the value wanted or raises AnswerError, whose `problem` is told
            to the model. It may be called once per try.
        tries: answers drawn at most, at least 1.
        max_temperature: never drawn hotter than this (or than the request itself), however often it is tried.

    Raises:
        AnswerError: of the last try, with `asked` and `text` set.
        ChatError: passes through.
    """
    if tries < 1:
        raise ValueError(f"tries is {tries}; it must be at least 1")
    keys = tuple((request.schema or {}).get("required", ()))
    began = time.monotonic()
    failures: list[str] = []
    counts: list[tuple[int | None, int | None]] = []
    current = request
    while True:
        answer = await chat.ask(current)
        counts.append((answer.tokens_in, answer.tokens_out))
        repaired: tuple[str, ...] = ()
        value: T | None = None
        error: AnswerError | None = None
        try:
            parsed = parse_object(answer.text, answer.finish_reason, keys)
            repaired = parsed.repaired
            # Without its closing brackets an answer may have been cut, even if the server says that it stopped.
            absent = lacks(parsed.value, request.schema or {}) if "unclosed" in repaired else ""
            if absent:
                raise AnswerError("not_json", f"the answer ends before {absent!r}")
            value = check(parsed.value)
        except AnswerError as e:
            error = e
            failures.append(e.reason)
        asked = Asked(
            attempts=len(counts),
            finish_reason=answer.finish_reason,
            repaired=repaired,
            tokens_in=_total([c[0] for c in counts]),
            tokens_out=_total([c[1] for c in counts]),
            seconds=time.monotonic() - began,
            failures=tuple(failures),
            seed=current.sampling.seed,
            temperature=current.sampling.temperature,
        )
        if error is None:
            return value, asked  # type: ignore[return-value]
        if len(counts) >= tries:
            error.asked, error.text = asked, answer.text[:2_000]
            raise error
        current = varied(request, error, len(counts), max_temperature)


def varied(
    request: ChatRequest, error: AnswerError, attempt: int, max_temperature: float = 1.0
) -> ChatRequest:
    """The request of try `attempt` (1 is the second), after `error`: hotter, another seed, told what was wrong.

    An identical request would be answered identically by a greedy model. A cut answer is given more room.
    """
    sampling = request.sampling
    hottest = max(max_temperature, sampling.temperature)
    changed = Sampling(
        temperature=min(hottest, sampling.temperature + TEMPERATURE_STEP * attempt),
        top_p=sampling.top_p,
        presence_penalty=sampling.presence_penalty,
        seed=(sampling.seed or 0) + 7919 * attempt,
    )
    room = BUDGET_STEP**attempt if error.reason == "truncated" else 1
    where = f" ({error.field})" if error.field else ""
    note = (
        f"Note on try {attempt + 1}: an earlier answer could not be used{where}. "
        f"{plain(error.problem, MAX_NOTE_CHARS)} Answer again, complete and correct, with one JSON object only."
    )
    return replace(
        request, parts=(*request.parts, note), sampling=changed, max_tokens=int(request.max_tokens * room)
    )


def _total(counts: list[int | None]) -> int | None:
    known = [c for c in counts if c is not None]
    return sum(known) if known else None
