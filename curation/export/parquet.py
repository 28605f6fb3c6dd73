"""Parquet export: caption shards, with the original images inside if asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DatasetError
from .datacomp import UIDS_NAME, write_uids
from .finish import finish
from .formats import extension_of
from .keys import KeyAllocator
from .record import ExportFacts, ExportSummary, Tally, describe
from .rows import (
    CAPTION_TYPES,
    DEFAULT_CAPTION_KINDS,
    ExportRow,
    Intake,
    Read,
    check_caption_kinds,
)
from .target import replacing

_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("sample_id", pa.string()),
    ("content_id", pa.string()),
    ("key", pa.string()),
    ("source", pa.string()),
    ("original_key", pa.string()),
    ("uri", pa.string()),
    ("member", pa.string()),
    ("width_px", pa.int32()),
    ("height_px", pa.int32()),
    ("format", pa.string()),
    ("origin", pa.string()),
    ("license", pa.string()),
    ("weight", pa.float64()),
    ("text", pa.string()),
    ("metadata", pa.string()),
    ("caption", pa.string()),
    ("caption_kind", pa.string()),
    *CAPTION_TYPES.items(),
    ("engine", pa.string()),
    ("model", pa.string()),
    ("placeholder", pa.bool_()),
)

#: Images make rows large: small row groups keep a reader's memory and a viewer's page small.
_IMAGE_ROWS_PER_GROUP = 100
_ROWS_PER_GROUP = 10_000


@dataclass(frozen=True)
class ParquetOptions:
    """Settings of a Parquet export.

    Attributes:
        rows_per_file: rows per `captions-NNNNN.parquet` at most.
        max_bytes: image bytes per file at most (a larger single image gets its own file).
        images: put the original bytes into an `image` column that Hugging Face `datasets` decodes.
            Without it no original is opened.
        caption_kinds: which caption goes into `caption`; the first present kind, else the alt text.
        caption_mix: shares by which a `caption_kind` column of the rows was drawn; recorded, not drawn here.
        include_placeholders: export captions that their engine marked as placeholders.
        allow_model_origin: export rows of images that a model generated.
    """

    rows_per_file: int = 100_000
    max_bytes: int = 1 << 30
    images: bool = False
    caption_kinds: tuple[str, ...] = DEFAULT_CAPTION_KINDS
    include_placeholders: bool = False
    allow_model_origin: bool = False
    caption_mix: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rows_per_file < 1 or self.max_bytes < 1:
            raise ValueError("rows_per_file and max_bytes must be at least 1")
        check_caption_kinds(self.caption_kinds)


def parquet_schema(images: bool) -> pa.Schema:
    """The columns of a caption shard, with the feature description that `datasets` reads."""
    fields = list(_FIELDS)
    if images:
        fields.insert(0, ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])))
    info = {"info": {"features": {name: _feature(name, type_) for name, type_ in fields}}}
    return pa.schema(fields, metadata={"huggingface": json.dumps(info)})


def _feature(name: str, type_: pa.DataType) -> dict[str, Any]:
    if name == "image":
        return {"_type": "Image"}
    if pa.types.is_list(type_):
        return {"feature": _feature("", type_.value_type), "_type": "List"}
    names = {pa.string(): "string", pa.int32(): "int32", pa.float64(): "float64", pa.bool_(): "bool"}
    return {"dtype": names[type_], "_type": "Value"}


def export_parquet(
    rows: Iterable[pa.Table],
    read: Read | None,
    out_dir: str | Path,
    options: ParquetOptions | None = None,
    facts: ExportFacts | None = None,
) -> ExportSummary:
    """Write `captions-00000.parquet`, ... plus `uids.npy`, the card and `export.json`.

    Args:
        rows: as for `export_webdataset`.
        read: gives the original bytes of a row; only used with `options.images`.
        out_dir: absent, empty, or an earlier export, which is replaced once the new one is complete.

    Raises:
        DatasetError: a column is missing, a weight is not finite, or `out_dir` is not ours to replace.
        ValueError: `options.images` without `read`.
    """
    options, facts, out_dir = options or ParquetOptions(), facts or ExportFacts(), Path(out_dir)
    if options.images and read is None:
        raise ValueError("images=True needs a read function for the original bytes")
    intake = Intake(options.allow_model_origin, options.include_placeholders)
    tally, keys = Tally(), KeyAllocator()
    ids: list[bytes] = []
    with replacing(out_dir) as work, CaptionShards(work, options) as shards:
        for row in intake.rows(rows):
            data = intake.fetch(row, read) if options.images and read is not None else None
            if options.images and data is None:
                continue
            try:
                key = keys.allocate(row.key, row.sample_id)
            except ValueError as e:
                raise DatasetError(str(e)) from e
            caption, kind = row.caption(options.caption_kinds)
            values = _values(row, key, caption, kind)
            if data is not None:
                values["image"] = {"bytes": data, "path": f"{key}.{extension_of(row.format, data)}"}
            shards.add(values)
            ids.append(row.sample_id)
            tally.add(values)
        shards.close()
        write_uids(work / UIDS_NAME, ids)
        files = {name: describe(work / name) for name in shards.names}
        data_bytes = sum(f["bytes"] for f in files.values())
        files[UIDS_NAME] = describe(work / UIDS_NAME)
        settings = {
            "rows_per_file": options.rows_per_file,
            "max_bytes": options.max_bytes,
            "images": options.images,
            "caption_kinds": list(options.caption_kinds),
            **({"caption_mix": dict(options.caption_mix)} if options.caption_mix else {}),
            "include_placeholders": options.include_placeholders,
            "allow_model_origin": options.allow_model_origin,
        }
        finish(work, "parquet", facts, settings, tally, intake, files)
    return ExportSummary(
        out_dir=out_dir,
        format="parquet",
        rows=tally.rows,
        files=len(shards.names),
        data_bytes=data_bytes,
        given=intake.given,
        refused_model_origin=intake.refused_model_origin,
        unreadable=intake.unreadable_count,
        without_caption=tally.by["caption_kind"]["none"],
        placeholders=tally.placeholders,
        effective_sample_size=tally.effective_sample_size,
    )


def _values(row: ExportRow, key: str, caption: str, kind: str | None) -> dict[str, Any]:
    return {
        "sample_id": row.sample_id.hex(),
        "content_id": None if row.content_id is None else row.content_id.hex(),
        "key": key,
        "source": row.source,
        "original_key": row.key,
        "uri": row.uri,
        "member": row.member,
        "width_px": row.width_px,
        "height_px": row.height_px,
        "format": row.format,
        "origin": row.origin,
        "license": row.license,
        "weight": row.weight,
        "text": row.text,
        "metadata": row.metadata,
        "caption": caption,
        "caption_kind": kind,
        **row.captions,
        "engine": row.engine,
        "model": row.model,
        "placeholder": row.placeholder,
    }


class CaptionShards:
    """Writes rows into contiguously numbered Parquet files, a row group at a time."""

    def __init__(self, folder: Path, options: ParquetOptions) -> None:
        self.names: list[str] = []
        self._folder, self._options = folder, options
        self._schema = parquet_schema(options.images)
        self._group_rows = _IMAGE_ROWS_PER_GROUP if options.images else _ROWS_PER_GROUP
        self._pending: list[dict[str, Any]] = []
        self._writer: pq.ParquetWriter | None = None
        self._rows = self._bytes = 0

    def __enter__(self) -> CaptionShards:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def add(self, values: dict[str, Any]) -> None:
        size = len(values["image"]["bytes"]) if "image" in values else 0
        full = self._rows >= self._options.rows_per_file or self._bytes + size > self._options.max_bytes
        if self._writer is not None and self._rows and full:
            self.close()
        if self._writer is None:
            name = f"captions-{len(self.names):05d}.parquet"
            self._writer = pq.ParquetWriter(self._folder / name, self._schema, compression="zstd")
            self.names.append(name)
        self._pending.append(values)
        self._rows += 1
        self._bytes += size
        if len(self._pending) >= self._group_rows:
            self._flush()

    def _flush(self) -> None:
        if self._pending and self._writer is not None:
            self._writer.write_table(pa.Table.from_pylist(self._pending, schema=self._schema))
            self._pending = []

    def close(self) -> None:
        """Finish the current file; the next row starts another."""
        if self._writer is not None:
            self._flush()
            self._writer.close()
            self._writer, self._rows, self._bytes = None, 0, 0
