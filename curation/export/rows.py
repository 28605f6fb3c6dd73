"""Rows on their way into an export: typed, checked against the policy, with their bytes verified."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import xxhash

from ..errors import DatasetError, SampleError, ZcurateError
from ..stage import error_row, iter_rows

#: `read(source, uri, container, member, offset, length) -> bytes` of the original file.
Read = Callable[[str, str, str, str | None, int | None, int | None], bytes]

#: Caption columns and their Arrow types, as the `captions` group names them; `enhanced` is the prompt enhancer's.
CAPTION_TYPES: dict[str, pa.DataType] = {
    f"{language}_{kind}": pa.list_(pa.string()) if kind in ("tags", "user_prompts") else pa.string()
    for language in ("en", "zh")
    for kind in ("long", "medium", "short", "tags", "user_prompts", "enhanced")
}

#: Which caption trains, first present one wins.
DEFAULT_CAPTION_KINDS = ("en_long", "en_medium", "en_short", "zh_long", "zh_medium", "zh_short")

#: The caption kind recorded when the text that came with the image is used.
ALT_TEXT = "text"

#: Unreadable rows named one by one in `export.json`; the count is always exact.
MAX_LISTED_UNREADABLE = 1000

_REQUIRED = ("sample_id", "source", "uri", "key")


class ContentChangedError(SampleError):
    """A file is no longer the one that was curated."""


@dataclass(frozen=True)
class ExportRow:
    """One sample with the types an export relies on. Absent columns are None."""

    sample_id: bytes
    content_id: bytes | None
    source: str
    uri: str
    container: str
    member: str | None
    offset: int | None
    length: int | None
    key: str
    format: str | None
    width_px: int | None
    height_px: int | None
    text: str | None
    metadata: str | None
    origin: str
    license: str | None
    weight: float | None
    captions: Mapping[str, Any]
    engine: str | None
    model: str | None
    placeholder: bool | None
    caption_kind: str | None = None

    def caption(self, kinds: Iterable[str]) -> tuple[str, str | None]:
        """The training caption and its kind: `caption_kind` (drawn before), where the row has it, else the first
        present kind, else the alt text, else ("", None).

        Tags are joined by commas; of simulated user prompts the id picks one.
        """
        for kind in (self.caption_kind, *kinds, ALT_TEXT):
            value = self.text if kind == ALT_TEXT else self.captions.get(kind)
            if isinstance(value, list):
                value = self._one_of(kind, [v for v in value if v])
            if value and value.strip():
                return value, kind
        return "", None

    def _one_of(self, kind: str, parts: list[str]) -> str:
        if parts and kind.endswith("user_prompts"):
            return parts[int.from_bytes(self.sample_id[-4:], "big") % len(parts)]
        return ", ".join(parts)


def check_caption_kinds(kinds: Iterable[str]) -> None:
    """Raise ValueError for a caption kind that does not exist."""
    for kind in kinds:
        if kind not in CAPTION_TYPES:
            raise ValueError(f"caption_kinds: unknown {kind!r}; choose from {', '.join(CAPTION_TYPES)}")


@dataclass
class Intake:
    """Applies the export policy to rows and counts what it leaves out.

    Args:
        allow_model_origin: let rows with origin `model` through. Off by default: text-to-image
            training data is real-world data only.
        include_placeholders: keep captions whose engine marked them as placeholders.
    """

    allow_model_origin: bool = False
    include_placeholders: bool = False
    given: int = 0
    refused_model_origin: int = 0
    unreadable_count: int = 0
    unreadable: list[dict[str, str]] = field(default_factory=list)

    def rows(self, tables: Iterable[pa.Table]) -> Iterator[ExportRow]:
        """Rows that the policy lets through, in order.

        Raises:
            DatasetError: a required column is missing.
        """
        for table in tables:
            missing = [name for name in _REQUIRED if name not in table.column_names]
            if missing:
                raise DatasetError(f"rows to export lack the columns {', '.join(missing)}; give them by name")
            for values in iter_rows(table):
                self.given += 1
                if values.get("origin") == "model" and not self.allow_model_origin:
                    self.refused_model_origin += 1
                    continue
                yield self._typed(values)

    def _typed(self, values: Mapping[str, Any]) -> ExportRow:
        placeholder = values.get("placeholder")
        captions = {name: values.get(name) for name in CAPTION_TYPES}
        if placeholder and not self.include_placeholders:
            captions = dict.fromkeys(CAPTION_TYPES)
        weight = values.get("weight")
        if weight is not None and (not math.isfinite(weight) or weight < 0):
            raise DatasetError(
                f"weight of sample {values['sample_id'].hex()} is {weight}; weights must be finite and >= 0"
            )
        return ExportRow(
            sample_id=values["sample_id"],
            content_id=values.get("content_id"),
            source=values["source"],
            uri=values["uri"],
            container=values.get("container") or "file",
            member=values.get("member"),
            offset=values.get("offset"),
            length=values.get("length"),
            key=values["key"] or "",
            format=values.get("format"),
            width_px=values.get("width_px"),
            height_px=values.get("height_px"),
            text=values.get("text"),
            metadata=values.get("metadata"),
            origin=values.get("origin") or "unknown",
            license=values.get("license"),
            weight=weight,
            captions=captions,
            engine=values.get("engine"),
            model=values.get("model"),
            placeholder=placeholder,
            caption_kind=values.get("caption_kind"),
        )

    def fetch(self, row: ExportRow, read: Read) -> bytes | None:
        """The original bytes of a row, or None (counted and listed) when they are gone or changed."""
        try:
            data = read(row.source, row.uri, row.container, row.member, row.offset, row.length)
            if row.content_id is not None and xxhash.xxh3_128_digest(data) != row.content_id:
                raise ContentChangedError(
                    f"{row.uri}: the file changed after it was profiled; ingest and run again"
                )
        except (ZcurateError, OSError, ValueError, KeyError) as error:
            self.unreadable_count += 1
            if len(self.unreadable) < MAX_LISTED_UNREADABLE:
                mark = error_row(error)
                self.unreadable.append(
                    {
                        "sample_id": row.sample_id.hex(),
                        "source": row.source,
                        "uri": row.uri,
                        "error_class": mark["_error_class"],
                        "error_message": mark["_error_message"],
                    }
                )
            return None
        return data
