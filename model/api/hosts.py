"""Hosts as they stand in URLs and Host headers: how they are written, and which of them are near."""

from __future__ import annotations

import ipaddress

_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan")


def host_and_port(scheme: str, host: str, port: int | None) -> str:
    """`host:port` in lower case, with the scheme's port where none is given."""
    return f"{host.lower()}:{port or (443 if scheme == 'https' else 80)}"


def host_of(value: str) -> str | None:
    """The host of a Host header, lower case, without port and brackets; None if it is malformed."""
    host, _, port = value.rpartition(":") if not value.endswith("]") and ":" in value else (value, "", "")
    if port and not (port.isascii() and port.isdigit() and len(port) <= 5):
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    allowed = host and all(c.isascii() and (c.isalnum() or c in "-._:%") for c in host)
    return host.lower() if allowed else None


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_private(host: str) -> bool:
    """This machine, a private network, or a name that only such a network resolves."""
    try:
        ip = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_SUFFIXES)
    return not ip.is_global
