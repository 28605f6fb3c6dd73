"""Exported Parquet files: facts of their rows by column, and records by row group, of which the last few are kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .decoding import picture_size
from .errors import BadSampleError, SchemaError
from .rows import MOST_REFERENCES
from .storage import Folder
from .webdataset_index import Found

_ERRORS = (OSError, pa.ArrowException, ValueError)
_PICTURES = {"image", "sources", "target", "mask"}


def scan_pictures(folder: Folder) -> Iterator[Found | BadSampleError]:
    """Samples of a Parquet export with images, in order. The image column is not read.

    Raises SchemaError where a file holds no images, or lacks a column.
    """
    for name, file in _files(folder):
        if isinstance(file, BadSampleError):
            yield file
            continue
        columns = set(file.schema_arrow.names)
        if "image" not in columns:
            raise SchemaError(f"{folder.url}/{name}: holds no images; export it with images inside")
        _check(columns, {"sample_id", "width_px", "height_px"}, folder, name)
        wanted = sorted(columns - {"image"})
        for group in range(file.num_row_groups):
            for i, facts in enumerate(_group(file, group, wanted, folder, name)):
                if isinstance(facts, BadSampleError):
                    yield facts
                    continue
                kind = facts.get("caption_kind")
                yield Found(
                    facts["sample_id"], name, group, i, 0, facts.get("weight"), facts, caption_kind=kind
                )


def scan_pairs(folder: Folder) -> Iterator[Found | BadSampleError]:
    """Edit pairs of a Parquet export, in order. All of it is read once, for the sizes of the pictures."""
    for name, file in _files(folder):
        if isinstance(file, BadSampleError):
            yield file
            continue
        columns = set(file.schema_arrow.names)
        _check(columns, {"pair_id", "sources", "target"}, folder, name)
        for group in range(file.num_row_groups):
            for i, row in enumerate(_group(file, group, sorted(columns - {"mask"}), folder, name)):
                try:
                    if isinstance(row, BadSampleError):
                        raise row
                    sizes = [picture_size(_bytes(p)) for p in (row["target"], *_sources(row))]
                except BadSampleError as error:
                    yield error
                    continue
                facts = {k: v for k, v in row.items() if k not in ("sources", "target")}
                yield Found(
                    row["pair_id"], name, group, i, 0, row.get("weight"), facts, sizes[0], tuple(sizes[1:])
                )


def _files(folder: Folder) -> Iterator[tuple[str, pq.ParquetFile | BadSampleError]]:
    for name in folder.names(".parquet"):
        try:
            with folder.open(name) as f:
                yield name, pq.ParquetFile(f)
        except _ERRORS as error:
            yield name, BadSampleError(f"{folder.url}/{name}: {error}")


def _check(columns: set[str], wanted: set[str], folder: Folder, name: str) -> None:
    if not wanted <= columns:
        raise SchemaError(f"{folder.url}/{name}: lacks {', '.join(sorted(wanted - columns))}; export it anew")


def _group(
    file: pq.ParquetFile, group: int, columns: list[str], folder: Folder, name: str
) -> list[dict[str, Any] | BadSampleError]:
    try:
        return file.read_row_group(group, columns=columns).to_pylist()
    except _ERRORS as error:
        rows = file.metadata.row_group(group).num_rows
        return [BadSampleError(f"{folder.url}/{name}: row group {group}: {error}")] * rows


def _sources(row: dict[str, Any]) -> list[Any]:
    sources = row["sources"]
    if not isinstance(sources, list) or not sources:
        raise BadSampleError(f"pair {row.get('pair_id')}: no sources")
    return sources[:MOST_REFERENCES]


def _bytes(image: Any) -> bytes:
    data = image.get("bytes") if isinstance(image, dict) else None
    if not data:
        raise BadSampleError("a picture without bytes")
    return data


@dataclass(eq=False)
class GroupReader:
    """Rows of row groups. Of the groups read last, `most_bytes` are kept; safe from several threads. `reads`: groups read
    so far."""

    folder: Folder
    most_bytes: int = 1 << 30
    _kept: OrderedDict[tuple[str, int, bool], pa.Table] = field(default_factory=OrderedDict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    reads: int = 0

    def window_blocks(self, name: str) -> int:
        """Groups that fit the kept bytes with room for the next ones, by those of one file; at least 2, at most 64.

        Raises SchemaError for a file that cannot be read.
        """
        try:
            with self.folder.open(name) as f:
                facts = pq.ParquetFile(f).metadata
        except _ERRORS as error:
            raise SchemaError(f"{self.folder.url}/{name}: {error}") from error
        sizes = [facts.row_group(i).total_byte_size for i in range(facts.num_row_groups)]
        mean = max(1, sum(sizes) // max(1, len(sizes)))
        return int(min(64, max(2, 0.7 * self.most_bytes / mean)))

    def row(self, name: str, group: int, at: int, pictures: bool = True) -> dict[str, Any]:
        """One row, with its pictures or without. Raises BadSampleError."""
        table = self._table(name, group, pictures)
        if at >= table.num_rows:
            raise BadSampleError(f"{self.folder.url}/{name}: row group {group} ends before row {at}")
        return table.slice(at, 1).to_pylist()[0]

    def _table(self, name: str, group: int, pictures: bool) -> pa.Table:
        key = (name, group, pictures)
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
            try:
                with self.folder.open(name) as f:
                    file = pq.ParquetFile(f)
                    unwanted = {"mask"} if pictures else _PICTURES
                    columns = [c for c in file.schema_arrow.names if c not in unwanted]
                    table = file.read_row_group(group, columns=columns, use_threads=False)
            except (*_ERRORS, IndexError) as error:
                raise BadSampleError(f"{self.folder.url}/{name}: row group {group}: {error}") from error
            with self._lock:
                self.reads += 1
                self._kept[key] = table
                held = sum(t.nbytes for t in self._kept.values())
                while held > self.most_bytes and len(self._kept) > 1:
                    held -= self._kept.popitem(last=False)[1].nbytes
            return table


def pictures_of(row: dict[str, Any]) -> tuple[bytes, tuple[bytes, ...]]:
    """(target, sources of an edit). Raises BadSampleError."""
    if "image" in row:
        return _bytes(row["image"]), ()
    return _bytes(row.get("target")), tuple(_bytes(s) for s in _sources(row))
