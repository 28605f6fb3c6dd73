"""Fetching the picture of an answer: its URL is untrusted, and so are the bytes behind it.

A picture may come from object storage of aliyuncs.com over https, from public addresses alone, or from the host the user
named as base_url. A redirect may only lead to the same host. Nothing secret is sent along.
"""

from __future__ import annotations

import io
import ipaddress
import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import httpx

from .errors import DownloadError, PictureGoneError, TransportError
from .hosts import host_and_port
from .request import MAX_PIXELS

#: Largest picture read, bytes: 2048*2048 in 16 bits per channel, uncompressed, is 25 MB.
MAX_IMAGE_BYTES = 32 << 20
MAX_REDIRECTS = 3
_STORAGE_DOMAIN = ".aliyuncs.com"
_FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}

#: (host, port) -> addresses. Blocks on DNS; raises OSError.
Resolver = Callable[[str, int], list[str]]


@dataclass(frozen=True)
class Picture:
    """A checked picture: its bytes as received, size in pixels, and the file suffix of its format."""

    data: bytes
    width: int
    height: int
    suffix: str


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def fetch(
    transport: httpx.BaseTransport,
    url: str,
    timeout: httpx.Timeout,
    own_host: str = "",
    *,
    max_bytes: int = MAX_IMAGE_BYTES,
    deadline_s: float = 120.0,
    resolver: Resolver = resolve,
) -> bytes:
    """The bytes behind a picture's URL, at most `max_bytes`.

    Args:
        transport: not a client, which would log the URL with its signature.
        timeout: of each step; `deadline_s` is of all of them.
        own_host: `host:port` of the user's base_url, which may be private.

    Raises:
        DownloadError: a place that is not allowed, an HTTP error, too large, or too slow; PictureGoneError: 404 or 410.
        TransportError: the storage is busy or failing; worth another try, as is an httpx.TransportError.
    """
    ends = time.monotonic() + deadline_s
    first: SplitResult | None = None
    for _ in range(MAX_REDIRECTS + 1):
        parts = _allowed(url, own_host)
        if first is not None and _place(parts) != _place(first):
            raise DownloadError(f"{shown(url)}: redirected to another host, which is refused")
        first = first or parts
        target, headers, extensions = _pinned(parts, own_host, resolver)
        extensions = {**extensions, "timeout": timeout.as_dict()}
        asked = httpx.Request("GET", target, headers=headers, extensions=extensions)
        with closing(transport.handle_request(asked)) as answer:
            if answer.is_redirect and "location" in answer.headers:
                url = urljoin(urlunsplit(parts), answer.headers["location"])
                continue
            if answer.status_code == 429 or answer.status_code >= 500:
                raise TransportError(f"{shown(url)}: HTTP status {answer.status_code}")
            if answer.status_code in (404, 410):
                raise PictureGoneError(f"{shown(url)}: HTTP status {answer.status_code}")
            if answer.status_code != 200:
                raise DownloadError(f"{shown(url)}: HTTP status {answer.status_code}")
            return _body(answer, url, max_bytes, ends)
    raise DownloadError(f"{shown(url)}: more than {MAX_REDIRECTS} redirects")


def check_picture(data: bytes, url: str) -> Picture:
    """A picture that decodes to its end.

    Raises:
        DownloadError: not PNG, JPEG or WebP, truncated, or with more pixels than can be asked for.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=list(_FORMATS)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DownloadError(f"{shown(url)}: {width}*{height} pixels, more than can be asked for")
            image.load()
            suffix = _FORMATS[str(image.format)]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
        raise DownloadError(
            f"{shown(url)}: not a whole PNG, JPEG or WebP picture ({type(e).__name__})"
        ) from e
    return Picture(data, width, height, suffix)


def shown(url: str) -> str:
    """A URL as it may appear in a message: without its query, which holds signatures."""
    return ascii(url.partition("?")[0][:200])


def _place(parts: SplitResult) -> str:
    return host_and_port(parts.scheme, parts.hostname or "", parts.port)


def _allowed(url: str, own_host: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        host, place = (parts.hostname or "").lower(), _place(parts)
    except ValueError as e:
        raise DownloadError(f"{shown(url)}: the picture's URL cannot be parsed: {e}") from e
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise DownloadError(f"{shown(url)}: the picture's URL must be http(s) without credentials")
    if own_host and place == own_host:
        return parts
    if host.endswith(_STORAGE_DOMAIN) and parts.port is None:
        return parts._replace(scheme="https")
    expected = f"aliyuncs.com{' or ' + own_host if own_host else ''}"
    raise DownloadError(f"{shown(url)}: pictures are fetched from {expected} alone")


def _pinned(
    parts: SplitResult, own_host: str, resolver: Resolver
) -> tuple[str, dict[str, str], dict[str, str]]:
    """(URL, headers, extensions) of a request to an address that was checked.

    The address itself is put into the URL, so that a name cannot lead elsewhere between check and use; TLS still
    verifies the name.
    """
    plain = {"Accept-Encoding": "identity"}
    if own_host and _place(parts) == own_host:
        return urlunsplit(parts), plain, {}
    host = str(parts.hostname)
    try:
        addresses = resolver(host, parts.port or 443)
    except (OSError, UnicodeError) as e:
        raise DownloadError(f"{shown(urlunsplit(parts))}: {host} does not resolve: {e}") from e
    for address in addresses:
        ip = ipaddress.ip_address(address.partition("%")[0])
        if not ip.is_global or ip.is_multicast:
            raise DownloadError(
                f"{shown(urlunsplit(parts))}: {host} leads to the private address {address}, which is refused"
            )
    if not addresses:
        raise DownloadError(f"{shown(urlunsplit(parts))}: {host} has no address")
    literal = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
    return urlunsplit(parts._replace(netloc=literal)), {**plain, "Host": host}, {"sni_hostname": host}


def _body(answer: httpx.Response, url: str, max_bytes: int, ends: float) -> bytes:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise DownloadError(f"{shown(url)}: sent compressed, though plain bytes were asked for")
    declared = answer.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > max_bytes:
        raise DownloadError(f"{shown(url)}: {declared} bytes, at most {max_bytes:,} are read")
    data = bytearray()
    for piece in answer.iter_raw():
        data += piece
        if len(data) > max_bytes:
            raise DownloadError(f"{shown(url)}: more than {max_bytes:,} bytes")
        if time.monotonic() > ends:
            raise DownloadError(f"{shown(url)}: not finished in time")
    return bytes(data)
