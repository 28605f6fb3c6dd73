"""One shard of one group: a Parquet file that proves itself.

The footer carries what made the shard (stage fingerprint and lineage), the digest of every
column, the digests of the input columns it was made from, and a digest of the file itself.
There is no other record of what is done: a shard counts as present only when all of it agrees.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from ..errors import ShardInvalidError
from .digest import column_digest

META_KEY = b"zcurate"
FILE_KEY = b"zcurate.file_xxh3"
_MARK = b"zcurate-file-xxh3:"
_BLANK = b"0" * 32


@dataclass(frozen=True)
class ShardMeta:
    """What the footer says.

    Attributes:
        group: e.g. `profile`.
        shard: shard name, e.g. `00000012`.
        stage: name, version, config, models of the stage.
        fingerprint: digest of `stage` (32 hex).
        lineage: digest that also covers the inputs' lineages and the selection (32 hex).
        inputs: what was read -> its digest.
        columns: column -> digest.
        rows: number of rows.
        counts: rows per `_status`.
        facts: JSON-able extras of the writer.
    """

    group: str
    shard: str
    stage: Mapping[str, Any]
    fingerprint: str
    lineage: str
    inputs: Mapping[str, str]
    rows: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> ShardMeta:
        return cls(**json.loads(text))


def serialize(table: pa.Table, meta: ShardMeta) -> tuple[bytes, ShardMeta]:
    """A shard's bytes, and its meta with rows, column digests and status counts filled in."""
    columns = {name: column_digest(table.column(name)) for name in table.column_names}
    counts: dict[str, int] = {}
    if "_status" in table.column_names:
        for v in table.column("_status").value_counts().to_pylist():
            counts[v["values"]] = v["counts"]
    meta = ShardMeta(**{**asdict(meta), "rows": len(table), "columns": columns, "counts": counts})
    sink = io.BytesIO()
    options = {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [f.name for f in table.schema if _repeats(f.type)],
        "write_statistics": False,
        "write_page_checksum": True,
    }
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        writer.write_table(table, row_group_size=10_000)
        # Into the Parquet footer only: the Arrow schema would keep a second copy of the blank.
        writer.add_key_value_metadata(
            {META_KEY.decode(): meta.to_json(), FILE_KEY.decode(): (_MARK + _BLANK).decode()}
        )
    data = bytearray(sink.getbuffer())
    at = data.rfind(_MARK + _BLANK)
    digest = xxhash.xxh3_128_hexdigest(data).encode()
    data[at + len(_MARK) : at + len(_MARK) + 32] = digest
    return bytes(data), meta


def _repeats(t: pa.DataType) -> bool:
    return pa.types.is_string(t) or pa.types.is_boolean(t)


def read_meta(data: bytes, where: str) -> ShardMeta:
    """Check the file digest and return the footer.

    Raises:
        ShardInvalidError: truncated, altered, or not one of ours; names `where`.
    """
    return _open(data, where)[1]


def read_table(data: bytes, where: str, columns: Sequence[str] | None = None) -> tuple[pa.Table, ShardMeta]:
    """Check the file digest and return (table, footer). Raises ShardInvalidError."""
    file, meta = _open(data, where)
    try:
        # One thread: shards are read side by side already, and a short command that ends while Arrow's
        # pool is still starting threads is aborted by its C++ runtime.
        table = file.read(columns=list(columns) if columns is not None else None, use_threads=False)
    except (pa.ArrowException, OSError, KeyError) as e:
        raise ShardInvalidError(f"{where}: cannot be read ({e}); it counts as absent") from e
    return table.replace_schema_metadata(None), meta


def _open(data: bytes, where: str) -> tuple[pq.ParquetFile, ShardMeta]:
    at = data.rfind(_MARK)
    if at < 0 or len(data) < at + len(_MARK) + 32:
        raise ShardInvalidError(f"{where}: truncated, or not a shard of zcurate; it counts as absent")
    start = at + len(_MARK)
    h = xxhash.xxh3_128(memoryview(data)[:start])
    h.update(_BLANK)
    h.update(memoryview(data)[start + 32 :])
    if h.hexdigest().encode() != data[start : start + 32]:
        raise ShardInvalidError(f"{where}: its bytes do not match their digest; it counts as absent")
    try:
        file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)
        meta = ShardMeta.from_json(file.metadata.metadata[META_KEY])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as e:
        raise ShardInvalidError(f"{where}: unreadable footer ({e}); it counts as absent") from e
    return file, meta
