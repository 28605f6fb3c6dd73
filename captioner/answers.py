"""From the text a model answered with to one JSON object, or a typed reason why there is none.

The ladder, each step only where the one before it failed:

1. stop reason: a cut or filtered answer is never parsed; whether it looped or merely ran long is told apart;
2. strict JSON;
3. without a reasoning block, the first to the last complete object in the text (code fences and prose around it
   are passed over, strings and escapes respected);
4. repair of punctuation inside that object (`mending.py`): strings are never altered.

Of several objects the last that has every key asked for is taken (models correct themselves), else the last. An object
that breaks halfway is never replaced by one of its own parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .mending import BrokenError, mend
from .refusals import refusal_in
from .repetition import looping_tail

if TYPE_CHECKING:
    from .asking import Asked

#: Why an answer cannot be used. Closed: rows in quarantine are counted by these words.
#: truncated: cut at max_tokens, or ended for any reason but its own end. whitespace: cut while writing blanks.
#: repetition: cut or filled by a loop. filtered: the server's content filter. empty: nothing but blanks or reasoning.
#: refusal: the model declines, or says that it sees nothing. not_json: no object can be read. schema: fields missing
#: or of the wrong type. counts, length: too few or too many items, texts too short or too long. language: written in
#: another language than asked. translated: lettering in another script than the picture's. quotes: quoted lettering
#: that the picture does not have. lettering: a legible string is missing. watermark: one that nothing confirms.
#: style: phrases of interpretation, or "the image shows". entities: an entity of the metadata that the picture
#: contradicts, or no known source. coverage: simulated prompts that tell as much as the short caption. order: an answer
#: about another picture or part. other: a rule of the caller.
REASONS = (
    *("truncated", "whitespace", "repetition", "filtered", "empty", "refusal", "not_json", "schema", "counts", "length"),
    *("language", "translated", "quotes", "lettering", "watermark", "style", "entities", "coverage", "order", "other"),
)  # fmt: skip

#: Stop reasons of a finished answer: OpenAI's, and what other servers and libraries write for the same.
FINISHED = frozenset(("stop", "eos", "eos_token", "end_turn", "stop_sequence", "stop_token"))

#: Longest answer looked at, in characters.
MAX_CHARS = 400_000

_THINK_END = re.compile(r"</think(?:ing)?>", re.I)
_THINK_OPEN = re.compile(r"<think(?:ing)?>", re.I)


class AnswerError(ValueError):
    """An answer that cannot be used.

    Attributes:
        reason: one of REASONS.
        problem: what is wrong, fit to be told to the model that is asked again.
        field: the part at fault, such as `zh.long`; "" for the whole answer.
        asked: what was spent, once no try is left; set by `asking.ask_json`.
        text: the first characters of the last answer, for quarantine.
    """

    def __init__(self, reason: str, problem: str, field: str = ""):
        if reason not in REASONS:
            raise ValueError(f"unknown reason {reason!r}; there are {', '.join(REASONS)}")
        super().__init__(f"{reason}: {field + ': ' if field else ''}{problem}")
        self.reason, self.problem, self.field = reason, problem, field
        self.asked: Asked | None = None
        self.text = ""


@dataclass(frozen=True)
class Parsed:
    """Attributes:
    value: the object.
    repaired: what had to be done to read it, sorted, from: array, comma, constants, control_chars, encoded_twice,
        full_width, prose, reasoning, several_objects, single_quotes, unclosed, wrapped. Empty for strict JSON.
    """

    value: dict[str, Any]
    repaired: tuple[str, ...] = ()


def parse_object(text: str, finish_reason: str = "stop", keys: Sequence[str] = ()) -> Parsed:
    """The JSON object of an answer.

    Args:
        text: as the model gave it.
        finish_reason: of the answer; nothing but a finished one is parsed.
        keys: fields the object should have; they decide between several objects.

    Raises:
        AnswerError: truncated, whitespace, repetition, filtered, empty, refusal or not_json.
    """
    _finished(text, finish_reason)
    if len(text) > MAX_CHARS:
        raise AnswerError("not_json", f"{len(text)} characters are more than the {MAX_CHARS} looked at")
    if not text.strip():
        raise AnswerError("empty", "the answer is empty")
    try:
        value = _strict(text)
    except (ValueError, RecursionError):
        parsed = _scan(text, tuple(keys))
    else:
        parsed = _whole(value)
    parsed = _unwrapped(parsed, tuple(keys))
    _encodable(parsed.value)
    return parsed


def _finished(text: str, finish_reason: str) -> None:
    if finish_reason.lower() in FINISHED:
        return
    if finish_reason == "content_filter":
        raise AnswerError("filtered", "the server's content filter stopped the answer")
    if finish_reason == "empty":  # how an engine marks a finished answer without text
        raise AnswerError("empty", "the answer is empty")
    blanks = len(text) - len(text.rstrip())
    if blanks >= 64 and blanks * 4 >= len(text):
        raise AnswerError(
            "whitespace", f"the answer ran into {blanks} blanks and was cut; write compact JSON"
        )
    loop = looping_tail(text)
    if loop:
        raise AnswerError("repetition", f"the answer repeated {loop} without end and was cut")
    raise AnswerError("truncated", f"the answer was cut ({finish_reason or 'no stop reason'}) before its end")


def _strict(text: str) -> Any:
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _whole(value: Any) -> Parsed:
    if isinstance(value, dict):
        return Parsed(value)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return Parsed(value[0], ("array",))
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            inner = _strict(value)
        except (ValueError, RecursionError):
            inner = None
        if isinstance(inner, dict):
            return Parsed(inner, ("encoded_twice",))
    raise AnswerError("not_json", f"the answer is a JSON {type(value).__name__}; one object is asked for")


def _unwrapped(parsed: Parsed, keys: tuple[str, ...]) -> Parsed:
    """The object asked for where a model puts it into another, as in {"result": {...}}."""
    inner = next(iter(parsed.value.values()), None) if len(parsed.value) == 1 else None
    if not keys or not isinstance(inner, dict) or set(keys) & set(parsed.value) or set(keys) - set(inner):
        return parsed
    return Parsed(inner, tuple(sorted({*parsed.repaired, "wrapped"})))


def _scan(text: str, keys: tuple[str, ...]) -> Parsed:
    body, repaired = _without_reasoning(text)
    found, broken = _objects(body, keys)
    # The opening tag may be part of the prompt, so that only the end of the reasoning is seen. Inside an object the
    # tag is a string's business.
    ends = [m for m in _THINK_END.finditer(body) if not any(f[1] <= m.start() < f[2] for f in found)]
    if ends:
        body = body[ends[-1].end() :]
        repaired.add("reasoning")
        found, broken = _objects(body, keys)
    if not body.strip():
        raise AnswerError("empty", "the answer holds nothing but reasoning")
    if not found:
        if refusal_in(body):
            raise AnswerError("refusal", f"the model declined: {body.strip()[:120]!r}")
        loop = looping_tail(body)
        if loop:
            raise AnswerError("repetition", f"the answer repeats {loop} without end")
        raise AnswerError("not_json", broken or "the answer holds no JSON object")
    fitting = [f for f in found if keys and all(k in f[0] for k in keys)]
    value, start, end, mended = (fitting or found)[-1]
    if len(found) > 1:
        repaired.add("several_objects")
    if body[:start].strip() or body[end:].strip():
        repaired.add("prose")
    return Parsed(value, tuple(sorted(repaired | mended)))


def _without_reasoning(text: str) -> tuple[str, set[str]]:
    """Text without a reasoning block that opens before any brace."""
    body, repaired = text, set()
    while (opening := _THINK_OPEN.search(body)) and _next_brace(body[: opening.start()], 0) < 0:
        end = _THINK_END.search(body, opening.end())
        body = body[end.end() :] if end else ""
        repaired = {"reasoning"}
    return body, repaired


def _objects(body: str, keys: tuple[str, ...]) -> tuple[list[tuple[dict[str, Any], int, int, set[str]]], str]:
    """Complete objects outside each other with their spans, and what was wrong with the last broken one."""
    found: list[tuple[dict[str, Any], int, int, set[str]]] = []
    broken, inside, at = "", False, 0
    while (start := _next_brace(body, at)) >= 0:
        try:
            value, end, mended = mend(body, start)
        except BrokenError as e:
            at = max(start + 1, e.position)
            if e.keys:  # what follows may be a part of the broken object
                broken, inside = str(e), True
            continue
        at = end
        if not inside or (keys and all(k in value for k in keys)):
            found.append((value, start, end, mended))
    return found, broken


def _next_brace(body: str, at: int) -> int:
    places = [p for p in (body.find("{", at), body.find("｛", at)) if p >= 0]
    return min(places, default=-1)


def _encodable(value: dict[str, Any]) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, RecursionError) as e:
        raise AnswerError(
            "not_json", "a string holds half a surrogate pair, or the object is too deep"
        ) from e
