"""Which endpoint a request goes to, and which key may go with it.

A request may come from a stranger's file, so a key goes only to the host it belongs to:

- `DASHSCOPE_API_KEY`, else `dashscope_api_key` of `~/.alibabacloud/credentials` (section of `ALIBABA_CLOUD_PROFILE`, else
  `default`), goes over https to the hosts of Model Studio's two regions alone. Other names below aliyuncs.com will not do:
  anyone can rent one (object storage, functions).
- `ZCURATE_SERVE_TOKEN` goes to this machine and to hosts listed in `ZCURATE_SERVE_HOST` (`HOST` or `HOST:PORT`, separated
  by commas), over https except to private addresses.
- No key goes anywhere else.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .errors import KeyRefusedError, RequestError
from .hosts import host_and_port, host_of, is_loopback, is_private
from .wire import SERVICE_PATH

KEY_VARIABLE, TOKEN_VARIABLE, HOST_VARIABLE = (
    "DASHSCOPE_API_KEY",
    "ZCURATE_SERVE_TOKEN",
    "ZCURATE_SERVE_HOST",
)
CREDENTIALS_FILE = "~/.alibabacloud/credentials"
MAX_CREDENTIALS_BYTES = 1 << 20
#: Model Studio's regions. A key of one is refused by the other.
REGIONS = {
    "beijing": "https://dashscope.aliyuncs.com/api/v1",
    "singapore": "https://dashscope-intl.aliyuncs.com/api/v1",
}
#: Below these, a name of one label is the endpoint of a workspace (Model Studio's overview of base URLs, 2026).
_WORKSPACES = {"beijing": ".cn-beijing.maas.aliyuncs.com", "singapore": ".ap-southeast-1.maas.aliyuncs.com"}


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


@dataclass(frozen=True)
class Endpoint:
    """Where requests go.

    Attributes:
        url: of the service, without query or credentials.
        region: `beijing` or `singapore`, also where a base_url names one of their hosts; `custom` for other base_urls.
        own_host: `host:port` of a custom base_url: pictures may come from there, even from a private address. Else empty.
    """

    url: str
    region: str
    own_host: str = ""

    @property
    def host(self) -> str:
        return (urlsplit(self.url).hostname or "").lower()

    @property
    def private(self) -> bool:
        return is_private(self.host)


def endpoint_of(base_url: str | None, region: str, regions: Mapping[str, str] = REGIONS) -> Endpoint:
    """The endpoint of a request: its base_url, else its region's.

    A base_url may be a server (`http://localhost:8000`), an API root (`.../api/v1`) or the service's full URL.

    Raises:
        RequestError: unknown region; a base_url that is not http(s), or has no host, credentials, a query or a fragment.
    """
    if base_url is None:
        if region not in regions:
            raise RequestError(f"region {region!r} is unknown; there are {', '.join(sorted(regions))}")
        return Endpoint(regions[region].rstrip("/") + SERVICE_PATH, region)
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as e:
        raise RequestError(f"base_url cannot be parsed: {e}") from e
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestError("base_url must be an http or https URL with a host, e.g. http://localhost:8000")
    if "@" in parts.netloc:
        raise RequestError(f"base_url has a user name or password; put the token into {TOKEN_VARIABLE}")
    if parts.query or parts.fragment or any(c.isspace() or not c.isprintable() for c in base_url):
        raise RequestError("base_url must have no query, fragment or blanks")
    # Other characters are where two parsers may see two hosts, of which one has the key.
    if host_of(parts.netloc) is None:
        raise RequestError("base_url's host may have letters, digits, dots and hyphens alone (use punycode)")
    path = parts.path.rstrip("/")
    if not path.endswith(SERVICE_PATH):
        path = (path if path.endswith("/api/v1") else path + "/api/v1") + SERVICE_PATH
    url = f"{parts.scheme}://{parts.netloc}{path}"
    known = region_of(parts.hostname, regions)
    if known is not None:
        if port not in (None, 443):
            raise RequestError(
                f"base_url: {parts.hostname} has no service at port {port}; leave the port out"
            )
        return Endpoint(url, known)
    return Endpoint(url, "custom", host_and_port(parts.scheme, parts.hostname, port))


def region_of(host: str, regions: Mapping[str, str] = REGIONS) -> str | None:
    """The region whose keys a host takes; None for every host that is not Model Studio's."""
    host = host.lower()
    for region, url in regions.items():
        if host == urlsplit(url).hostname:
            return region
    for region, suffix in _WORKSPACES.items():
        if host.endswith(suffix) and "." not in host.removesuffix(suffix):
            return region
    return None


def find_key(endpoint: Endpoint, environment: Mapping[str, str] = os.environ) -> Secret | None:
    """The key for an endpoint by the rules in the module's docstring; None where none belongs to it.

    Raises:
        KeyRefusedError: DashScope without a key, or a key that cannot be sent.
    """
    parts = urlsplit(endpoint.url)
    secure = parts.scheme == "https"
    if region_of(endpoint.host) is not None:
        if not secure:
            raise KeyRefusedError(f"a key may not go to {endpoint.host} over plain http; use https")
        key = environment.get(KEY_VARIABLE, "").strip() or _key_of_file(environment)
        if not key:
            raise KeyRefusedError(
                f"no key: set {KEY_VARIABLE}, or write dashscope_api_key = KEY into {CREDENTIALS_FILE}"
            )
        return Secret(_sendable(key, KEY_VARIABLE))
    token = environment.get(TOKEN_VARIABLE, "").strip()
    if not token:
        return None
    hosts = {h.strip().lower() for h in environment.get(HOST_VARIABLE, "").split(",") if h.strip()}
    listed = endpoint.host in hosts or endpoint.own_host in hosts
    if not is_loopback(endpoint.host) and not listed:
        raise KeyRefusedError(
            f"{TOKEN_VARIABLE} is set, but nothing says that it belongs to {endpoint.host}; "
            f"set {HOST_VARIABLE}={endpoint.host} if it does, or unset the token"
        )
    if not secure and not endpoint.private:
        raise KeyRefusedError(f"a token may not go to {endpoint.host} over plain http; use https")
    return Secret(_sendable(token, TOKEN_VARIABLE))


def _key_of_file(environment: Mapping[str, str]) -> str:
    home = environment.get("HOME")
    path = (
        Path(CREDENTIALS_FILE.replace("~", home, 1)) if home else Path(os.path.expanduser(CREDENTIALS_FILE))
    )
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_CREDENTIALS_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except OSError as e:
        raise KeyRefusedError(f"{path}: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise KeyRefusedError(f"{path}: not UTF-8") from e
    # The file is an ini file, but a bare `dashscope_api_key = KEY` without a section is common.
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="\0none")
    try:
        parser.read_string("[default]\n" + text)
    except configparser.Error as e:
        # Not the parser's message: it quotes lines, and they hold keys.
        raise KeyRefusedError(f"{path}: not an ini file ({type(e).__name__})") from None
    profile = environment.get("ALIBABA_CLOUD_PROFILE", "").strip() or "default"
    return parser.get(profile, "dashscope_api_key", fallback="").strip().strip("\"'")


def _sendable(key: str, name: str) -> str:
    if not key.isascii() or not key.isprintable() or " " in key:
        raise KeyRefusedError(f"{name} has characters that no key has")
    return key
