"""A chat server over real HTTP that answers as told: as a model would, or with every fault one has been seen with.

    with VlmServer(Reply('{"ocr": []}')) as server:  # always this answer
    with VlmServer([Reply(status=503), Reply("{}")]) as server:  # by request number; the last one repeats
    with VlmServer(lambda body: Reply(texts_of(body)[-1])) as server:  # by what was asked

`server.engine` is the model string of a recipe (`openai:http://127.0.0.1:PORT/v1#MODEL`). It runs in a thread of its
own, so stages, Ray workers and subprocesses reach it too.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

MODEL = "test-model"


@dataclass(frozen=True)
class Reply:
    """What the server does with one request.

    Attributes:
        text: content of the answer; a list is sent as content parts, None as null.
        finish_reason: as the server words it.
        status: of HTTP. Other than 200: an error in OpenAI's form with `text` as its message.
        delay_s: until the first byte; `math.inf` never answers.
        headers: sent along, e.g. Retry-After or Location.
        drop: "before" closes the connection without a byte, "body" in the middle of the body.
        body: sent as it is in place of a chat completion (HTML, broken JSON, another shape).
        drip_s: time between bytes of the body, for a server that is alive and never done.
        reasoning: `reasoning_content` beside the answer.
        tokens: usage (in, out); None leaves usage out.
    """

    text: Any = "{}"
    finish_reason: str = "stop"
    status: int = 200
    delay_s: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: str | None = None
    body: str | bytes | None = None
    drip_s: float = 0.0
    reasoning: str | None = None
    tokens: tuple[int, int] | None = (100, 20)


def faults(good: str) -> dict[str, Reply]:
    """Every fault by name. `good` is the answer that the faulty ones distort: a JSON object."""
    repeated = "the red sign reads OPEN and " * 400
    return {
        "rate_limit": Reply("too many requests", status=429),
        "rate_limit_retry_after": Reply("too many requests", status=429, headers={"Retry-After": "0"}),
        "server_error": Reply("internal error", status=500),
        "unavailable": Reply("overloaded", status=503),
        "never_answers": Reply(good, delay_s=math.inf),
        "drips": Reply(good, drip_s=0.05),
        "slow": Reply(good, delay_s=0.2),
        "dropped_before": Reply(good, drop="before"),
        "dropped_in_body": Reply(good, drop="body"),
        "unauthorized": Reply("invalid key", status=401),
        "unknown_model": Reply("model does not exist", status=404),
        "prompt_too_long": Reply("This model's maximum context length is 4096 tokens.", status=400),
        "redirected": Reply("", status=302, headers={"Location": "http://127.0.0.1:9/elsewhere"}),
        "html_error_page": Reply(
            status=200,
            body="<html><body>502 Bad Gateway</body></html>",
            headers={"Content-Type": "text/html"},
        ),
        "broken_json": Reply(body='{"choices": [{"message": {"content": "'),
        "other_json": Reply(body='{"ok": true}'),
        "no_choices": Reply(body='{"choices": []}'),
        "empty": Reply(""),
        "null_content": Reply(None),
        "content_filter": Reply("", finish_reason="content_filter"),
        "fenced": Reply(f"Here is the JSON:\n```json\n{good}\n```\nHope that helps!"),
        "two_objects": Reply(f'{{"note": "draft"}}\n{good}'),
        "thinking": Reply(f"<think>The image shows {{a}} sign.</think>\n{good}"),
        "reasoning_apart": Reply(good, reasoning="Let me see."),
        "content_parts": Reply([{"type": "text", "text": good[:5]}, {"type": "text", "text": good[5:]}]),
        "truncated": Reply(good[: len(good) // 2], finish_reason="length"),
        "truncated_as_stop": Reply(good[: len(good) // 2]),
        "whitespace_loop": Reply(good[:1] + "\n \t" * 3000, finish_reason="length"),
        "repetition_loop": Reply(f'{{"en": "{repeated}', finish_reason="length"),
        "refusal_en": Reply("I'm sorry, but I can't help with describing this image."),
        "refusal_zh": Reply("很抱歉，我无法描述这张图片的内容。"),
        "plain_text": Reply("A red sign over a door."),
        "byte_order_mark": Reply(body="\ufeff" + _body({"content": good})),
        "tool_call": Reply(body=_body(_called(good), "tool_calls")),
        "silent_tool_call": Reply(body=_body(_called(""), "tool_calls")),
        "object_as_content": Reply(json.loads(good)),
        "encoded_twice": Reply(json.dumps(good)),
        "thinking_without_end": Reply(f"<think>The image shows a sign. {good}"),
        "reasoning_only": Reply(None, reasoning=good),
        "stop_in_capitals": Reply(good, finish_reason="STOP"),
        "given_up": Reply(good[: len(good) // 2], finish_reason="abort"),
        "filtered_by_another_name": Reply("", finish_reason="SAFETY"),
        "error_in_200": Reply(body='{"error": {"message": "no upstream is left", "code": 502}}'),
    }


def _body(message: Mapping[str, Any], finish_reason: str = "stop") -> str:
    return json.dumps({"choices": [{"message": message, "finish_reason": finish_reason}]}, ensure_ascii=False)


def _called(arguments: str) -> dict[str, Any]:
    function = {"name": "captions", "arguments": arguments}
    return {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]}


@dataclass
class Seen:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class VlmServer:
    """Serves while its `with` block lasts.

    Args:
        script: one Reply for all, one per request (the last repeats), or a function of the request's body. Replaceable
            at any time (`server.script = ...` also restarts the count of a sequence).
        capacity: requests at once, None for any number. Those above it wait (`overload="queue"`) or get 429
            (`overload="reject"`).
        models: what /v1/models lists.
        prefix: path in front of /chat/completions.
        host: address to listen on.
    """

    def __init__(
        self,
        script: Reply | Sequence[Reply] | Callable[[dict[str, Any]], Reply] = Reply(),
        capacity: int | None = None,
        overload: str = "queue",
        models: Sequence[str] = (MODEL,),
        prefix: str = "/v1",
        host: str = "127.0.0.1",
    ):
        self.capacity, self.overload, self.models = capacity, overload, tuple(models)
        self._prefix, self._host = prefix, host
        self.seen: list[Seen] = []
        self.at_once = self.most_at_once = self.rejected = 0
        self._ready = threading.Event()
        self.script = script

    @property
    def script(self) -> Reply | Sequence[Reply] | Callable[[dict[str, Any]], Reply]:
        return self._script

    @script.setter
    def script(self, script: Reply | Sequence[Reply] | Callable[[dict[str, Any]], Reply]) -> None:
        self._script, self._next = script, 0

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}{self._prefix}"

    @property
    def engine(self) -> str:
        return f"openai:{self.url}#{self.models[0] if self.models else MODEL}"

    @property
    def asked(self) -> int:
        """Requests that arrived at /chat/completions."""
        return sum(s.path.endswith("/chat/completions") for s in self.seen)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [s.body for s in self.seen if s.path.endswith("/chat/completions")]

    def __enter__(self) -> VlmServer:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        if not self._ready.wait(30):
            raise RuntimeError("the test server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._slots = asyncio.Semaphore(self.capacity) if self.capacity else None
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post(f"{self._prefix}/chat/completions", self._chat)
        app.router.add_get(f"{self._prefix}/models", self._list)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, self._host, 0, backlog=2048)
        await site.start()
        self.port: int = site._server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def _reply_to(self, body: dict[str, Any]) -> Reply:
        if callable(self._script):
            return self._script(body)
        if isinstance(self._script, Reply):
            return self._script
        number, self._next = self._next, self._next + 1
        return self._script[min(number, len(self._script) - 1)]

    async def _list(self, request: web.Request) -> web.Response:
        self.seen.append(Seen(request.path, dict(request.headers), {}))
        return web.json_response(
            {"object": "list", "data": [{"id": m, "object": "model"} for m in self.models]}
        )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.append(Seen(request.path, dict(request.headers), body))
        if self._slots is not None and self.overload == "reject" and self._slots.locked():
            self.rejected += 1
            return await self._send(request, body, Reply("too many requests", status=429))
        if self._slots is not None:
            await self._slots.acquire()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            reply = self._reply_to(body)
            if math.isinf(reply.delay_s):
                await self._stop.wait()
            elif reply.delay_s:
                await asyncio.sleep(reply.delay_s)
            return await self._send(request, body, reply)
        finally:
            self.at_once -= 1
            if self._slots is not None:
                self._slots.release()

    async def _send(self, request: web.Request, body: dict[str, Any], reply: Reply) -> web.StreamResponse:
        if reply.drop == "before":
            request.transport.abort()
            return web.Response()
        payload = (
            reply.body if reply.body is not None else json.dumps(_completion(body, reply), ensure_ascii=False)
        )
        data = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
        headers = {"Content-Type": "application/json", **reply.headers}
        if reply.drop is None and not reply.drip_s:
            return web.Response(status=reply.status, body=data, headers=headers)
        response = web.StreamResponse(
            status=reply.status, headers={**headers, "Content-Length": str(len(data))}
        )
        await response.prepare(request)
        if reply.drop == "body":
            await response.write(data[: len(data) // 2])
            request.transport.close()
            return response
        for i in range(len(data)):
            await response.write(data[i : i + 1])
            await asyncio.sleep(reply.drip_s)
        return response


def _completion(body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    if reply.status != 200:
        return {"error": {"message": reply.text, "type": "test", "code": reply.status}}
    message = {"role": "assistant", "content": reply.text}
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    answer = {"id": "1", "object": "chat.completion", "model": body.get("model"), "choices": [choice]}
    if reply.tokens is not None:
        tokens_in, tokens_out = reply.tokens
        answer["usage"] = {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
        }
    return answer


def refusing(fields: Sequence[str], then: Reply) -> Callable[[dict[str, Any]], Reply]:
    """An old server: 400 naming the first of `fields` that the request has, else `then`."""

    def reply(body: dict[str, Any]) -> Reply:
        for name in fields:
            if name in body:
                return Reply(f"Unrecognized request argument supplied: {name}", status=400)
        return then

    return reply


def retried(fault: Reply, then: Reply, times: int = 1) -> list[Reply]:
    """The fault so many times, then the good answer."""
    return [*[replace(fault)] * times, then]


def texts_of(body: dict[str, Any]) -> list[str]:
    """All texts of a request: system first, then the user's parts in order."""
    found = []
    for message in body["messages"]:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found += [p["text"] for p in parts if p["type"] == "text"]
    return found


def images_of(body: dict[str, Any]) -> list[bytes]:
    """The encoded images of a request, in order."""
    found = []
    for message in body["messages"]:
        if isinstance(message["content"], list):
            for part in message["content"]:
                if part["type"] == "image_url":
                    found.append(base64.b64decode(part["image_url"]["url"].partition(",")[2]))
    return found
