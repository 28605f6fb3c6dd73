"""Who may talk to the page: Host check, token, signed sessions, protection against forged requests, headers.

A browser that visits a hostile site can be made to send requests here. So names in `Host` must be this server's (names can be
rebound to any address), requests that write must come from a page of this server (`Origin`, `Sec-Fetch-Site`) and carry a value
that only such a page holds.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConfigError

TOKEN_VARIABLE = "ZCURATE_REVIEW_TOKEN"
MIN_TOKEN_CHARS = 16
MAX_NAME_CHARS = 40
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # With `no-referrer` browsers would send `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


def is_loopback(host: str) -> bool:
    """Is a host name or address this machine alone?"""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def check_address(host: str, token: str | None, allowed: Collection[str] = ()) -> None:
    """Raises ConfigError: other machines could reach the page without a token, or a token or name is no good."""
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"--host {host} can be reached from other machines: set {TOKEN_VARIABLE} to a token of at least "
            f"{MIN_TOKEN_CHARS} characters, or stay with 127.0.0.1"
        )
    if token is not None and (
        len(token) < MIN_TOKEN_CHARS or not token.isascii() or not token.isprintable() or " " in token
    ):
        raise ConfigError(
            f"{TOKEN_VARIABLE} must have at least {MIN_TOKEN_CHARS} printable ASCII characters, no blanks"
        )
    for name in allowed:
        if host_of(name) != name.lower():
            raise ConfigError(f"--allowed-host {name!a} must be a plain host name without port")


def host_of(value: str) -> str | None:
    """The host of a Host header, lower case, without port and brackets; None if it is malformed."""
    host, _, port = value.rpartition(":") if not value.endswith("]") and ":" in value else (value, "", "")
    if port and not (port.isascii() and port.isdigit() and len(port) <= 5):
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    fine = host and all(c.isascii() and (c.isalnum() or c in "-._:%") for c in host)
    return host.lower() if fine else None


@dataclass(frozen=True)
class Session:
    """A signed-in browser. `nonce` ties forms to it."""

    reviewer: str
    nonce: str


class Guard:
    """Checks of requests, and the signing of sessions.

    Args:
        key: 32 secret bytes; sessions outlive a restart when it does.
        token: what strangers must know; None: nobody is asked. A session made under another token is worth nothing.
        host: bound address. allowed: further names in the Host header.
    """

    def __init__(self, key: bytes, token: str | None, host: str, allowed: Collection[str] = ()):
        check_address(host, token, allowed)
        self.token = token
        self._key = hmac.digest(key, f"token|{token or ''}".encode(), "sha256")
        self._local = is_loopback(host)
        self._hosts = {host.lower(), *(a.lower() for a in allowed)}
        # Cookies do not know ports: two servers on one machine need two names.
        self.cookie = f"zcurate_review_{hashlib.sha256(key).hexdigest()[:10]}"

    def is_ours(self, host_header: str | None) -> bool:
        """Is a Host header this server's? Addresses cannot be rebound, so they are fine where others can reach us."""
        host = host_of(host_header or "")
        if host is None:
            return False
        if host in self._hosts or is_loopback(host):
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return not self._local

    def same_origin(self, host: str, origin: str | None, fetch_site: str | None) -> bool:
        """May a request that writes have come from a page of ours? Browsers tell; what tells nothing is refused."""
        if fetch_site is not None and fetch_site != "same-origin":
            return False
        if origin is not None:
            return origin.partition("://")[2].lower() == host.lower()
        return fetch_site is not None

    def token_fits(self, given: str) -> bool:
        """Compared in time that does not tell how much was right."""
        return self.token is None or hmac.compare_digest(given.strip().encode(), self.token.encode())

    def sign_in(self, reviewer: str) -> str:
        """Value of the cookie of a new session."""
        payload = json.dumps([reviewer, secrets.token_hex(8)]).encode()
        return f"{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.{self._sign('session', payload)}"

    def session(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None for one that is not ours."""
        text, dot, signature = (cookie or "").partition(".")
        try:
            payload = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            if not dot or not hmac.compare_digest(
                signature.encode(), self._sign("session", payload).encode()
            ):
                return None
            reviewer, nonce = json.loads(payload)
        except ValueError:
            return None
        return Session(reviewer, nonce)

    def form_key(self, session: Session) -> str:
        """What a form of this session must carry."""
        return self._sign("form", session.nonce.encode())

    def form_fits(self, session: Session, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.form_key(session).encode())

    def _sign(self, purpose: str, payload: bytes) -> str:
        return hmac.new(self._key, purpose.encode() + b"|" + payload, "sha256").hexdigest()


def reviewer_name(text: Any) -> str | None:
    """A reviewer's name as typed, blanks collapsed; None where it is empty, too long or holds controls."""
    name = " ".join(str(text).split())
    return name if name and len(name) <= MAX_NAME_CHARS and name.isprintable() else None


def load_key(path: Path) -> bytes:
    """32 secret bytes from a file only its owner can read, made where there is none. Raises ConfigError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_bytes()
    else:
        key = secrets.token_bytes(32)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
    if len(key) != 32:
        raise ConfigError(f"{path}: not a key of 32 bytes; delete it, and reviewers sign in again")
    return key
