"""A polite and careful HTTP client: checked addresses, robots.txt, opt-out headers, bounded bodies."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import httpcore
import httpx

from ..errors import UnsafeUriError
from ..uris import check_http_url, quoted, resolve_public
from .fetch_errors import (
    BodyTooLargeError,
    FetchError,
    FetchTimeoutError,
    HttpStatusError,
    OptOutError,
    RedirectError,
    RobotsDisallowedError,
    RobotsUnavailableError,
    TransportError,
    UnsafeUrlError,
)

RETRYABLE_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Directives of X-Robots-Tag that refuse this use; the same set as img2dataset's default.
OPT_OUT_DIRECTIVES = frozenset({"noai", "noimageai", "noindex", "noimageindex"})
_MAX_ROBOTS_BYTES = 500 << 10  # RFC 9309, section 2.5
_MAX_ROBOTS_HOSTS = 20_000


@dataclass(frozen=True)
class FetchOptions:
    """How to fetch.

    Attributes:
        concurrency: requests at once, over all hosts.
        per_host: requests at once to one host.
        attempts: tries per URL, the first included.
        connect_s, read_s, total_s: timeouts of one attempt: connecting, silence, everything.
        max_bytes: longer bodies are refused while they stream in.
        max_redirects: each redirect's target is checked like the first URL.
        backoff_s: first wait before trying again; doubles, with a random factor of 0.5 to 1.5.
        max_wait_s: a longer `Retry-After` is not waited for; the row stays retryable.
        user_agent: sent with each request; its part before '/' is the name looked up in robots.txt.
        robots: obey robots.txt (RFC 9309).
        opt_out: obey `X-Robots-Tag` (noai, noimageai, noindex, noimageindex) and `TDM-Reservation: 1`.
        allow_private: host names or addresses that may be private or loopback.
        shards_in_flight: shards worked on at once, so that slow URLs of one do not idle the rest.
    """

    concurrency: int = 64
    per_host: int = 4
    attempts: int = 3
    connect_s: float = 10.0
    read_s: float = 20.0
    total_s: float = 60.0
    max_bytes: int = 64 << 20
    max_redirects: int = 5
    backoff_s: float = 0.5
    max_wait_s: float = 60.0
    user_agent: str = "zcurate/0.1 (dataset preparation; obeys robots.txt and X-Robots-Tag)"
    robots: bool = True
    opt_out: bool = True
    allow_private: frozenset[str] = frozenset()
    shards_in_flight: int = 4

    @property
    def agent_name(self) -> str:
        return self.user_agent.split("/", 1)[0].strip().lower()


@dataclass
class Response:
    """A finished download; the bytes are in the file given to `fetch_one`."""

    final_url: str
    http_status: int
    headers: dict[str, str]
    size_bytes: int
    sha256: str
    head: bytes = field(repr=False)


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects only to addresses that were checked, so a name cannot change between check and use."""

    def __init__(self, allow_private: Collection[str]) -> None:
        self._allow = allow_private
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        started = time.monotonic()
        try:
            lookup = asyncio.to_thread(resolve_public, host, port, self._allow)
            addresses = await asyncio.wait_for(lookup, timeout)
        except TimeoutError as e:
            raise httpcore.ConnectTimeout(f"resolving {host} took too long") from e
        except UnsafeUriError:
            raise
        except (OSError, UnicodeError) as e:
            raise httpcore.ConnectError(f"{host} does not resolve: {e}") from e
        last: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            left = None if timeout is None else max(0.1, timeout - (time.monotonic() - started))
            try:
                return await self._inner.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as e:
                last = e
        raise last

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _CheckedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over a pool that uses `_CheckedBackend`.

    httpx has no public way to give its pool a network backend, so the pool is replaced here.
    """

    def __init__(self, options: FetchOptions) -> None:
        super().__init__()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=options.concurrency,
            max_keepalive_connections=options.concurrency,
            keepalive_expiry=10.0,
            network_backend=_CheckedBackend(options.allow_private),
        )


class Client:
    """Fetches URLs under one set of options."""

    def __init__(self, options: FetchOptions) -> None:
        self.options = options
        self._http = httpx.AsyncClient(
            transport=_CheckedTransport(options),
            timeout=httpx.Timeout(options.read_s, connect=options.connect_s, pool=None),
            # identity: the bytes stored are the server's file, not a compressed transfer of it
            headers={
                "User-Agent": options.user_agent,
                "Accept": "image/*,*/*;q=0.5",
                "Accept-Encoding": "identity",
            },
            trust_env=False,
        )
        self._robots: OrderedDict[str, asyncio.Task[RobotFileParser | FetchError]] = OrderedDict()

    async def close(self) -> None:
        for task in self._robots.values():
            task.cancel()
        await self._http.aclose()

    async def fetch_one(self, url: str, target: Path) -> Response:
        """One attempt at a URL; the body goes into `target`.

        Raises:
            FetchError: typed, with `retryable` and the HTTP status if there was one.
        """
        with _typed_errors(url):
            async with asyncio.timeout(self.options.total_s):
                return await self._follow(url, target)

    async def _follow(self, url: str, target: Path) -> Response:
        for _ in range(self.options.max_redirects + 1):
            check_http_url(url)
            if self.options.robots:
                await self._check_robots(url)
            async with self._http.stream("GET", url, follow_redirects=False) as response:
                status = response.status_code
                if 300 <= status < 400 and status != 304:
                    location = response.headers.get("location")
                    if not location:
                        raise RedirectError(f"{quoted(url)}: redirect {status} without a target")
                    url = urljoin(url, location)
                    continue
                if status != 200:
                    raise _status_error(url, response)
                if self.options.opt_out:
                    check_opt_out(response.headers, self.options.agent_name)
                return await self._store(url, response, target)
        raise RedirectError(f"more than {self.options.max_redirects} redirects")

    async def _store(self, url: str, response: httpx.Response, target: Path) -> Response:
        limit = self.options.max_bytes
        claimed = response.headers.get("content-length", "")
        if claimed.isdigit() and len(claimed) < 19 and int(claimed) > limit:
            raise BodyTooLargeError(f"{claimed} bytes; the limit is {limit}")
        digest, size, head = hashlib.sha256(), 0, b""
        with target.open("wb") as file:
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size > limit:
                    raise BodyTooLargeError(f"more than {limit} bytes")
                digest.update(chunk)
                head = (head + chunk)[:512] if len(head) < 512 else head
                file.write(chunk)
        names = ("content-type", "last-modified", "etag")
        kept = {n: response.headers[n][:500] for n in names if n in response.headers}
        return Response(url, response.status_code, kept, size, digest.hexdigest(), head)

    async def _check_robots(self, url: str) -> None:
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}".lower()
        task = self._robots.get(site)
        if task is None:
            task = asyncio.create_task(self._load_robots(site))
            self._robots[site] = task
            if len(self._robots) > _MAX_ROBOTS_HOSTS:
                self._robots.popitem(last=False)
        rules = await asyncio.shield(task)
        if isinstance(rules, FetchError):
            self._robots.pop(site, None)  # asked again by the next attempt
            raise type(rules)(str(rules))
        if not rules.can_fetch(self.options.agent_name, url):
            raise RobotsDisallowedError(f"robots.txt of {quoted(site)} refuses {quoted(parts.path)}")

    async def _load_robots(self, site: str) -> RobotFileParser | FetchError:
        """Rules of a site. 4xx means no rules; 5xx and no answer mean refusal (RFC 9309, 2.3.1)."""
        rules, url = RobotFileParser(), site + "/robots.txt"
        try:
            with _typed_errors(url):
                async with asyncio.timeout(self.options.total_s):
                    rules.parse((await self._robots_text(url)).splitlines())
        except UnsafeUrlError as e:
            return e
        except FetchError as e:
            return RobotsUnavailableError(f"{quoted(url)}: {e}")
        return rules

    async def _robots_text(self, url: str) -> str:
        for _ in range(6):
            check_http_url(url)
            async with self._http.stream("GET", url, follow_redirects=False) as response:
                if 300 <= response.status_code < 400 and "location" in response.headers:
                    url = urljoin(url, response.headers["location"])
                    continue
                if 400 <= response.status_code < 500 and response.status_code != 429:
                    return ""
                if response.status_code != 200:
                    raise _status_error(url, response)
                data = b""
                async for chunk in response.aiter_raw():
                    data += chunk
                    if len(data) > _MAX_ROBOTS_BYTES:
                        break
                return data[:_MAX_ROBOTS_BYTES].decode("utf-8", "replace").removeprefix("\ufeff")
        return ""


class _typed_errors:  # noqa: N801
    """Context that turns what the client raises into `FetchError`s."""

    def __init__(self, url: str) -> None:
        self._url = quoted(url)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None or isinstance(error, FetchError):
            return
        if isinstance(error, UnsafeUriError):
            raise UnsafeUrlError(str(error)) from error
        if isinstance(error, TimeoutError | httpx.TimeoutException | httpcore.TimeoutException):
            raise FetchTimeoutError(f"{self._url}: {type(error).__name__}") from error
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | ValueError):
            raise UnsafeUrlError(f"{self._url}: {error}") from error
        if isinstance(error, httpx.HTTPError | httpcore.NetworkError | httpcore.ProtocolError | ssl.SSLError):
            raise TransportError(f"{self._url}: {type(error).__name__}: {error}") from error


def _status_error(url: str, response: httpx.Response) -> HttpStatusError:
    status = response.status_code
    error = HttpStatusError(f"{quoted(url)}: HTTP status {status}")
    error.http_status = status
    error.retryable = status in RETRYABLE_STATUS
    error.wait_s = retry_after_s(response.headers.get("retry-after"))
    return error


def retry_after_s(value: str | None) -> float | None:
    """Seconds of a Retry-After header (a number or an HTTP date), or None."""
    if value is None:
        return None
    value = value.strip()
    if value.isdigit() and len(value) < 10:
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def check_opt_out(headers: httpx.Headers, agent_name: str) -> None:
    """Raises OptOutError when a header refuses; `agent: directives` counts only for our agent."""
    for line in headers.get_list("x-robots-tag"):
        applies = True
        for part in line.lower().split(","):
            agent, colon, rest = part.partition(":")
            # `unavailable_after: date` and `max-snippet: n` are directives, not agents
            if colon and agent.strip() not in {"unavailable_after", "max-snippet", "max-image-preview"}:
                applies, part = agent.strip() in {agent_name, "*"}, rest
            if applies and part.strip() in OPT_OUT_DIRECTIVES:
                raise OptOutError(f"response header X-Robots-Tag: {quoted(line)}")
    if headers.get("tdm-reservation", "").strip() == "1":
        raise OptOutError("response header TDM-Reservation: 1")


class HostLimits:
    """A semaphore per host that exists only while somebody needs it."""

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._hosts: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def hold(self, host: str) -> AsyncIterator[None]:
        semaphore, users = self._hosts.get(host, (asyncio.Semaphore(self._per_host), 0))
        self._hosts[host] = semaphore, users + 1
        try:
            async with semaphore:
                yield
        finally:
            semaphore, users = self._hosts.pop(host)
            if users > 1:
                self._hosts[host] = semaphore, users - 1
