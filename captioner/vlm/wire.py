"""The OpenAI chat protocol: a request as JSON, an answer out of JSON. Nothing here sends anything.

Servers differ in what they accept: `Features` says what to leave out, and `refused_feature` reads from a server's
complaint what that was.
"""

from __future__ import annotations

import html
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..chat import ChatRequest

#: What a server may refuse, in the order in which they are given up when its complaint names none.
OPTIONAL = ("response_format", "seed", "presence_penalty", "top_p", "temperature")
#: Stands for a picture; random, so that no text of a dataset can contain it.
_PICTURE = f"picture-{secrets.token_hex(16)}"
_TOO_LONG = re.compile(
    r"context.{0,3}(length|window|size)|max_model_len|prompt is too long|too many tokens|input is too long"
    r"|(exceed|longer than|greater than).{0,60}(tokens|context|length)|reduce the length|too many (image|vision) tokens",
    re.IGNORECASE | re.DOTALL,
)
_THINKING = re.compile(r"\A\s*<(think|thinking|reasoning)>.*?(</\1>|\Z)\s*", re.DOTALL | re.IGNORECASE)
#: Templates that open the block in the prompt leave only its end in the answer.
_THINKING_TAIL = re.compile(r"\A(?:(?!<think>).)*?</think>\s*", re.DOTALL | re.IGNORECASE)


#: What servers call the ends that OpenAI calls `length` and `content_filter`.
_ENDS = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(
        (
            "content_filter",
            "content-filter",
            "safety",
            "sensitive",
            "recitation",
            "prohibited_content",
            "blocklist",
        ),
        "content_filter",
    ),
}
#: The server gave up on an answer that it had begun: another attempt may go well.
_GIVEN_UP = (
    "error",
    "abort",
    "aborted",
    "cancelled",
    "insufficient_system_resource",
    "malformed_function_call",
)


class BadBodyError(ValueError):
    """An answer with status 200 that is no chat completion."""


@dataclass(frozen=True)
class Completion:
    """A chat completion as sent. `text` without any reasoning; `finish_reason` `empty` for a stop without text."""

    text: str
    finish_reason: str
    tokens_in: int | None
    tokens_out: int | None
    model: str


def schema_note(schema: Mapping[str, Any]) -> str:
    """A schema as words of a prompt, for engines that cannot enforce it."""
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return f"Answer with one JSON object that follows this JSON schema, and with nothing else:\n{text}"


def body_of(request: ChatRequest, model: str, image_urls: Sequence[bytes], without: frozenset[str]) -> bytes:
    """The JSON of a request.

    Args:
        image_urls: data URLs, one per ImagePart, in order.
        without: optional features the server refuses: names of OPTIONAL, and `max_tokens` where it wants the newer
            `max_completion_tokens`. Without `response_format` the schema goes into the system prompt.
    """
    content = [
        {"type": "text", "text": p}
        if isinstance(p, str)
        else {"type": "image_url", "image_url": {"url": _PICTURE}}
        for p in request.parts
    ]
    constrained = request.schema is not None and "response_format" not in without
    system = request.system
    if request.schema is not None and not constrained:
        system = f"{system}\n\n{schema_note(request.schema)}".strip()
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": content})
    limit = "max_completion_tokens" if "max_tokens" in without else "max_tokens"
    body: dict[str, Any] = {"model": model, "messages": messages, limit: request.max_tokens}
    for name, value in vars(request.sampling).items():
        if value is not None:
            body[name] = value
    if constrained:
        schema = {"name": request.schema_name, "strict": True, "schema": request.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    for name in without & body.keys() & set(OPTIONAL):
        del body[name]
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    # Pictures are most of a request; base64 needs no escapes, so they are put in after the rest is encoded.
    pieces = text.split(_PICTURE.encode("ascii"))
    return b"".join(p for pair in zip(pieces, [*image_urls, b""], strict=True) for p in pair)


def features_of(request: ChatRequest) -> frozenset[str]:
    """The optional features that a request uses."""
    used = {name for name, value in vars(request.sampling).items() if value is not None}
    if request.schema is not None:
        used.add("response_format")
    return frozenset(used | {"max_tokens"})


def refused_feature(message: str, used: frozenset[str]) -> str | None:
    """The feature in use that an error message names, if any."""
    aliases = {
        "response_format": r"response_format|json_schema|structured.?outputs?|guided|grammar|schema",
        "max_tokens": "max_completion_tokens",
    }
    for name in (*OPTIONAL, "max_tokens"):
        if name in used and re.search(rf"\b({aliases.get(name, name)})\b", message, re.IGNORECASE):
            return name
    return None


def is_too_long(status: int, message: str) -> bool:
    """Does the server say that the prompt, image included, is too long?"""
    return status == 413 or bool(_TOO_LONG.search(message))


def error_message(data: bytes) -> str:
    """What a server says is wrong: OpenAI's or FastAPI's form, else the text; one line, at most 300 characters."""
    text = data[:100_000].decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = html.unescape(re.sub(r"<[^>]*>", " ", text))
    if isinstance(value, dict):
        error = value.get("error", value)
        value = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else " " for c in " ".join(value.split()))[:300]


def without_reasoning(text: str) -> str:
    """An answer without the reasoning block in front of it; one that never ends leaves nothing."""
    stripped = _THINKING.sub("", text, count=1)
    return stripped if stripped != text else _THINKING_TAIL.sub("", text, count=1)


def parse_completion(data: bytes) -> Completion:
    """The body of a 200 as a Completion.

    An object that came as the arguments of a tool, which nobody offered, counts as the text.

    Raises:
        BadBodyError: no JSON, not of the protocol, an error in place of an answer, or an answer the server gave up on.
    """
    try:
        value = json.loads(data)
        if isinstance(value, dict) and value.get("error") and not value.get("choices"):
            raise BadBodyError(f"an error in place of an answer: {error_message(data)}")
        choice = value["choices"][0]
        message = choice["message"]
        content = message.get("content")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as e:
        if isinstance(e, BadBodyError):
            raise
        raise BadBodyError(f"no chat completion ({type(e).__name__})") from e
    finish = choice.get("finish_reason")
    finish = finish.lower() if isinstance(finish, str) and finish else "stop"
    if finish in _GIVEN_UP:
        raise BadBodyError(f"the server gave up on its answer ({finish})")
    finish = _ENDS.get(finish, finish)
    text = without_reasoning(_text_of(content))
    if not text.strip():
        text = _tool_arguments(message)
    if not text.strip() and message.get("refusal") and isinstance(message["refusal"], str):
        text = message["refusal"]
    if finish in ("tool_calls", "function_call"):
        finish = "stop"
    if not text.strip() and finish == "stop":
        text, finish = "", "empty"
    usage = value.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    model = value.get("model")
    return Completion(
        text,
        finish,
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        model[:200] if isinstance(model, str) else "",
    )


def _text_of(content: Any) -> str:
    """Content as one text: parts are joined, and an object that a server has parsed already is written again."""
    if isinstance(content, list):
        parts = [p.get("text") for p in content if isinstance(p, dict) and p.get("type") in ("text", None)]
        content = "".join(p for p in parts if isinstance(p, str))
    if isinstance(content, dict):
        content = json.dumps(content, ensure_ascii=False)
    if not isinstance(content, str | None):
        raise BadBodyError("the content of the answer is no text")
    return content or ""


def _tool_arguments(message: Mapping[str, Any]) -> str:
    """The arguments of the only tool call of a message; "" where there are none or several."""
    calls = message.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and len(calls) == 1 else None
    function = call.get("function") if isinstance(call, dict) else None
    arguments = function.get("arguments") if isinstance(function, dict) else None
    return arguments if isinstance(arguments, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else None
