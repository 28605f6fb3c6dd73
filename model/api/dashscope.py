"""Client of image.generate: DashScope's z-image-turbo in either region, or any server of the same protocol."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx

from .credentials import REGIONS, Endpoint, Secret
from .download import MAX_IMAGE_BYTES, Picture, Resolver, check_picture, fetch, resolve
from .errors import (
    AnswerError,
    ApiError,
    DownloadError,
    PictureGoneError,
    SpendCapError,
    TransportError,
    error_of,
)
from .request import MAX_SEED, ImageRequest, ImageResult
from .wire import parse_answer, request_body, request_id_of

#: The only model name DashScope knows for it.
MODEL = "z-image-turbo"
#: List prices in USD per picture (plain, with prompt_extend) of Model Studio's page on z-image-turbo in 2026, without
#: promotions. They change; what is billed is what the console says.
PRICES_USD = {"beijing": (0.01434, 0.02868), "singapore": (0.015, 0.03)}
#: Prompts longer than this are cut by the service without a word, by its documentation.
DASHSCOPE_PROMPT_CHARS = 800
MAX_ANSWER_BYTES = 1 << 20
_T = TypeVar("_T")


@dataclass(frozen=True)
class Patience:
    """How long and how often a request is tried.

    Attributes:
        attempts: tries of one request or download, the first included.
        backoff_s: first wait; doubles, with a random factor of 0.5 to 1.5.
        max_wait_s: a longer Retry-After is not waited for.
        connect_s, read_s: timeouts of one try. DashScope answers when the picture is done, and its answer may take no
            longer than `read_s` to arrive once it began.
        download_s: deadline of one download.
        stall_s: longest silence within a download.
    """

    attempts: int = 4
    backoff_s: float = 1.0
    max_wait_s: float = 60.0
    connect_s: float = 10.0
    read_s: float = 180.0
    download_s: float = 120.0
    stall_s: float = 30.0


@dataclass(frozen=True)
class Generated:
    """A finished request: the answer, the picture, the request as it was sent (with its seed), the model and region."""

    result: ImageResult
    picture: Picture
    request: ImageRequest
    model: str
    region: str
    endpoint: str


def price_usd(region: str, prompt_extend: bool) -> float | None:
    """List price of one picture; None for endpoints whose prices are not known here."""
    prices = PRICES_USD.get(region)
    return None if prices is None else prices[prompt_extend]


def price_text(region: str, prompt_extend: bool) -> str:
    """What a call costs, to be said before it is made."""
    price = price_usd(region, prompt_extend)
    if price is None:
        return "this endpoint's price is not known here" + (
            "; prompt_extend is billed higher by DashScope" if prompt_extend else ""
        )
    text = f"{price:g} USD for the picture (list price, {region})"
    if prompt_extend:
        plain = price_usd(region, False)
        text += f"; prompt_extend is billed higher: {plain:g} USD without it"
    return text


class ImageClient:
    """Sends requests and fetches their pictures. Safe to use from several threads; close it, or use it in `with`.

    Args:
        endpoint: see `endpoint_of`.
        key: sent as bearer token to the endpoint, and nowhere else.
        model: the model's name on the wire.
        max_spend_usd: the sum of list prices after which nothing more is sent; counts tries that may have been billed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: Secret | None,
        model: str = MODEL,
        patience: Patience | None = None,
        *,
        max_spend_usd: float = 5.0,
        max_image_bytes: int = MAX_IMAGE_BYTES,
        resolver: Resolver = resolve,
    ):
        self.endpoint = endpoint
        self.model = model
        self.patience = patience or Patience()
        self.max_spend_usd = max_spend_usd
        self.spent_usd = 0.0
        self._spending = threading.Lock()
        self._key = key
        self._max_image_bytes = max_image_bytes
        self._resolver = resolver
        timeout = httpx.Timeout(self.patience.read_s, connect=self.patience.connect_s)
        limits = httpx.Limits(max_connections=256)
        verify = httpx.create_ssl_context()  # reading the certificates takes longer than anything else here
        # A proxy of the environment must not see what goes to this machine or the local network.
        self._http = httpx.Client(
            timeout=timeout, limits=limits, verify=verify, trust_env=not endpoint.private
        )
        # Addresses of pictures are checked here, which a proxy would undo.
        patient = self.patience
        self._stalls = httpx.Timeout(
            min(patient.stall_s, patient.download_s), connect=patient.connect_s, pool=None
        )
        self._downloads = httpx.HTTPTransport(limits=limits, verify=verify, trust_env=False)

    def __enter__(self) -> ImageClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()
        self._downloads.close()

    def generate(self, request: ImageRequest) -> Generated:
        """One picture. A seed is drawn where the request has none, so that the picture can be made again.

        Raises:
            ApiError: one of `errors`; 429, 5xx and broken connections only after `patience.attempts` tries.
        """
        if request.seed is None:
            request = replace(request, seed=random.SystemRandom().randrange(MAX_SEED + 1))
        try:
            result, picture = self._once(request)
        except PictureGoneError:
            if price_usd(self.endpoint.region, request.prompt_extend) is not None:
                raise
            # A server that was killed forgot its pictures; the next one makes the same of the same seed, for nothing.
            result, picture = self._once(request)
        result = replace(result, width=picture.width, height=picture.height)
        return Generated(result, picture, request, self.model, self.endpoint.region, self.endpoint.url)

    def _once(self, request: ImageRequest) -> tuple[ImageResult, Picture]:
        result = self._retried(lambda: self._ask(request))
        try:
            return result, self._retried(lambda: self._fetch(result.image_url))
        except TransportError as e:
            raise DownloadError(f"{e}; the picture is at {result.image_url}") from e

    def _retried(self, call: Callable[[], _T]) -> _T:
        wait = self.patience.backoff_s
        for attempt in range(1, self.patience.attempts + 1):
            try:
                return call()
            except ApiError as e:
                asked = e.retry_after_s
                too_long = asked is not None and asked > self.patience.max_wait_s
                if not e.retryable or too_long or attempt == self.patience.attempts:
                    raise
            time.sleep(max(asked or 0.0, wait * random.uniform(0.5, 1.5)))
            wait = min(wait * 2, self.patience.max_wait_s)
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, request: ImageRequest) -> ImageResult:
        price = price_usd(self.endpoint.region, request.prompt_extend) or 0.0
        self._reserve(price)
        headers = {"Accept-Encoding": "identity"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.reveal()}"
        body = request_body(request, self.model)
        try:
            with self._http.stream("POST", self.endpoint.url, json=body, headers=headers) as answer:
                data = _bounded(answer, time.monotonic() + self.patience.read_s)
        except (httpx.ConnectError, httpx.ConnectTimeout) as e:
            self._reserve(-price)
            raise TransportError(f"{self.endpoint.host}: {type(e).__name__}: {e}") from e
        except httpx.HTTPError as e:  # sent, so it may be billed
            raise TransportError(f"{self.endpoint.host}: {type(e).__name__}: {self._clean(str(e))}") from e
        if answer.status_code != 200:
            self._reserve(-price)
        return self._read(answer, data, request)

    def _reserve(self, usd: float) -> None:
        """Counted before a request goes out: threads that ask together must not pass the cap together."""
        with self._spending:
            if usd > 0 and self.spent_usd + usd > self.max_spend_usd + 1e-9:
                raise SpendCapError(
                    f"{self.spent_usd:.3f} USD spent, {usd:g} more would pass the cap of {self.max_spend_usd:g}; "
                    "raise the cap to go on"
                )
            self.spent_usd += usd

    def _read(self, answer: httpx.Response, data: bytes, request: ImageRequest) -> ImageResult:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = None
        found = found if isinstance(found, dict) else {}
        if answer.status_code != 200 or (found.get("code") and "output" not in found):
            code, message = self._clean(_text(found, "code")[:80]), self._clean(_text(found, "message"))
            message = message or f"{self.endpoint.host} answered HTTP {answer.status_code}"
            if answer.status_code == 401 and self.endpoint.region != "custom":
                message += f"; the key must be one of region {self.endpoint.region}, others are refused there"
            raise error_of(
                answer.status_code if answer.status_code != 200 else 400,
                code,
                message,
                request_id=request_id_of(found),
                retry_after_s=_retry_after_s(answer.headers),
            )
        if not found:
            raise AnswerError(f"{self.endpoint.host} answered what is no JSON object")
        return parse_answer(found, request)

    def _fetch(self, url: str) -> Picture:
        try:
            data = fetch(
                self._downloads,
                url,
                self._stalls,
                self.endpoint.own_host,
                max_bytes=self._max_image_bytes,
                deadline_s=self.patience.download_s,
                resolver=self._resolver,
            )
        except httpx.HTTPError as e:
            raise TransportError(f"{self.endpoint.host}, download: {type(e).__name__}: {e}") from e
        except httpx.InvalidURL as e:
            raise DownloadError(f"the picture's URL cannot be used: {e}") from e
        return check_picture(data, url)

    def _clean(self, text: str) -> str:
        text = "".join(c if c.isprintable() else " " for c in text[:500])
        return self._key.redacted(text) if self._key else text


def _bounded(answer: httpx.Response, ends: float) -> bytes:
    data = bytearray()
    for piece in answer.iter_raw():
        data += piece
        if time.monotonic() > ends:
            raise AnswerError("the answer did not arrive in time")
        if len(data) > MAX_ANSWER_BYTES:
            raise AnswerError(f"an answer of more than {MAX_ANSWER_BYTES:,} bytes")
    return bytes(data)


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value[:500] if isinstance(value, str) else ""


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "").strip()
    return float(value) if value.isdigit() and len(value) < 8 else None


__all__ = ["MODEL", "REGIONS", "Generated", "ImageClient", "Patience", "price_text", "price_usd"]
