"""Limits and addresses of a server, checked when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from .credentials import TOKEN_VARIABLE
from .errors import RequestError
from .hosts import host_of, is_loopback
from .request import MAX_PIXELS, MAX_PROMPT_CHARS

MIN_TOKEN_CHARS = 16
_POSITIVE = (
    *("max_pixels", "max_body_bytes", "body_s", "head_s", "stall_s", "max_admitted", "max_batch"),
    *("max_batch_pixels", "deadline_s", "store_bytes", "store_ttl_s", "max_connections", "drain_s"),
)


@dataclass(frozen=True)
class Settings:
    """How a server runs.

    Attributes:
        host, port: bound address; port 0 takes a free one.
        token: bearer token, at least 16 characters; demanded unless the address is this machine's alone.
        allowed_hosts: names in the Host header beside this machine's own.
        public_url: what picture URLs begin with, e.g. behind a proxy; default: the request's Host.
        max_prompt_chars, max_pixels: of one request.
        max_body_bytes, body_s: size of a request's body, and seconds until it must have arrived.
        head_s, stall_s: until a request's head must have arrived, and how long a peer may leave what is sent unread.
        max_admitted: requests admitted and not answered; one more is told to come back (429).
        max_batch, max_batch_pixels: pictures, and their pixels, made together.
        deadline_s: from admission to answer.
        store_bytes, store_ttl_s: pictures kept for fetching, and for how long.
        max_connections: open connections, over which the server answers 503.
        drain_s: how long a closing server goes on with admitted requests, and lets pictures be fetched.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    public_url: str | None = None
    max_prompt_chars: int = 2000
    max_pixels: int = MAX_PIXELS
    max_body_bytes: int = 64 << 10
    body_s: float = 10.0
    head_s: float = 15.0
    stall_s: float = 30.0
    max_admitted: int = 256
    max_batch: int = 4
    max_batch_pixels: int = 4 * 1024 * 1024
    deadline_s: float = 120.0
    store_bytes: int = 1 << 30
    store_ttl_s: float = 3600.0
    max_connections: int = 512  # below the usual limit of open files
    drain_s: float = 30.0

    def __post_init__(self) -> None:
        """Raises RequestError naming the setting."""
        if not self.local and self.token is None:
            raise RequestError(
                f"host {self.host} can be reached from other machines: set {TOKEN_VARIABLE} to a token of "
                f"at least {MIN_TOKEN_CHARS} characters, or bind to 127.0.0.1"
            )
        if self.token is not None and (
            len(self.token) < MIN_TOKEN_CHARS
            or not self.token.isascii()
            or not self.token.isprintable()
            or " " in self.token
        ):
            raise RequestError(
                f"{TOKEN_VARIABLE} must have at least {MIN_TOKEN_CHARS} printable ASCII characters, no blanks"
            )
        for host in self.allowed_hosts:
            if host_of(host) != host.lower():
                raise RequestError(f"allowed host {host!a} must be a plain host name without port")
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            if (
                parts.scheme not in ("http", "https")
                or not parts.hostname
                or parts.query
                or "@" in parts.netloc
            ):
                raise RequestError("public_url must be an http or https URL with a host and no query")
        if not 1 <= self.max_prompt_chars <= MAX_PROMPT_CHARS:
            raise RequestError(f"max_prompt_chars must be 1 to {MAX_PROMPT_CHARS:,}")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise RequestError(f"{name} must be above 0")

    @property
    def local(self) -> bool:
        """Only this machine can reach the server."""
        return is_loopback(self.host)
