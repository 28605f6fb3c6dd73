"""Exports opened for training: pictures or edit pairs, as WebDataset or Parquet, in a folder or behind fsspec."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import parquet_rows, webdataset_index
from .errors import BadSampleError, SchemaError
from .lengths import TextLengths, estimated_lengths
from .parquet_rows import GroupReader
from .rows import Record, Rows
from .scanning import Scan, cache_path, collect, load_rows, save_rows, texts_of
from .storage import Folder
from .webdataset_index import Found

RECORD_NAME, RECORD_KIND = "export.json", "zcurate-export"
_SCANS: dict[str, Callable[[Folder], Iterator[Found | BadSampleError]]] = {
    "webdataset": webdataset_index.scan_pictures,
    "parquet": parquet_rows.scan_pictures,
    "edit_pairs_webdataset": webdataset_index.scan_pairs,
    "edit_pairs_parquet": parquet_rows.scan_pairs,
}


@dataclass(frozen=True, eq=False)
class TarSource:
    """Samples in tar shards: one range read each."""

    name: str
    rows: Rows
    unreadable: int
    first: str
    folder: Folder

    def read(self, row: int, pictures: bool = True) -> Record:
        """Raises BadSampleError."""
        r = self.rows
        shard, start, picture = r.shards[r.shard[row]], int(r.start[row]), int(r.picture[row])
        behind = -(-picture // 512) * 512
        skipped = 0 if pictures else behind
        data = self.folder.read_range(shard, start + skipped, int(r.length[row]) - skipped)
        where = f"{self.folder.url}/{shard} at byte {start}"
        if picture:
            facts, _ = webdataset_index.text_members(data[behind - skipped :], where)
            _same(facts.get("sample_id"), r.id_of(row), where)
            return Record(b"" if skipped else data[:picture], (), texts_of(facts), _text(facts, "content_id"))
        parts = webdataset_index.members(data, where)
        named = {name.partition(".")[0]: part for name, part in parts.items()}
        facts = webdataset_index.object_of(named.get("json", b""), where)
        _same(facts.get("pair_id"), r.id_of(row), where)
        sources = tuple(named[k] for k in sorted(named) if k.startswith("source"))
        if "target" not in named or not sources:
            raise BadSampleError(f"{where}: no pair: it has {', '.join(sorted(named)) or 'nothing'}")
        return Record(named["target"], sources, texts_of(facts), _text(facts, "target_sha256"))


@dataclass(frozen=True, eq=False)
class ParquetSource:
    """Samples in Parquet files: row groups are read whole, so samples are drawn in windows of them (`Rows.block`)."""

    name: str
    rows: Rows
    unreadable: int
    first: str
    reader: GroupReader

    @property
    def window_blocks(self) -> int:
        """Row groups that a window may have for the reader to keep them all."""
        return self.reader.window_blocks(self.rows.shards[0])

    def read(self, row: int, pictures: bool = True) -> Record:
        """Raises BadSampleError."""
        r = self.rows
        shard = r.shards[r.shard[row]]
        found = self.reader.row(shard, int(r.start[row]), int(r.length[row]), pictures)
        where = f"{self.reader.folder.url}/{shard}: row group {int(r.start[row])}, row {int(r.length[row])}"
        _same(found.get("sample_id", found.get("pair_id")), r.id_of(row), where)
        content = _text(found, "content_id") or _text(found, "target_sha256")
        if not pictures:
            return Record(b"", (), texts_of(found), content)
        target, sources = parquet_rows.pictures_of(found)
        return Record(target, sources, texts_of(found), content)


def _text(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    return value if isinstance(value, str) else ""


def _same(found: Any, wanted: str, where: str) -> None:
    if found != wanted:
        raise BadSampleError(
            f"{where}: holds sample {found}, not {wanted}: the file was replaced; index it anew"
        )


def open_source(
    url: str | Path,
    text_lengths: TextLengths = estimated_lengths,
    cache_dir: str | Path | None = None,
    split: str | None = "train",
    options: Mapping[str, Any] | None = None,
    kept_bytes: int = 1 << 30,
) -> TarSource | ParquetSource:
    """Open a folder that `zcurate export` or `zcurate edits-export` wrote.

    Sizes, places and lengths of texts of all samples are found first, without decoding a picture.

    Args:
        text_lengths: exact for the text encoder in use, or a bound.
        cache_dir: where to keep what was found, for the next time; a changed export is scanned anew. Nothing is kept
            of an export some of whose samples could not be read.
        split: of edit pairs; pictures have none. None: all.
        options: of fsspec. kept_bytes: of row groups of Parquet that are held in memory.

    Raises:
        SchemaError: the folder is no such export, lacks columns, or nothing in it can be read.
    """
    folder = Folder(url, options)
    record = _record(folder)
    form = _form(record, folder)
    pairs = form.startswith("edit_pairs")
    cached = (
        cache_path(cache_dir, record, folder.url, text_lengths, split if pairs else None)
        if cache_dir
        else None
    )
    rows = load_rows(cached) if cached else None
    if rows is not None:
        return _source(form, folder, Scan(rows), kept_bytes)
    samples = _SCANS[form](folder)
    if pairs:
        samples = (s for s in samples if isinstance(s, BadSampleError) or _trains(s.facts, split))
    scan = collect(samples, text_lengths, folder.url, pairs)
    if form.endswith("parquet"):
        groups = np.stack([scan.rows.shard.astype(np.int64), scan.rows.start], axis=1)
        block = np.unique(groups, axis=0, return_inverse=True)[1].reshape(-1)
        scan = replace(scan, rows=replace(scan.rows, block=block))
    if cached and not scan.unreadable:
        save_rows(cached, scan.rows)
    return _source(form, folder, scan, kept_bytes)


def _source(form: str, folder: Folder, scan: Scan, kept_bytes: int) -> TarSource | ParquetSource:
    if form.endswith("parquet"):
        reader = GroupReader(folder, kept_bytes)
        return ParquetSource(folder.url, scan.rows, scan.unreadable, scan.first, reader)
    return TarSource(folder.url, scan.rows, scan.unreadable, scan.first, folder)


def _trains(facts: Mapping[str, Any], split: str | None) -> bool:
    """Whether a pair is of the split, and good: exports may hold failed edits too, for other objectives."""
    return split in (None, facts.get("split")) and facts.get("verdict") in ("accept", None)


def _record(folder: Folder) -> bytes:
    try:
        return folder.read(RECORD_NAME)
    except OSError as error:
        raise SchemaError(
            f"{folder.url}: no {RECORD_NAME}, so no finished export ({error}); write one with 'zcurate export'"
        ) from error


def _form(record: bytes, folder: Folder) -> str:
    try:
        facts = json.loads(record)
    except ValueError as error:
        raise SchemaError(f"{folder.url}/{RECORD_NAME}: not JSON: {error}") from error
    if not isinstance(facts, dict) or facts.get("kind") != RECORD_KIND or facts.get("format") not in _SCANS:
        found = facts.get("format") if isinstance(facts, dict) else None
        raise SchemaError(f"{folder.url}/{RECORD_NAME}: format {found!r}; known are {', '.join(_SCANS)}")
    return facts["format"]
