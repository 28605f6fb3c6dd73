"""Where a chat server is, which model it is asked for, and which key it may see.

`openai:URL#MODEL`, e.g. `openai:http://localhost:8000/v1#Qwen/Qwen3-VL-8B-Instruct`. Addresses of images in a dataset
are untrusted and may not be private; the address of a server is the user's own choice, so localhost and private
networks are allowed here, and redirects are not followed.

A key is read from the environment and goes only to the host it belongs to, since a recipe may come from a stranger:

- `OPENAI_API_KEY` to https://api.openai.com alone.
- `ZCURATE_VLM_API_KEY` to the hosts listed in `ZCURATE_VLM_API_HOST` (`HOST` or `HOST:PORT`, separated by commas).
  Without that list, to this machine and to private networks alone; a public host is refused until the list names it.
- No key travels over plain http to a public host.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..chat import ChatError

KEY_VARIABLE, HOST_VARIABLE = "ZCURATE_VLM_API_KEY", "ZCURATE_VLM_API_HOST"
_OPENAI_HOST = "api.openai.com"
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan")


class AddressError(ValueError):
    """A model string of an engine that cannot be used; the message says how to write it."""


@dataclass(frozen=True)
class Address:
    """A server and a model. `url` has no trailing slash, no query and no credentials."""

    url: str
    model: str

    @property
    def host(self) -> str:
        return (urlsplit(self.url).hostname or "").lower()

    @property
    def host_and_port(self) -> str:
        parts = urlsplit(self.url)
        return f"{self.host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"

    @property
    def private(self) -> bool:
        """This machine, a private network, or a name that only such a network resolves."""
        try:
            ip = ipaddress.ip_address(self.host.partition("%")[0])
        except ValueError:
            return "." not in self.host or self.host.endswith(_LOCAL_SUFFIXES)
        return not ip.is_global


class Secret:
    """A key that shows in no repr, message or traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str):
        self._value = value

    def __repr__(self) -> str:
        return "Secret(***)"

    def reveal(self) -> str:
        return self._value

    def redacted(self, text: str) -> str:
        """A text without the key; servers like to quote it in their errors."""
        return text.replace(self._value, "***")


def parse_address(argument: str) -> Address:
    """`URL#MODEL` -> Address.

    Raises:
        AddressError: not http(s), no host, credentials or a query in the URL, or no model.
    """
    url, _, model = argument.partition("#")
    hint = "write openai:http://HOST:PORT/v1#MODEL"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as e:
        raise AddressError(f"the server's URL cannot be parsed ({e}); {hint}") from e
    if "@" in parts.netloc:
        raise AddressError(
            f"the server's URL has a user name or password; put the key into {KEY_VARIABLE} instead"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise AddressError(f"{url!r} is no http or https URL with a host; {hint}")
    if parts.query:
        raise AddressError(f"the server's URL has a query ('?...'); {hint}")
    if not model.strip() or any(c.isspace() or not c.isprintable() for c in model):
        raise AddressError(f"{url!r} names no model; {hint}")
    return Address(url.rstrip("/"), model)


def find_key(address: Address, environment: Mapping[str, str]) -> Secret | None:
    """The key for that server, by the rules in the module's docstring; None where none belongs to it.

    Raises:
        ChatError: auth, fatal: a key is set, but may not go there; the message says what to set.
    """
    key = environment.get(KEY_VARIABLE, "").strip()
    if key and not key.isascii():
        raise ChatError("auth", f"{KEY_VARIABLE} has characters that no key has", fatal=True)
    named = environment.get(HOST_VARIABLE, "")
    hosts = {h.strip().lower() for h in named.split(",") if h.strip()}
    secure = address.url.startswith("https://") or address.private
    if key and (address.host in hosts or address.host_and_port in hosts):
        if not secure:
            raise ChatError(
                "auth", f"a key may not go to {address.host} over plain http; use https", fatal=True
            )
        return Secret(key)
    if address.host == _OPENAI_HOST and address.url.startswith("https://"):
        own = environment.get("OPENAI_API_KEY", "").strip()
        if own:
            return Secret(own)
    if not key or hosts:
        return None
    if address.private:
        return Secret(key)
    raise ChatError(
        "auth",
        f"{KEY_VARIABLE} is set, but nothing says that it belongs to {address.host}; "
        f"set {HOST_VARIABLE}={address.host} if it does, or unset the key",
        fatal=True,
    )
