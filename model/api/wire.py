"""The HTTP bodies of DashScope's multimodal generation, both ways: what the client sends and the server reads, and back.

Request: `{model, input: {messages: [{role: user, content: [{text}]}]}, parameters: {size, seed, prompt_extend}}`.
Answer: `{output: {choices: [{finish_reason, message: {role, content: [{image}, {text}], reasoning_content}}]}, usage:
{width, height, image_count}, request_id}`, or `{request_id, code, message}` with an HTTP status of 4xx or 5xx.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import AnswerError, ApiError, RequestError, UnknownModelError
from .request import ImageRequest, ImageResult, check_prompt

#: Path of the endpoint below `/api/v1`.
SERVICE_PATH = "/services/aigc/multimodal-generation/generation"
_PARAMETERS = ("size", "seed", "prompt_extend", "n")
_MAX_URL_CHARS = 4096
_MAX_TEXT_CHARS = 100_000


def request_body(request: ImageRequest, model: str) -> dict[str, Any]:
    """What the client sends. `base_url` never leaves the client."""
    parameters: dict[str, Any] = {"size": request.size, "prompt_extend": request.prompt_extend}
    if request.seed is not None:
        parameters["seed"] = request.seed
    messages = [{"role": "user", "content": [{"text": request.prompt}]}]
    return {"model": model, "input": {"messages": messages}, "parameters": parameters}


def parse_body(body: Mapping[str, Any], model: str, max_prompt_chars: int) -> ImageRequest:
    """What the server was asked for.

    Raises:
        RequestError: a field is missing, unknown or out of range; any `base_url`.
        UnknownModelError: another model than `model`.
    """
    given, parameters = _object(body, "input"), _object(body, "parameters", {})
    for where, found in (("", body), ("input.", given), ("parameters.", parameters)):
        if "base_url" in found:
            raise RequestError(f"{where}base_url is for the client alone; a server sends nothing elsewhere")
    _only(body, "", ("model", "input", "parameters"))
    _only(given, "input.", ("messages",))
    _only(parameters, "parameters.", _PARAMETERS)
    asked = body.get("model")
    if asked != model:
        shown = ascii(asked[:60]) if isinstance(asked, str) else "no model name"
        raise UnknownModelError(f"model: {shown} is not served here; ask for {model!r}")
    n = parameters.get("n", 1)
    if isinstance(n, bool) or n != 1:
        raise RequestError("parameters.n must be 1; send one request per picture")
    prompt = check_prompt(_prompt_of(given), max_prompt_chars)
    wanted = {k: v for k, v in parameters.items() if k != "n"}
    try:
        return ImageRequest.from_mapping({"prompt": prompt, **wanted})
    except RequestError as e:
        raise RequestError(f"parameters: {e}") from e


def _prompt_of(given: Mapping[str, Any]) -> object:
    messages = given.get("messages")
    if not isinstance(messages, list) or len(messages) != 1 or not isinstance(messages[0], dict):
        raise RequestError("input.messages must be a list of one message of the user")
    message = messages[0]
    _only(message, "input.messages[0].", ("role", "content"))
    if message.get("role") != "user":
        raise RequestError('input.messages[0].role must be "user"')
    content = message.get("content")
    if not isinstance(content, list) or len(content) != 1 or not isinstance(content[0], dict):
        raise RequestError('input.messages[0].content must be a list of one {"text": PROMPT}')
    if "text" not in content[0]:
        raise RequestError("input.messages[0].content[0] has no text; this model takes text only")
    _only(content[0], "input.messages[0].content[0].", ("text",))
    return content[0]["text"]


def answer_body(result: ImageResult, seed: int, model: str) -> dict[str, Any]:
    """What the server answers. `usage.seed` and `usage.model` are additions of ours."""
    content: list[dict[str, str]] = [{"image": result.image_url}]
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if result.rewritten_prompt is not None:
        content.append({"text": result.rewritten_prompt})
    if result.reasoning is not None:
        message["reasoning_content"] = result.reasoning
    return {
        "output": {"choices": [{"finish_reason": "stop", "message": message}]},
        "usage": {
            "width": result.width,
            "height": result.height,
            "image_count": 1,
            "seed": seed,
            "model": model,
        },
        "request_id": result.request_id,
    }


def parse_answer(answer: Mapping[str, Any], request: ImageRequest) -> ImageResult:
    """What the client was told. A text that repeats the prompt is no rewritten prompt.

    Raises:
        AnswerError: another shape; the message says which part.
    """
    message = _first_message(answer)
    content = message.get("content")
    parts = [p for p in content if isinstance(p, dict)] if isinstance(content, list) else []
    urls = [p["image"] for p in parts if isinstance(p.get("image"), str)]
    if len(urls) != 1 or not 0 < len(urls[0]) <= _MAX_URL_CHARS:
        raise AnswerError(f"the answer has {len(urls)} picture URLs in output.choices[0], expected one")
    if not urls[0].isascii() or not urls[0].isprintable() or " " in urls[0]:
        raise AnswerError("the picture's URL in the answer has characters that no URL has")
    texts = [p["text"][:_MAX_TEXT_CHARS] for p in parts if isinstance(p.get("text"), str)]
    rewritten = texts[0] if texts and texts[0].strip() not in ("", request.prompt.strip()) else None
    reasoning = message.get("reasoning_content")
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return ImageResult(
        image_url=urls[0],
        width=_pixels(usage.get("width"), request.width),
        height=_pixels(usage.get("height"), request.height),
        prompt=request.prompt,
        request_id=request_id_of(answer),
        rewritten_prompt=rewritten,
        reasoning=reasoning[:_MAX_TEXT_CHARS] if isinstance(reasoning, str) and reasoning else None,
    )


def error_body(error: ApiError, request_id: str) -> dict[str, str]:
    return {"request_id": request_id, "code": error.code, "message": str(error)}


def request_id_of(answer: Mapping[str, Any]) -> str:
    """The answer's request id, printable and short; empty where there is none."""
    found = answer.get("request_id")
    return "".join(c for c in found[:128] if c.isprintable()) if isinstance(found, str) else ""


def _first_message(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    output = answer.get("output")
    choices = output.get("choices") if isinstance(output, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if not isinstance(message, dict):
        raise AnswerError("the answer has no output.choices[0].message")
    return message


def _pixels(value: object, otherwise: int) -> int:
    fine = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536
    return value if fine else otherwise


def _object(body: Mapping[str, Any], name: str, otherwise: dict[str, Any] | None = None) -> dict[str, Any]:
    found = body.get(name, otherwise)
    if not isinstance(found, dict):
        raise RequestError(f"{name} must be an object")
    return found


def _only(found: Mapping[str, Any], where: str, known: tuple[str, ...]) -> None:
    unknown = [k for k in found if k not in known]
    if unknown:
        raise RequestError(f"unknown field {where}{unknown[0][:60]!a}; there are {', '.join(known)}")
