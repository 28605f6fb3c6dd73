"""Listing rows: their schema, the cleaning of untrusted text, and building batches row by row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from .ids import ID_TYPE, sample_id
from .problems import ERROR_CONTAINER, INGEST_ERROR_KEY, INGEST_MESSAGE_KEY, error_text

#: Columns of the batches that `list_source` yields, in order.
LISTING_SCHEMA = pa.schema(
    [
        pa.field("sample_id", ID_TYPE, nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("container", pa.string(), nullable=False),
        pa.field("member", pa.string()),
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),
        pa.field("size_bytes", pa.int64()),
        pa.field("etag", pa.string()),
        pa.field("text", pa.string()),
        pa.field("metadata", pa.string()),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("license", pa.string()),
    ]
)

BATCH_ROWS = 8192
MAX_TEXT_BYTES = 64 << 10
MAX_METADATA_BYTES = 256 << 10
#: Set in the metadata of a row whose metadata was too long and has been left out.
TRUNCATED_KEY = "_metadata_too_long_bytes"

#: Column and JSON names that hold a caption, best first; compared in lower case.
TEXT_NAMES = ("text", "caption", "alt_text", "alt", "alttext", "title", "prompt", "description")

IMAGE_EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .heic .heif .hif .avif "
    ".jp2 .j2k .j2c .jpc .jpf .jpx .jxl .mpo .icns .sgi .ras .cur .xbm .xpm .pfm .ppm .pgm .pbm .pnm .tga .ico .dds .psd .pcx .exr .hdr .qoi".split()
)

#: Containers whose clips `curation.edits.video` reads.
VIDEO_EXTENSIONS = frozenset(".mp4 .m4v .mov .mkv .webm .avi".split())

_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str).encode
_SURROGATE = re.compile("[\ud800-\udfff]")


def is_image_name(name: str) -> bool:
    dot = name.rfind(".")
    return dot >= 0 and name[dot:].lower() in IMAGE_EXTENSIONS


def is_video_name(name: str) -> bool:
    dot = name.rfind(".")
    return dot >= 0 and name[dot:].lower() in VIDEO_EXTENSIONS


def clean_text(text: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """`text` without NULs, lone surrogates replaced by U+FFFD, at most `max_bytes` of UTF-8."""
    if not text.isascii() and _SURROGATE.search(text):
        text = _SURROGATE.sub("\ufffd", text)
    if "\0" in text:
        text = text.replace("\0", "")
    if len(text) * 4 <= max_bytes:
        return text
    data = text.encode("utf-8")
    return text if len(data) <= max_bytes else data[:max_bytes].decode("utf-8", "ignore")


def _clean_value(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean_text(value, max_bytes=4 * len(value))
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, dict):
        return (
            {clean_text(str(k)): _clean_value(v, depth + 1) for k, v in value.items()} if depth < 32 else None
        )
    if isinstance(value, list | tuple):
        return [_clean_value(v, depth + 1) for v in value] if depth < 32 else None
    if isinstance(value, bytes):
        return None
    return value


def metadata_json(values: Mapping[str, Any]) -> str | None:
    """Sorted JSON of what came with a sample; null values are left out, and nothing gives null.

    Anything longer than MAX_METADATA_BYTES is replaced by its length under TRUNCATED_KEY.
    """
    kept = {clean_text(str(k)): _clean_value(v, 0) for k, v in values.items() if v is not None}
    kept = {k: v for k, v in kept.items() if v is not None}
    if not kept:
        return None
    try:
        text = _encode(kept)
    except ValueError:  # an int of more digits than Python converts
        return _encode({TRUNCATED_KEY: -1})
    if len(text) * 4 > MAX_METADATA_BYTES:
        size = len(text.encode("utf-8"))
        if size > MAX_METADATA_BYTES:
            return _encode({TRUNCATED_KEY: size})
    return text


def split_text(values: Mapping[str, Any], text_name: str | None = None) -> tuple[str | None, dict[str, Any]]:
    """(caption, the rest) of a JSON object or table row that came with an image."""
    for name in (text_name,) if text_name else names_of(values, TEXT_NAMES):
        text = values.get(name)
        if isinstance(text, str):
            return clean_text(text), {k: v for k, v in values.items() if k != name}
        if isinstance(text, list | tuple) and text and isinstance(text[0], str):
            return clean_text(text[0]), dict(values)  # several captions: all stay in the metadata
    return None, dict(values)


def names_of(names: Iterable[str], wanted: tuple[str, ...]) -> list[str]:
    """Those of `wanted` that are among `names`, best first, upper and lower case being equal."""
    lower: dict[str, str] = {}
    for name in names:
        lower.setdefault(name.lower(), name)
    return [lower[w] for w in wanted if w in lower]


def find_name(names: Iterable[str], wanted: tuple[str, ...]) -> str | None:
    """The best of `wanted` that is among `names`."""
    return next(iter(names_of(names, wanted)), None)


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON sidecar as a dict; what is no JSON object is kept under `_unparsed` or `value`."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"_unparsed": clean_text(text)}
    return value if isinstance(value, dict) else {"value": value}


@dataclass(frozen=True)
class Origin:
    """What is equal in all rows of a source."""

    source: str
    origin: str
    license: str | None


class BatchBuilder:
    """Collects rows; `take(force)` gives a batch when enough are there."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._rows: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        uri: str,
        key: str,
        container: str,
        member: str | None = None,
        offset: int | None = None,
        length: int | None = None,
        size_bytes: int | None = None,
        etag: str | None = None,
        text: str | None = None,
        metadata: str | None = None,
    ) -> None:
        identity = sample_id(self._origin.source, uri, member, offset)
        self._rows.append(
            (identity, uri, key, container, member, offset, length, size_bytes, etag, text, metadata)
        )

    def add_error(
        self,
        uri: str,
        error: Exception,
        what: str | None = None,
        offset: int | None = None,
        etag: str | None = None,
    ) -> None:
        """An item that cannot be used.

        Args:
            what: name of the item inside `uri`, part of the row's identity.
            offset: where it is (byte, line or row number), part of the row's identity.
        """
        member = error_text(error)
        name, _, message = member.partition(": ")
        metadata = metadata_json({INGEST_ERROR_KEY: name, INGEST_MESSAGE_KEY: message, "name": what})
        identity = sample_id(self._origin.source, uri, f"error:{name}:{what or ''}", offset)
        self._rows.append(
            (identity, uri, uri, ERROR_CONTAINER, member, offset, None, None, etag, None, metadata)
        )

    def take(self, force: bool = False) -> list[pa.RecordBatch]:
        """Full batches so far; with `force` also the rest."""
        batches = []
        while len(self._rows) >= BATCH_ROWS or (force and self._rows):
            batches.append(self._batch(self._rows[:BATCH_ROWS]))
            del self._rows[:BATCH_ROWS]
        return batches

    def _batch(self, rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
        columns = list(zip(*rows, strict=True))
        o = self._origin
        values = [columns[0], [o.source] * len(rows), *columns[1:]]
        values += [[o.origin] * len(rows), [o.license] * len(rows)]
        arrays = [pa.array(v, type=f.type) for v, f in zip(values, LISTING_SCHEMA, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=LISTING_SCHEMA)
