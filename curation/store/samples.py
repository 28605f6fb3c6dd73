"""Appending samples: a listing becomes new shards; existing rows never move.

A listing is compared with what the dataset already holds of that source: new entries become
new rows, changed ones a row that supersedes the old one (same id, later position wins), and
missing ones a tombstone.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DatasetError
from ..stage import field_of
from .dataset import Dataset
from .digest import ID_TYPE, row_keys
from .index import GroupIndex
from .lineage import SAMPLES
from .overlay import read_overlay
from .shard import ShardMeta, serialize

SCHEMA = pa.schema(
    [
        field_of("sample_id", ID_TYPE, "xxh3-128 of source, uri, member and offset"),
        field_of("source", pa.string(), "name of the source"),
        field_of("uri", pa.string(), "path under the source's root"),
        field_of("key", pa.string(), "name on export"),
        field_of("container", pa.string(), "file | tar | parquet | error: what uri points at"),
        field_of("member", pa.string(), "member of the archive, or column of the Parquet file"),
        field_of("offset", pa.int64(), "where the member's bytes begin, or its row", "bytes or row"),
        field_of("length", pa.int64(), "length of the member", "bytes"),
        field_of("size_bytes", pa.int64(), "size in the listing", "bytes"),
        field_of("etag", pa.string(), "modification time or entity tag in the listing"),
        field_of("text", pa.string(), "alt text or caption that came with the image"),
        field_of("metadata", pa.string(), "everything else that came with it, a JSON object"),
        field_of("origin", pa.string(), "camera | rendered | model | unknown"),
        field_of("license", pa.string(), "as stated by the source"),
        field_of("op", pa.string(), "put | tombstone"),
        field_of("supersedes", pa.bool_(), "an earlier row has the same id"),
    ]
)
LISTED = [n for n in SCHEMA.names if n not in ("op", "supersedes")]

#: From this many rows on, shards hold 10,000 rows instead of 1,000.
LARGE_ROWS = 1_000_000
_STAGE = {"name": SAMPLES, "version": 1, "config": {}, "models": {}}


@dataclass(frozen=True)
class SourceInfo:
    """A source of a dataset, as `_sources/NAME.json` keeps it."""

    name: str
    root: str
    kind: str
    origin: str = "unknown"
    license: str | None = None


@dataclass
class AppendSummary:
    """Rows of one ingest, by what became of them; files of other kinds are only counted."""

    listed: int = 0
    new: int = 0
    changed: int = 0
    missing: int = 0
    unchanged: int = 0
    shards: int = 0
    errors: int = 0
    skipped_files: int = 0
    unlisted: int = 0


def register_source(dataset: Dataset, info: SourceInfo) -> None:
    """Record a source. A name belongs to one root; moving a source is an explicit act (`move_source`).

    Raises:
        DatasetError: the name is taken by another root.
    """
    path = f"_sources/{info.name}.json"
    data = (json.dumps(asdict(info), indent=1) + "\n").encode()
    if dataset.storage.create(path, data):
        return
    old = read_sources(dataset)[info.name]
    if old.root != info.root:
        raise DatasetError(
            f"source {info.name!r} of {dataset.storage.url} is {old.root}, not {info.root}: "
            "give the new one another name, or edit its _sources file if the files have moved"
        )
    if old != info:
        dataset.storage.put(path, data)


def read_sources(dataset: Dataset) -> dict[str, SourceInfo]:
    """name -> SourceInfo."""
    sources = {}
    for entry in dataset.storage.list("_sources"):
        try:
            info = SourceInfo(**json.loads(dataset.storage.get(f"_sources/{entry.name}")))
        except (ValueError, TypeError) as e:
            raise DatasetError(f"_sources/{entry.name}: not a source record ({e})") from e
        sources[info.name] = info
    return sources


def append(
    dataset: Dataset, source: str, batches: Iterable[pa.RecordBatch], dry_run: bool = False
) -> AppendSummary:
    """Bring a dataset up to date with one complete listing of a source.

    Args:
        batches: the whole listing, in its own fixed order, with the columns of `LISTED`.
        dry_run: only count.

    Repeating an interrupted call continues it: what was committed counts as unchanged.
    Memory: about 100 bytes per row that the dataset already holds of this source.
    """
    index = dataset.samples()
    summary = AppendSummary()
    writer = _NoWriter() if dry_run else _ShardWriter(dataset, index, summary)
    known = _known_rows(dataset, index, source)
    removed = read_overlay(dataset).removed
    unlisted: set[str] = set()
    removed_ids = pa.array(sorted(removed), type=ID_TYPE) if removed else None
    for batch in batches:
        table = pa.Table.from_batches([batch])
        if removed_ids is not None:
            table = table.filter(pc.invert(pc.is_in(table.column("sample_id"), value_set=removed_ids)))
        table = table.select(LISTED).cast(pa.schema([SCHEMA.field(n).remove_metadata() for n in LISTED]))
        summary.listed += len(table)
        bad = table.filter(pc.equal(table.column("container"), "error"))
        unlisted.update(u.rstrip("/") for u in bad.column("uri").to_pylist() if u)
        if known is None:
            writer.add(_with_op(table, "put", np.zeros(len(table), bool)))
            summary.new += len(table)
            continue
        fate = known.compare(table)
        summary.unchanged += int((fate == _SAME).sum())
        summary.new += int((fate == _NEW).sum())
        summary.changed += int((fate == _CHANGED).sum())
        take = np.flatnonzero(fate != _SAME)
        writer.add(_with_op(table.take(take), "put", fate[take] == _CHANGED))
    if known is not None:
        for tombstones in known.missing():
            # What lies in a folder or archive that could not be listed now is not gone.
            gone = [not _below(u, unlisted) for u in tombstones.column("uri").to_pylist()]
            summary.unlisted += gone.count(False)
            tombstones = tombstones.filter(pa.array(gone, pa.bool_()))
            summary.missing += len(tombstones)
            writer.add(_with_op(tombstones, "tombstone", np.ones(len(tombstones), bool)))
    writer.close()
    if not dry_run:
        index.save()
    return summary


def rows_per_shard_for(batches: Iterator[pa.RecordBatch]) -> tuple[int, Iterator[pa.RecordBatch]]:
    """(rows per shard, the same batches): looks ahead until the listing ends or proves large."""
    seen, rows = [], 0
    for batch in batches:
        seen.append(batch)
        rows += len(batch)
        if rows >= LARGE_ROWS:
            return 10_000, itertools.chain(seen, batches)
    return 1_000, iter(seen)


def _with_op(table: pa.Table, op: str, supersedes: np.ndarray) -> pa.Table:
    arrays = [table.column(n) for n in LISTED]
    arrays += [pa.array([op] * len(table), pa.string()), pa.array(supersedes)]
    return pa.table(arrays, schema=SCHEMA)


def _below(uri: str, folders: set[str]) -> bool:
    parts = uri.split("/")
    return bool(folders) and any("/".join(parts[:n]) in folders for n in range(len(parts) + 1))


class _ShardWriter:
    """Cuts rows into full shards and puts each under the next free name."""

    def __init__(self, dataset: Dataset, index: GroupIndex, summary: AppendSummary):
        self.dataset, self.index, self.summary = dataset, index, summary
        taken = [*index.metas, *index.invalid]
        self.next = max((int(s) for s in taken if s.isdigit()), default=-1) + 1
        self.pending: list[pa.Table] = []
        self.rows = 0
        self.taken: list[pa.Array] = []

    def add(self, table: pa.Table) -> None:
        table = self._unclaimed(table)
        if not len(table):
            return
        self.pending.append(table)
        self.rows += len(table)
        n = self.dataset.rows_per_shard
        if self.rows < n:
            return
        merged = pa.concat_tables(self.pending)
        whole = len(merged) // n * n
        for start in range(0, whole, n):
            self._put(merged.slice(start, n))
        self.pending = [merged.slice(whole)] if whole < len(merged) else []
        self.rows = len(merged) - whole

    def _unclaimed(self, table: pa.Table) -> pa.Table:
        """Without the rows that another appender has written meanwhile."""
        for ids in self.taken:
            table = table.filter(pc.invert(pc.is_in(table.column("sample_id"), value_set=ids)))
        return table

    def close(self) -> None:
        if self.rows:
            self._put(pa.concat_tables(self.pending))
        self.pending, self.rows = [], 0

    def _put(self, table: pa.Table) -> None:
        while True:
            # The name is inside the footer, so losing a race for it means writing again.
            shard = f"{self.next:08d}"
            table = table.combine_chunks()
            facts = {"supersedes": int(pc.sum(table.column("supersedes")).as_py())}
            data, meta = serialize(table, ShardMeta(SAMPLES, shard, _STAGE, "", "", {}, facts=facts))
            self.next += 1
            if self.dataset.storage.create(self.index.shard_path(shard), data):
                break
            # Somebody else appends too, perhaps the same source. Names are given out in order, so
            # every shard before ours is met here, and what it claimed is not written twice.
            self.taken.append(self.dataset.read(SAMPLES, shard, ["sample_id"]).column(0).combine_chunks())
            table = self._unclaimed(table)
            if not len(table):
                return
        self.index.add(shard, self.dataset.storage.info(self.index.shard_path(shard)), meta)
        self.summary.shards += 1


class _NoWriter:
    """Takes the rows of a dry run."""

    def add(self, table: pa.Table) -> None:
        pass

    def close(self) -> None:
        pass


_NEW, _SAME, _CHANGED = 0, 1, 2


class _Known:
    """Live rows of one source: ids, and a digest of everything a listing says about each."""

    def __init__(self, ids: pa.Array, digests: np.ndarray, places: list[tuple[str, int]], dataset: Dataset):
        self.ids, self.digests, self.places, self.dataset = ids, digests, places, dataset
        self.seen = np.zeros(len(ids), bool)

    def compare(self, table: pa.Table) -> np.ndarray:
        """int8 [rows]: new, same or changed."""
        at = pc.index_in(table.column("sample_id"), value_set=self.ids)
        at = pc.fill_null(at, -1).to_numpy()
        fate = np.full(len(table), _NEW, np.int8)
        hit = np.flatnonzero(at >= 0)
        self.seen[at[hit]] = True
        if len(hit):
            digests = _listing_digests(table.take(hit))
            fate[hit] = np.where(digests == self.digests[at[hit]], _SAME, _CHANGED)
        return fate

    def missing(self) -> Iterator[pa.Table]:
        """Rows that the listing no longer has, in dataset order, shard by shard."""
        gone = np.flatnonzero(~self.seen)
        by_shard = itertools.groupby((self.places[i] for i in gone), key=lambda p: p[0])
        for shard, group in by_shard:
            yield self.dataset.read(SAMPLES, shard, LISTED).take([row for _, row in group])


def _listing_digests(table: pa.Table) -> np.ndarray:
    """16-byte digests, dtype S16 would drop zero bytes: [rows] of void16."""
    keys = row_keys(table, [n for n in LISTED if n != "sample_id"])
    return np.frombuffer(b"".join(keys.to_pylist()), dtype="V16")


def _known_rows(dataset: Dataset, index: GroupIndex, source: str) -> _Known | None:
    """What the dataset holds of a source; None when it holds nothing (the common first ingest)."""
    latest: dict[bytes, tuple[str, int, bytes] | None] = {}
    for shard in sorted(index.metas):
        table = dataset.read(SAMPLES, shard)
        mine = np.flatnonzero(pc.equal(table.column("source"), source).to_numpy())
        if not len(mine):
            continue
        table = table.take(mine)
        digests = _listing_digests(table)
        ops = table.column("op").to_pylist()
        for i, sample_id in enumerate(table.column("sample_id").to_pylist()):
            latest[sample_id] = (shard, int(mine[i]), digests[i].tobytes()) if ops[i] == "put" else None
    if not latest:
        return None
    live = [(i, p) for i, p in latest.items() if p is not None]
    live.sort(key=lambda item: item[1][:2])
    # An id that was tombstoned and comes back must supersede its tombstone.
    gone = sorted(i for i, p in latest.items() if p is None)
    digests = np.frombuffer(b"".join(p[2] for _, p in live) + bytes(16) * len(gone), dtype="V16")
    ids = pa.array([i for i, _ in live] + gone, type=ID_TYPE)
    known = _Known(ids, digests, [(p[0], p[1]) for _, p in live], dataset)
    known.seen[len(live) :] = True
    return known
