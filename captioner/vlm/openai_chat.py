"""`openai:URL#MODEL`: any server that speaks OpenAI's chat protocol (vLLM, SGLang, llama.cpp, hosted ones)."""

from __future__ import annotations

import asyncio
import os
import random
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from ..chat import ChatAnswer, ChatError, ChatRequest, ImagePart
from .address import Secret, find_key, parse_address
from .images import UrlCache, data_url, fit
from .pacing import MAX_IN_FLIGHT, START, Pace
from .wire import (
    OPTIONAL,
    BadBodyError,
    Completion,
    body_of,
    error_message,
    features_of,
    is_too_long,
    parse_completion,
    refused_feature,
)

#: Sides of the picture, tried in order while the server says that the prompt is too long.
SCALES = (1.0, 0.7, 0.5)
#: What else means "not now": 503 and 529 are what overloaded servers and gateways say.
_REFUSALS = (429, 503, 529)
#: Of those below 500, what another attempt may do without: a slow request, a conflict, too early.
_PASSING = (408, 409, 425)
_MAX_ANSWER_BYTES = 8 << 20


@dataclass(frozen=True)
class Settings:
    """How a server is spoken to. All have defaults that need no change for a local or a hosted server.

    Attributes:
        image_tokens: budget per picture, in tokens of 28 x 28 px. 1280 is 1 megapixel.
        timeout_s: from sending to the last byte of one attempt, a hard limit.
        connect_s: to connect.
        tries: attempts that may end in a broken connection, 5xx or an answer that is none.
        connects: attempts that may find no server at all; about two minutes, enough for one that restarts.
        timeouts: attempts that may end in no answer in time.
        refusals: attempts that may end in 429 or 503.
        backoff_s, max_backoff_s: first and longest wait between attempts; it doubles, with full jitter.
        max_retry_after_s: a longer Retry-After is cut to this.
        start, most: requests under way at first and at most.
    """

    image_tokens: int = 1280
    timeout_s: float = 600.0
    connect_s: float = 15.0
    tries: int = 6
    connects: int = 12
    timeouts: int = 2
    refusals: int = 30
    backoff_s: float = 0.1
    max_backoff_s: float = 30.0
    max_retry_after_s: float = 120.0
    start: int = START
    most: int = MAX_IN_FLIGHT


class _Trouble(Exception):  # noqa: N818 - never leaves this module
    """One attempt that failed and may be repeated. `kind`: refusal, fault, timeout or unreachable."""

    def __init__(self, kind: str, message: str, wait_s: float | None = None):
        super().__init__(message)
        self.kind, self.wait_s = kind, wait_s
        self.sent = 1  # times


class _Complaint(Exception):  # noqa: N818 - never leaves this module
    """400, 413 or 422: the request itself has to change."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class OpenAiChat:
    """A `Chat` over HTTP.

    The structure of an answer is asked for as `response_format: json_schema` (strict), the form that all of them
    share; what a server refuses is left out from then on, with one warning each, and without `response_format` the
    schema goes into the prompt. How many requests are under way is found out by `Pace`: offer as many `ask`s as
    there are rows at hand. Pictures are made smaller where needed (`images.fit`), encoded once, and smaller still
    (70 %, then 50 % of the sides) where the server says that the prompt is too long.

    Keys: see `address`. Redirects are an error: nothing is sent to a host the user did not name. Proxies of the
    environment are not used. An empty answer has the finish_reason `empty`.
    """

    engine = "openai"
    placeholder = False

    def __init__(self, argument: str, settings: Settings = Settings()):
        self.address = parse_address(argument)
        self.settings = settings
        self.model = f"{self.address.model} at {self.address.host_and_port}"
        self.pace = Pace(settings.start, settings.most)
        self._key: Secret | None = None
        self._session: Any = None
        self._threads: ThreadPoolExecutor | None = None
        self._urls = UrlCache()
        self._without: frozenset[str] = frozenset()
        self._proven: set[str] = set()  # features of requests that this server answered

    def load(self) -> None:
        """Read the key. Raises ChatError `auth` where the rules give none for this host though one is set."""
        self._key = find_key(self.address, os.environ)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    async def models(self) -> list[str]:
        """What /models lists. Raises ChatError as `ask` does, after one attempt."""
        try:
            data = await self._exchange("GET", "/models", None, min(self.settings.timeout_s, 30.0))
            listed = parse_models(data)
        except _Complaint as e:
            raise ChatError("rejected", f"{self._where}: {e}") from None
        except (_Trouble, BadBodyError) as e:
            raise ChatError("transport", f"{self._where}: {e}") from None
        return listed

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        counts = dict.fromkeys(("refusal", "fault", "timeout", "unreachable"), 0)
        allowed = {
            "refusal": self.settings.refusals,
            "fault": self.settings.tries,
            "timeout": self.settings.timeouts,
            "unreachable": self.settings.connects,
        }
        attempts, scale = 1, 0
        dropped: list[str] = []  # features given up for this request, not yet known to be the cause
        while True:
            without = self._without | set(dropped)
            urls = [
                await self._image_url(p, SCALES[scale]) for p in request.parts if isinstance(p, ImagePart)
            ]
            try:
                completion, seconds, sent = await self._attempt(request, urls, without, again=attempts > 1)
            except _Trouble as e:
                attempts += e.sent
                counts[e.kind] += e.sent
                if counts[e.kind] >= allowed[e.kind]:
                    reason = "timeout" if e.kind == "timeout" else "transport"
                    # A server that nobody can reach fails every row alike: stop, and go on when it is back.
                    fatal = e.kind == "unreachable"
                    raise ChatError(reason, f"{self._where}, {attempts - 1} attempts: {e}", fatal) from None
                await asyncio.sleep(self._wait_s(counts[e.kind], e.wait_s))
                continue
            except _Complaint as e:
                attempts += 1
                if is_too_long(e.status, str(e)) and urls and scale + 1 < len(SCALES):
                    scale += 1
                    continue
                used = features_of(request) - without
                name = refused_feature(str(e), used) or self._suspect(used)
                if name is None or is_too_long(e.status, str(e)):
                    raise ChatError("rejected", f"{self._where} answers {e.status}: {e}") from None
                dropped.append(name)
                continue
            self._learn(features_of(request) - without, dropped)
            return ChatAnswer(
                completion.text,
                completion.finish_reason,
                completion.tokens_in,
                completion.tokens_out,
                seconds,
                attempts + sent - 1,
                completion.model,
            )

    @property
    def _where(self) -> str:
        return f"{self.address.url} ({self.address.model})"

    def _wait_s(self, count: int, asked_s: float | None) -> float:
        """Exponential with full jitter, so that workers do not come back together; never before Retry-After."""
        if asked_s is not None:
            return asked_s * random.uniform(1.0, 1.1)
        longest = min(self.settings.max_backoff_s, self.settings.backoff_s * 2 ** (count - 1))
        return random.uniform(0.2, 1.0) * longest

    def _suspect(self, used: frozenset[str]) -> str | None:
        """A feature to do without when a 400 names none: one that this server has never answered with."""
        return next((name for name in OPTIONAL if name in used and name not in self._proven), None)

    def _learn(self, answered: frozenset[str], dropped: list[str]) -> None:
        self._proven |= answered
        for name in dropped:
            if name not in self._without:
                instead = {
                    "response_format": "the schema goes into the prompt",
                    "max_tokens": "max_completion_tokens is sent",
                }.get(name, "it is left out")
                warnings.warn(f"{self._where} refuses {name}: {instead}", stacklevel=3)
        self._without |= set(dropped)

    async def _image_url(self, part: ImagePart, scale: float) -> bytes:
        digest = part.digest
        url = self._urls.get(digest, scale)
        if url is None:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(2, thread_name_prefix="vlm-images")
            loop = asyncio.get_running_loop()
            url = await loop.run_in_executor(
                self._threads, _prepare, part.data, self.settings.image_tokens, scale
            )
            self._urls.put(digest, scale, url)
        return url

    async def _attempt(
        self, request: ChatRequest, urls: list[bytes], without: frozenset[str], again: bool
    ) -> tuple[Completion, float, int]:
        ticket = await self.pace.enter(first=again)
        try:
            # Only now: a thousand that wait shall not hold a thousand encoded requests.
            body = body_of(request, self.address.model, urls, without)
            while True:
                began = time.monotonic()
                try:
                    data = await self._exchange("POST", "/chat/completions", body, self.settings.timeout_s)
                    completion = parse_completion(data)
                    seconds = time.monotonic() - began
                    self.pace.answered(ticket)
                    return completion, seconds, 1 + ticket.kept
                except _Trouble as e:
                    if e.kind != "refusal" or not self.pace.refused(ticket, e.wait_s):
                        raise
                await asyncio.sleep(random.uniform(0.02, 0.06))
        except _Trouble as e:
            e.sent += ticket.kept
            if e.kind != "refusal":
                self.pace.failed(ticket)
            raise
        except BadBodyError as e:
            self.pace.failed(ticket)
            raise _Trouble("fault", str(e)) from None
        except (_Complaint, ChatError):
            self.pace.answered(ticket, measured=False)
            raise
        except BaseException:  # cancelled: the place comes back
            self.pace.failed(ticket)
            raise

    async def _exchange(self, method: str, path: str, body: bytes | None, timeout_s: float) -> bytes:
        """One request; the body of a 200. Raises _Trouble, _Complaint, ChatError (fatal ones)."""
        import aiohttp

        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.settings.connect_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.reveal()}"
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.request(
                    method, self.address.url + path, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                data = await _read(response)
                return self._judge(response.status, response.headers, data)
        except aiohttp.ServerTimeoutError:
            raise _Trouble("unreachable", f"cannot connect within {self.settings.connect_s:g} s") from None
        except TimeoutError:
            raise _Trouble("timeout", f"no answer within {timeout_s:g} s") from None
        except aiohttp.ClientConnectorError as e:
            raise _Trouble("unreachable", f"cannot connect: {e.os_error}") from None
        except (aiohttp.ClientError, OSError) as e:
            # The text of aiohttp's errors may hold the request's headers: only the kind is named.
            raise _Trouble("fault", f"connection broken ({type(e).__name__})") from None

    def _judge(self, status: int, headers: Any, data: bytes) -> bytes:
        if 200 <= status < 300:
            if headers.get("Content-Encoding", "identity") != "identity":
                raise _Trouble("fault", "a compressed answer that was not asked for")
            return data
        message = self._key.redacted(error_message(data)) if self._key else error_message(data)
        if status in _REFUSALS:
            raise _Trouble("refusal", f"answers {status}: {message}", self._retry_after_s(headers))
        if status >= 500 or status in _PASSING:
            raise _Trouble("fault", f"answers {status}: {message}")
        if 300 <= status < 400:
            raise ChatError(
                "rejected", f"{self._where} redirects; name the address it leads to instead", fatal=True
            )
        if status in (401, 403):
            key = "the key it was sent" if self._key else "a request without a key"
            raise ChatError(
                "auth", f"{self._where} refuses {key}: {message}; set ZCURATE_VLM_API_KEY", fatal=True
            )
        if status == 404:
            raise ChatError(
                "missing_model", f"{self._where}: {message}; see {self.address.url}/models", fatal=True
            )
        if status in (400, 413, 422):
            raise _Complaint(status, message)
        raise ChatError("rejected", f"{self._where} answers {status}: {message}", fatal=status == 402)

    def _retry_after_s(self, headers: Any) -> float | None:
        """Seconds of Retry-After, a number or a date, bounded; nonsense counts as none."""
        value = headers.get("Retry-After", "")
        try:
            wait_s = float(value)
        except ValueError:
            try:
                wait_s = parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, OverflowError):
                return None
            wait_s = max(0.0, wait_s)
        return min(wait_s, self.settings.max_retry_after_s) if wait_s >= 0 else None  # nan is no number


def _prepare(data: bytes, tokens: int, scale: float) -> bytes:
    return data_url(*fit(data, tokens, scale))


def parse_models(data: bytes) -> list[str]:
    """The ids in an answer of /models. Raises BadBodyError."""
    import json

    try:
        return [m["id"] for m in json.loads(data)["data"] if isinstance(m["id"], str)]
    except (ValueError, RecursionError, LookupError, TypeError) as e:
        raise BadBodyError(f"no list of models ({type(e).__name__})") from e


async def _read(response: Any) -> bytes:
    """A body of bounded size."""
    data = bytearray()
    async for piece in response.content.iter_any():
        data += piece
        if len(data) > _MAX_ANSWER_BYTES:
            raise _Trouble("fault", f"an answer of more than {_MAX_ANSWER_BYTES >> 20} MiB")
    return bytes(data)
