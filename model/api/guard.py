"""What every request passes before anything reads it: the Host header and the bearer token."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from fastapi.responses import JSONResponse

from .errors import ApiError, HostError, KeyRefusedError
from .hosts import host_of, is_loopback
from .wire import error_body

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

#: Paths without a token: probes, and pictures, whose names are secrets themselves.
_OPEN = ("/health", "/ready")
_OPEN_PREFIX = "/images/"
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
]


class Guard:
    """ASGI middleware.

    Args:
        token: demanded as `Authorization: Bearer TOKEN`; None: nothing is demanded.
        local: the server is bound to this machine, so only names of this machine are its own.
        hosts: further host names, without port.
    """

    def __init__(self, app: App, *, token: str | None, local: bool, hosts: Collection[str]):
        self._app = app
        self._token = None if token is None else token.encode()
        self._local = local
        self._hosts = {h.lower() for h in hosts}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        refused = self._refusal(scope)
        if refused is None:
            return await self._app(scope, receive, hardened)
        headers = {"WWW-Authenticate": "Bearer"} if isinstance(refused, KeyRefusedError) else {}
        answer = JSONResponse(error_body(refused, ""), refused.http_status, headers)
        return await answer(scope, receive, hardened)

    def _refusal(self, scope: Message) -> ApiError | None:
        headers = scope["headers"]
        named = [v.decode("latin-1") for k, v in headers if k == b"host"]
        if len(named) != 1 or not self._ours(named[0]):
            shown = ascii(named[0][:80]) if named else "none"
            return HostError(f"Host {shown} is not this server; start it with --allowed-host if it should be")
        path = scope["path"]
        if self._token is None or path in _OPEN or path.startswith(_OPEN_PREFIX):
            return None
        given = [v for k, v in headers if k == b"authorization"]
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        # Compared whatever the scheme, in time that does not tell how much was right.
        right = hmac.compare_digest(token.strip(), self._token)
        if scheme.lower() == b"bearer" and right:
            return None
        return KeyRefusedError("a valid bearer token is needed: Authorization: Bearer TOKEN")

    def _ours(self, value: str) -> bool:
        """Names can be rebound to this address by anyone who owns them; addresses cannot."""
        host = host_of(value)
        if host is None:
            return False
        if host in self._hosts or is_loopback(host):
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return not self._local
