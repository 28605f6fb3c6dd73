"""Bytes of a dump, uncompressed, block by block, the next block being read while this one is worked on."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .errors import DumpError

BLOCK_BYTES = 4 << 20
_COMPRESSED_BYTES = 1 << 20


def _plain(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as f:
        while block := f.read(BLOCK_BYTES):
            yield block


def _gzip(path: Path) -> Iterator[bytes]:
    """Members one after another, as parallel compressors write them."""
    done = 0
    engine = zlib.decompressobj(31)
    begun = False

    def broken(problem: str, at: int) -> DumpError:
        fix = f"download it again and compare its checksum (compressed file: {at} bytes read)"
        return DumpError(str(path), done, problem, fix)

    with open(path, "rb") as f:
        while data := f.read(_COMPRESSED_BYTES):
            while data:
                try:
                    block = engine.decompress(data, BLOCK_BYTES)
                except zlib.error as e:
                    raise broken(f"the gzip stream is damaged ({e})", f.tell()) from None
                begun = True
                done += len(block)
                if block:
                    yield block
                if engine.eof:
                    data, engine, begun = engine.unused_data.lstrip(b"\0"), zlib.decompressobj(31), False
                else:
                    data = engine.unconsumed_tail
        if begun:
            raise broken("the gzip stream ends early", f.tell())


def blocks(path: Path) -> Iterator[bytes]:
    """Uncompressed bytes of a `.sql` or `.sql.gz` file. Raises DumpError: a damaged or truncated gzip stream."""
    with open(path, "rb") as f:
        source = _gzip(path) if f.read(2) == b"\x1f\x8b" else _plain(path)
    with ThreadPoolExecutor(1, thread_name_prefix="dump") as ahead:
        following = ahead.submit(next, source, None)
        while (block := following.result()) is not None:
            following = ahead.submit(next, source, None)
            yield block
