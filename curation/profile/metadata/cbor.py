"""A small reader of CBOR (RFC 8949) for untrusted bytes: depth, items and bytes are bounded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

_MAX_DEPTH = 24
_MAX_ITEMS = 50_000
_FLOATS = {25: ("e", 2), 26: ("f", 4), 27: ("d", 8)}
_SIMPLE = {20: False, 21: True, 22: None, 23: None}
_BREAK = object()


class CborError(ValueError):
    """The bytes are not well-formed CBOR, or over a bound."""


def read_cbor(data: bytes) -> Any:
    """The first data item of `data`: int, float, bool, None, str, bytes, list or dict.

    Keys of maps become strings, and are no containers; tags are dropped and their content kept; undefined is None.

    Raises:
        CborError: malformed, too deep, or too many items.
    """
    value = _Reader(data).item(0)
    if value is _BREAK:
        raise CborError("break outside of an indefinite-length item")
    return value


def _key(key: Any) -> str:
    if isinstance(key, dict | list):  # written out, a key within a key within a key grows without bounds
        raise CborError("a map or list as key of a map")
    return str(key)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._items = 0

    def _take(self, count: int) -> bytes:
        end = self._position + count
        if end > len(self._data):
            raise CborError("ends too early")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def _argument(self, info: int) -> int | None:
        """The number in the head of an item; None for indefinite length."""
        if info < 24:
            return info
        if info < 28:
            return int.from_bytes(self._take(1 << (info - 24)), "big")
        if info == 31:
            return None
        raise CborError(f"reserved additional information {info}")

    def item(self, depth: int) -> Any:
        self._items += 1
        if depth > _MAX_DEPTH or self._items > _MAX_ITEMS:
            raise CborError("too deep or too many items")
        head = self._take(1)[0]
        major, info = head >> 5, head & 31
        if major == 7:
            return self._simple(info)
        argument = self._argument(info)
        if major in (0, 1, 6) and argument is None:
            raise CborError("a number without length")
        if major == 0:
            return argument
        if major == 1:
            return -1 - argument
        if major == 6:
            return self._value(depth + 1)
        if major in (2, 3):
            raw = self._take(argument) if argument is not None else self._chunks(major, depth)
            return raw if major == 2 else raw.decode("utf-8", "replace")
        if major == 4:
            return list(self._sequence(argument, depth + 1))
        pairs = self._sequence(None if argument is None else 2 * argument, depth + 1)
        return {_key(key): value for key, value in zip(pairs, pairs, strict=False)}

    def _value(self, depth: int) -> Any:
        value = self.item(depth)
        if value is _BREAK:
            raise CborError("break in place of a value")
        return value

    def _sequence(self, count: int | None, depth: int) -> Iterator[Any]:
        if count is None:
            while (value := self.item(depth)) is not _BREAK:
                yield value
            return
        for _ in range(count):
            yield self._value(depth)

    def _chunks(self, major: int, depth: int) -> bytes:
        parts = []
        while (head := self._take(1)[0]) != 0xFF:
            self._items += 1
            length = self._argument(head & 31)
            if head >> 5 != major or length is None or self._items > _MAX_ITEMS:
                raise CborError("a wrong part in an indefinite-length string")
            parts.append(self._take(length))
        return b"".join(parts)

    def _simple(self, info: int) -> Any:
        if info == 31:
            return _BREAK
        if info in _FLOATS:
            code, size = _FLOATS[info]
            return struct.unpack(f">{code}", self._take(size))[0]
        if info == 24:
            self._take(1)
            return None
        if info > 27:
            raise CborError(f"reserved simple value {info}")
        return _SIMPLE.get(info)
