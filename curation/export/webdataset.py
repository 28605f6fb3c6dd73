"""WebDataset export: tar shards of original bytes with captions and provenance beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import DatasetError
from .datacomp import UIDS_NAME, write_uids
from .finish import finish
from .formats import extension_of
from .keys import KeyAllocator
from .record import ExportFacts, ExportSummary, Tally, describe
from .rows import DEFAULT_CAPTION_KINDS, ExportRow, Intake, Read, check_caption_kinds
from .shards import INDEX_NAME, Sample, write_shards
from .target import replacing


@dataclass(frozen=True)
class WebDatasetOptions:
    """Settings of a WebDataset export.

    Attributes:
        max_rows: samples per shard at most.
        max_bytes: size of a shard at most, in bytes (a larger single sample gets its own shard).
        caption_kinds: which caption goes into `KEY.txt`; the first present kind, else the alt text.
        caption_mix: shares by which a `caption_kind` column of the rows was drawn; recorded, not drawn here.
        include_placeholders: export captions that their engine marked as placeholders.
        allow_model_origin: export images that a model generated.
    """

    max_rows: int = 10_000
    max_bytes: int = 1 << 30
    caption_kinds: tuple[str, ...] = DEFAULT_CAPTION_KINDS
    include_placeholders: bool = False
    allow_model_origin: bool = False
    caption_mix: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_rows < 1 or self.max_bytes < 1:
            raise ValueError("max_rows and max_bytes must be at least 1")
        check_caption_kinds(self.caption_kinds)


def export_webdataset(
    rows: Iterable[pa.Table],
    read: Read,
    out_dir: str | Path,
    options: WebDatasetOptions | None = None,
    facts: ExportFacts | None = None,
) -> ExportSummary:
    """Write `00000.tar`, `00001.tar`, ... plus `index.parquet`, `uids.npy`, the card and `export.json`.

    Each sample is `KEY.EXT` (its original bytes, extension by real format), `KEY.json` (ids,
    provenance, original key and text, captions, weight) and `KEY.txt` (the training caption, empty
    if there is none, so that all samples have the same members). The same rows give the same bytes.

    Args:
        rows: Arrow tables of the rows in final order, with the columns of `samples`, `profile`
            (`content_id`, `format`, `width_px`, `height_px`), `captions` and `weights` by bare name, and `caption_kind` where it has been drawn.
            Only sample_id, source, uri and key must be there.
        read: gives the original bytes of a row.
        out_dir: absent, empty, or an earlier export, which is replaced once the new one is complete.

    Raises:
        DatasetError: a column is missing, a weight is not finite, or `out_dir` is not ours to replace.
    """
    options, facts, out_dir = options or WebDatasetOptions(), facts or ExportFacts(), Path(out_dir)
    intake = Intake(options.allow_model_origin, options.include_placeholders)
    tally = Tally()
    with replacing(out_dir) as work:
        samples = _samples(intake, rows, read, options, tally)
        shard_facts, ids = write_shards(work, samples, options.max_rows, options.max_bytes)
        write_uids(work / UIDS_NAME, ids)
        files = shard_facts | {name: describe(work / name) for name in (INDEX_NAME, UIDS_NAME)}
        settings = {
            "max_rows": options.max_rows,
            "max_bytes": options.max_bytes,
            "caption_kinds": list(options.caption_kinds),
            **({"caption_mix": dict(options.caption_mix)} if options.caption_mix else {}),
            "include_placeholders": options.include_placeholders,
            "allow_model_origin": options.allow_model_origin,
        }
        finish(work, "webdataset", facts, settings, tally, intake, files)
    return ExportSummary(
        out_dir=out_dir,
        format="webdataset",
        rows=tally.rows,
        files=len(shard_facts),
        data_bytes=sum(f["bytes"] for f in shard_facts.values()),
        given=intake.given,
        refused_model_origin=intake.refused_model_origin,
        unreadable=intake.unreadable_count,
        without_caption=tally.by["caption_kind"]["none"],
        placeholders=tally.placeholders,
        effective_sample_size=tally.effective_sample_size,
    )


def _samples(
    intake: Intake, rows: Iterable[pa.Table], read: Read, options: WebDatasetOptions, tally: Tally
) -> Iterator[Sample]:
    keys = KeyAllocator()
    for row in intake.rows(rows):
        data = intake.fetch(row, read)
        if data is None:
            continue
        try:
            key = keys.allocate(row.key, row.sample_id)
        except ValueError as e:
            raise DatasetError(str(e)) from e
        caption, kind = row.caption(options.caption_kinds)
        image_name = f"{key}.{extension_of(row.format, data)}"
        counted = {
            "source": row.source,
            "origin": row.origin,
            "license": row.license,
            "engine": row.engine,
            "placeholder": row.placeholder,
            "caption_kind": kind,
            "weight": row.weight,
        }
        tally.add(counted)
        yield Sample(
            (
                (image_name, data),
                (f"{key}.json", json.dumps(describe_row(row), ensure_ascii=False).encode("utf-8")),
                (f"{key}.txt", caption.encode("utf-8")),
            ),
            {"key": key, "sample_id": row.sample_id.hex(), "member": image_name, **counted},
        )


def describe_row(row: ExportRow) -> dict[str, Any]:
    """`KEY.json`. Every sample has every field; `metadata` stays a JSON string, so that samples of
    different sources have one schema."""
    return {
        "sample_id": row.sample_id.hex(),
        "content_id": None if row.content_id is None else row.content_id.hex(),
        "source": row.source,
        "key": row.key,
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
        "captions": dict(row.captions),
        "caption_engine": row.engine,
        "caption_model": row.model,
        "placeholder": row.placeholder,
    }
