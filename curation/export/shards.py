"""Samples into contiguously numbered tar shards with a member index beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .tarshard import TarShard, member_bytes

INDEX_NAME = "index.parquet"

#: One row per sample: where its image is (`offset`, `length` in bytes: a range read of the shard
#: gives the original file), and what the card counts. Ids are hex.
INDEX_SCHEMA = pa.schema(
    [
        ("shard", pa.string()),
        ("key", pa.string()),
        ("sample_id", pa.string()),
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("weight", pa.float64()),
        ("source", pa.string()),
        ("origin", pa.string()),
        ("license", pa.string()),
        ("engine", pa.string()),
        ("placeholder", pa.bool_()),
        ("caption_kind", pa.string()),
    ]
)

_INDEX_ROWS_PER_GROUP = 16_384


@dataclass(frozen=True)
class Sample:
    """The members of one sample, image first, and its index row (all but shard, offset and length)."""

    members: tuple[tuple[str, bytes], ...]
    index: Mapping[str, Any]

    @property
    def tar_bytes(self) -> int:
        return sum(member_bytes(name, len(data)) for name, data in self.members)


class _ShardWriter:
    """Starts the next shard whenever the current one is full."""

    def __init__(self, folder: Path, max_rows: int, max_bytes: int) -> None:
        self.folder, self.max_rows, self.max_bytes = folder, max_rows, max_bytes
        self.files: dict[str, dict[str, Any]] = {}
        self._shard: TarShard | None = None
        self._rows = 0

    def __enter__(self) -> _ShardWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self._finish()

    def _finish(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self.files[self._shard.name] = self._shard.facts
            self._shard, self._rows = None, 0

    def add(self, sample: Sample) -> tuple[str, int]:
        """Returns the shard's name and the offset of the image's bytes in it."""
        if self._shard is not None and (
            self._rows >= self.max_rows or self._shard.closed_bytes(sample.tar_bytes) > self.max_bytes
        ):
            self._finish()
        if self._shard is None:
            self._shard = TarShard(self.folder / f"{len(self.files):05d}.tar")
        offsets = [self._shard.add(name, data) for name, data in sample.members]
        self._rows += 1
        return self._shard.name, offsets[0]


def _index_writer(folder: Path) -> pq.ParquetWriter:
    return pq.ParquetWriter(folder / INDEX_NAME, INDEX_SCHEMA, compression="zstd")


def write_index(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write `index.parquet` from complete index rows."""
    with _index_writer(folder) as index:
        for start in range(0, max(len(rows), 1), _INDEX_ROWS_PER_GROUP):
            part = rows[start : start + _INDEX_ROWS_PER_GROUP]
            index.write_table(pa.Table.from_pylist(part, schema=INDEX_SCHEMA))


def write_shards(
    folder: Path, samples: Iterable[Sample], max_rows: int, max_bytes: int
) -> tuple[dict[str, dict[str, Any]], list[bytes]]:
    """Write samples into shards of `folder`, and `index.parquet`.

    Returns:
        (shard name -> size and digest, sample ids in order).
    """
    ids: list[bytes] = []
    pending: list[dict[str, Any]] = []
    with (
        _index_writer(folder) as index,
        _ShardWriter(folder, max_rows, max_bytes) as shards,
    ):
        for sample in samples:
            shard, offset = shards.add(sample)
            length = len(sample.members[0][1])
            ids.append(bytes.fromhex(sample.index["sample_id"]))
            pending.append({"shard": shard, "offset": offset, "length": length, **sample.index})
            if len(pending) == _INDEX_ROWS_PER_GROUP:
                index.write_table(pa.Table.from_pylist(pending, schema=INDEX_SCHEMA))
                pending = []
        index.write_table(pa.Table.from_pylist(pending, schema=INDEX_SCHEMA))
    return shards.files, ids
