"""Deterministic tar shards: the same members give the same bytes, and member offsets are known."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xxhash

_BLOCK_BYTES = 512


def _header(name: str, size: int) -> bytes:
    """Plain ustar where it fits, POSIX PAX records for long or non-ASCII names; no time, no owner."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, 0, 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def member_bytes(name: str, size: int) -> int:
    """Bytes that a member takes in a shard, headers and padding included."""
    return len(_header(name, size)) + -(-size // _BLOCK_BYTES) * _BLOCK_BYTES


class TarShard:
    """Writes one shard; `facts` is complete after `close`."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.size_bytes = 0
        self._file = path.open("wb")
        self._digest = xxhash.xxh3_128()

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.size_bytes += len(data)

    def add(self, name: str, data: bytes) -> int:
        """Append a member; returns the offset of its data in the shard, in bytes."""
        self._put(_header(name, len(data)))
        offset = self.size_bytes
        self._put(data)
        self._put(b"\0" * (-len(data) % _BLOCK_BYTES))
        return offset

    def closed_bytes(self, more_bytes: int = 0) -> int:
        """Size of the finished file if `more_bytes` of members were added."""
        content = self.size_bytes + more_bytes + 2 * _BLOCK_BYTES
        return -(-content // tarfile.RECORDSIZE) * tarfile.RECORDSIZE

    def close(self) -> None:
        if not self._file.closed:
            self._put(b"\0" * (self.closed_bytes() - self.size_bytes))
            self._file.close()

    @property
    def facts(self) -> dict[str, Any]:
        """Size in bytes and xxh3-128 of the finished file."""
        return {"bytes": self.size_bytes, "xxh3_128": self._digest.hexdigest()}


def read_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, data) of every member of a shard, in order."""
    with tarfile.open(path, mode="r|") as tar:
        for info in tar:
            member = tar.extractfile(info)
            if member is not None:
                yield info.name, member.read()
