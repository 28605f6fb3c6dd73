"""Which URIs may be opened, and which paths and addresses they may lead to.

Roots are written by the user in a recipe and may name a listed protocol. Everything below a root
(manifest rows, archive members, sidecars, redirects) is untrusted, and may only lead to places
inside the root or, for http, to public addresses.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .errors import UnsafeUriError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

#: Protocols a source or dataset root may use. http and https are for `fetch` only.
ROOT_PROTOCOLS = frozenset({"file", "memory", "s3", "gs", "abfs"})

#: Suffixes of sources that are one file: what they point to lies beside them.
FILE_SUFFIXES = (
    *(".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz", ".parquet"),
    *(".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".csv", ".csv.gz"),
)

_PROTOCOL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_DRIVE = re.compile(r"^[A-Za-z]:")
_SEPARATORS = re.compile(r"[/\\]")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_MAX_QUOTED_CHARS = 200


def quoted(value: str) -> str:
    """`value` as it may appear in a message: escaped and cut."""
    return ascii(value[:_MAX_QUOTED_CHARS])


def split_protocol(uri: str) -> tuple[str, str]:
    """(protocol, rest) of a URI; a plain path has the protocol `file`."""
    if "::" in uri:
        raise UnsafeUriError(f"{quoted(uri)}: chained URIs ('::') are refused; name the files themselves")
    if "\0" in uri:
        raise UnsafeUriError(f"{quoted(uri)}: contains a NUL character")
    match = _PROTOCOL.match(uri)
    if match is None:
        return "file", uri
    return match.group(1).lower(), uri[match.end() :]


def check_root(uri: str, allowed: Collection[str] = ROOT_PROTOCOLS) -> str:
    """The root without trailing '/', local paths made absolute.

    Raises:
        UnsafeUriError: chained or unlisted protocol.
    """
    protocol, rest = split_protocol(uri)
    if protocol not in allowed:
        raise UnsafeUriError(
            f"{quoted(uri)}: protocol {protocol!r} is not allowed here; use one of {', '.join(sorted(allowed))}"
            + (" (run `fetch` on the list of URLs first)" if protocol in {"http", "https"} else "")
        )
    if protocol == "file":
        return os.path.abspath(os.path.expanduser(rest))
    if ".." in rest.split("/"):
        raise UnsafeUriError(f"{quoted(uri)}: contains '..'; write the full path")
    return f"{protocol}://{rest.rstrip('/')}"


def is_local(root: str) -> bool:
    return split_protocol(root)[0] == "file"


def base_of(root: str) -> str:
    """The folder that relative URIs of a source are relative to: the root, or its parent if it is a file."""
    root = check_root(root)
    if not root.lower().endswith(FILE_SUFFIXES) or (is_local(root) and os.path.isdir(root)):
        return root
    return root.rsplit("/", 1)[0] or "/"


def filesystem(root: str, storage_options: Mapping[str, Any] | None = None) -> tuple[AbstractFileSystem, str]:
    """fsspec file system of an allowed root, and the root's path within it."""
    import fsspec

    root = check_root(root)
    protocol, rest = split_protocol(root)
    fs = fsspec.filesystem(protocol, **dict(storage_options or {}))
    return fs, rest if protocol == "file" else fs._strip_protocol(root)


def check_relative(path: str) -> str:
    """A relative path in normal form ('/' separators, no '.' and no empty parts).

    Raises:
        UnsafeUriError: empty, absolute, with '..', a drive letter, a protocol, or a NUL.
    """
    if "\0" in path:
        raise UnsafeUriError(f"path {quoted(path)} contains a NUL character")
    if "::" in path or _PROTOCOL.match(path):
        raise UnsafeUriError(f"path {quoted(path)} is a URI; paths must be relative to the source root")
    if path.startswith(("/", "\\")) or _DRIVE.match(path):
        raise UnsafeUriError(f"path {quoted(path)} is absolute; paths must be relative to the source root")
    if ".." in _SEPARATORS.split(path):
        raise UnsafeUriError(f"path {quoted(path)} leads out of the source root ('..')")
    parts = [p for p in path.split("/") if p not in {"", "."}]
    if not parts:
        raise UnsafeUriError(f"path {quoted(path)} is empty")
    return "/".join(parts)


def relative_to(base: str, path: str) -> str:
    """`path`, relative or absolute but inside `base`, as a checked relative path."""
    prefix = base.rstrip("/") + "/"
    return check_relative(path.removeprefix(prefix))


def is_inside(base_real: str, path_real: str) -> bool:
    """Whether a resolved path is inside a resolved folder (both from `os.path.realpath`)."""
    return path_real == base_real or path_real.startswith(base_real.rstrip(os.sep) + os.sep)


def resolve_inside(base: str, relative: str) -> str:
    """Absolute local path of `relative` with all symlinks resolved.

    Raises:
        UnsafeUriError: a symlink leads outside `base`.
    """
    base_real = os.path.realpath(base)
    real = os.path.realpath(os.path.join(base_real, decode_name(check_relative(relative))))
    if not is_inside(base_real, real):
        raise UnsafeUriError(f"{quoted(relative)}: a symlink leads outside the source root")
    return real


# File names that are not UTF-8 must survive in string columns. Each byte that does not decode is
# written %XX (upper-case hex, 80-FF); a '%' that would read as such an escape is written %25.
# All other names, '%20' and '50%.jpg' included, stay as they are.
_BAD_BYTE = re.compile("[\udc80-\udcff]")
_AMBIGUOUS = re.compile(r"%(?=[89A-F][0-9A-F]|25)")
_ESCAPE = re.compile(r"%(25|[89A-F][0-9A-F])")


def encode_name(name: str) -> str:
    """An operating-system name (surrogateescape) as valid text; `decode_name` reverses it."""
    if "%" in name:
        name = _AMBIGUOUS.sub("%25", name)
    if name.isascii():
        return name
    return _BAD_BYTE.sub(lambda m: f"%{ord(m.group()) - 0xDC00:02X}", name)


def decode_name(text: str) -> str:
    """The operating-system name (surrogateescape) written by `encode_name`."""
    if "%" not in text:
        return text
    raw = re.sub(
        rb"%(25|[89A-F][0-9A-F])",
        lambda m: bytes([int(m.group(1), 16)]),
        text.encode("utf-8", "surrogateescape"),
    )
    return raw.decode("utf-8", "surrogateescape")


def check_http_url(url: str) -> str:
    """An http(s) URL with a host and no credentials; its host's addresses are checked on connecting.

    Raises:
        UnsafeUriError: another protocol, no host, credentials, or unreadable.
    """
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as e:
        raise UnsafeUriError(f"URL {quoted(url)} cannot be parsed: {e}") from e
    if parts.scheme.lower() not in {"http", "https"}:
        raise UnsafeUriError(f"URL {quoted(url)}: only http and https URLs are fetched")
    if not host:
        raise UnsafeUriError(f"URL {quoted(url)} has no host")
    if parts.username or parts.password:
        raise UnsafeUriError("URL with a user name or password is refused; remove the credentials")
    return url


def check_address(address: str, host: str, allow_private: Collection[str] = ()) -> str:
    """An IP address that may be connected to: global unicast, or listed in `allow_private`.

    Args:
        host: the name that resolved to it, for the message and for `allow_private`.
        allow_private: host names or addresses that may be private.

    Raises:
        UnsafeUriError: loopback, private, link-local, multicast, reserved, or unspecified.
    """
    if address in allow_private or host in allow_private:
        return address
    ip = ipaddress.ip_address(address.split("%", 1)[0])
    embedded = _embedded_ipv4(ip)
    for candidate in (ip, embedded):
        if candidate is not None and (not candidate.is_global or candidate.is_multicast):
            if candidate is ip and embedded is not None and isinstance(ip, ipaddress.IPv6Address):
                continue  # a wrapper range; what counts is the address inside
            raise UnsafeUriError(
                f"host {quoted(host)} leads to the private address {address}; "
                "list it in allow_private if that is intended"
            )
    return address


def _embedded_ipv4(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv4-mapped, 6to4, Teredo or NAT64 address stands for."""
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


def resolve_public(host: str, port: int, allow_private: Collection[str] = ()) -> list[str]:
    """All addresses of a host, each checked; one bad address refuses the host. Blocks on DNS.

    Raises:
        UnsafeUriError: see `check_address`.
        OSError: the name does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
    return [check_address(a, host, allow_private) for a in addresses]
