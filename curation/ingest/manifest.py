"""Manifests: JSON Lines, CSV or Parquet tables that name image files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SourceError, UnsafeUriError
from ..uris import encode_name, quoted, relative_to
from .ids import ID_TYPE, OccurrenceCounter, sample_id, sample_ids
from .lines import Block, Row, csv_header, is_csv, open_table_file, parse_csv, parse_jsonl, read_blocks
from .problems import (
    ERROR_CONTAINER,
    INGEST_ERROR_KEY,
    INGEST_MESSAGE_KEY,
    BadLineError,
    UnsafePathError,
    error_text,
)
from .rows import LISTING_SCHEMA, TEXT_NAMES, clean_text, find_name, metadata_json, names_of, split_text
from .source import ListingCounts, SourceSpec, Tree
from .tables import csv_table, flat, jsonl_table, metadata_array, text_array

PATH_NAMES = (
    *("path", "file_name", "filename", "file_path", "filepath", "image_path", "img_path"),
    *("image", "img", "file", "uri", "url"),
)
KEY_NAMES = ("key", "__key__", "uid")
_SUFFIXES = (".jsonl", ".ndjson", ".csv")

# What `check_relative` or `encode_name` could change or refuse; all other paths are taken as they are.
_UNUSUAL_PATH = r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.{1,2}([/\\]|$)|//|/$|\\|\x00|%|::|^$"


@dataclass
class PathRows:
    """A block of a manifest, by column; `errors` are positions of rows that cannot be used."""

    paths: pa.Array
    keys: pa.Array | None
    texts: pa.Array
    metadata: pa.Array
    licenses: pa.Array | None
    lines: list[int] | range
    errors: dict[int, Exception]


def list_manifest(spec: SourceSpec, counts: ListingCounts) -> Iterator[pa.RecordBatch]:
    """One row per line, in the order of the file; the images are not opened."""
    tree = Tree(spec.root, spec.storage_options)
    tree.require()
    if tree.is_file():
        names = [tree.root.rsplit("/", 1)[1]]
        tree = Tree(tree.root.rsplit("/", 1)[0] or "/", spec.storage_options)
    else:
        found = [f + e.name for f, files in tree.folders(counts) for e in files if e.error is None]
        names = [n for n in found if n.lower().removesuffix(".gz").endswith(_SUFFIXES)]
    if not names:
        raise SourceError(f"no .jsonl or .csv manifest in {quoted(spec.root)}; name the file itself")
    writer = PathBatches(spec)
    for name in names:
        for block in _blocks(spec, tree, name):
            yield from writer.batches(name, block)


def _blocks(spec: SourceSpec, tree: Tree, name: str) -> Iterator[PathRows]:
    header: list[str] | None = None
    strings: set[str] = set()
    with open_table_file(tree, name) as file:
        for block in read_blocks(file, quoted_newlines=is_csv(name)):
            if block.error is not None:
                yield _from_rows(spec, iter([Row(block.first_line, block.error)]))
                continue
            if not is_csv(name):
                table, parse = jsonl_table(block, strings), partial(parse_jsonl, block)
            else:
                if header is None:
                    header, block = csv_header(block)
                    _require_path(spec, name, header)
                table, parse = csv_table(block, header), partial(parse_csv, block, header)
            rows = None if table is None else _from_table(spec, table, block)
            rows = rows or _from_rows(spec, parse())
            if block.first_line <= 2:
                _refuse_urls(name, rows)
            yield rows


def _require_path(spec: SourceSpec, name: str, columns: list[str]) -> None:
    if spec.path_column not in columns and (spec.path_column or find_name(columns, PATH_NAMES) is None):
        raise SourceError(
            f"manifest {quoted(name)} has no path column (columns: {', '.join(map(quoted, columns[:20]))}); "
            "name it with path_column"
        )


def _refuse_urls(name: str, rows: PathRows) -> None:
    http = pc.starts_with(rows.paths, "http", ignore_case=True)
    usable = len(rows.paths) - len(rows.errors)
    if usable and pc.sum(http.cast(pa.int64())).as_py() == usable:
        raise SourceError(
            f"manifest {quoted(name)} holds URLs; download them with `fetch`, then ingest the folder it writes"
        )


def _from_table(spec: SourceSpec, table: pa.Table, block: Block | None) -> PathRows | None:
    """None when the choice of a column would differ from row to row."""
    names = table.column_names
    path_name = spec.path_column or find_name(names, PATH_NAMES)
    if path_name not in names:
        return None
    paths = flat(table.column(path_name))
    if not pa.types.is_string(paths.type) or paths.null_count:
        return None
    text_names = [spec.text_column] if spec.text_column else names_of(names, TEXT_NAMES)
    text_name = next((n for n in text_names if n in names and n != path_name), None)
    left_out = {path_name}
    texts = pa.nulls(table.num_rows, pa.string())
    if text_name is not None:
        column = flat(table.column(text_name))
        if not pa.types.is_string(column.type) or (column.null_count and len(text_names) > 1):
            return None
        texts = text_array(column)
        left_out.add(text_name)
    key_name = spec.key_column or find_name(names, KEY_NAMES)
    keys = licenses = None
    if key_name in names:
        keys = flat(table.column(key_name))
        if not (pa.types.is_string(keys.type) or pa.types.is_int64(keys.type)):
            return None
        keys = keys.cast(pa.string())
    if "license" in names:
        licenses = flat(table.column("license"))
        if not pa.types.is_string(licenses.type):
            return None
        licenses = text_array(licenses)
    first = block.first_line if block else 0
    metadata = metadata_array(table, left_out)
    return PathRows(paths, keys, texts, metadata, licenses, range(first, first + len(paths)), {})


def _from_rows(spec: SourceSpec, rows: Iterator[Row]) -> PathRows:
    columns: list[list[str | None]] = [[] for _ in range(5)]
    lines: list[int] = []
    errors: dict[int, Exception] = {}
    for i, row in enumerate(rows):
        lines.append(row.line)
        values: list[str | None] = ["", None, None, None, None]
        if isinstance(row.value, Exception):
            errors[i] = row.value
        else:
            found = row.value
            name = spec.path_column or find_name(found, PATH_NAMES)
            path = found.get(name) if name is not None else None
            rest = {k: v for k, v in found.items() if k != name}
            text, rest = split_text(rest, spec.text_column)
            key = found.get(spec.key_column or find_name(found, KEY_NAMES) or "")
            license_ = found.get("license")
            values[1] = str(key) if isinstance(key, str | int) and not isinstance(key, bool) else None
            values[2:] = text, metadata_json(rest), license_ if isinstance(license_, str) else None
            if isinstance(path, str):
                values[0] = path
            else:
                errors[i] = BadLineError(f"line {row.line} has no path; name its column with path_column")
        for column, value in zip(columns, values, strict=True):
            column.append(clean_surrogates(value))
    paths, keys, texts, metadata, licenses = (pa.array(c, pa.string()) for c in columns)
    return PathRows(paths, keys, texts, metadata, licenses, lines, errors)


def clean_surrogates(value: str | None) -> str | None:
    """Text that Arrow can hold: JSON may escape lone surrogates."""
    if value is None or value.isascii():
        return value
    return value.encode("utf-8", "replace").decode("utf-8")


class PathBatches:
    """Turns blocks of a path table into listing batches: checks paths, numbers repeats, hashes ids."""

    def __init__(self, spec: SourceSpec) -> None:
        self._spec = spec
        self._base = spec.blob_root
        self._images = Tree(self._base, spec.storage_options) if spec.stat else None
        self._seen = OccurrenceCounter()

    def batches(self, manifest: str, rows: PathRows) -> Iterator[pa.RecordBatch]:
        count = len(rows.paths)
        if count == 0:
            return
        uris, errors = self._uris(rows)
        ids = sample_ids(self._spec.name, uris)
        keys = self._keys(uris, rows)
        fixed_keys: dict[int, str] = {}
        for position, number in self._seen.count(ids):
            if position not in errors:
                # one file named twice (two captions) is two samples
                ids[position] = sample_id(self._spec.name, uris[position], f"#{number}", None)
                fixed_keys[position] = f"{keys[position].as_py()}~{number}"
        containers, members, offsets, lengths = ["file"] * count, [None] * count, [None] * count, None
        metadata_fixed: dict[int, str | None] = {}
        for i, error in errors.items():
            line = rows.lines[i]
            member = error_text(error)
            name, _, message = member.partition(": ")
            uris[i], containers[i], members[i], offsets[i] = (
                encode_name(manifest),
                ERROR_CONTAINER,
                member,
                line,
            )
            ids[i] = sample_id(self._spec.name, uris[i], f"error:{name}:", line)
            fixed_keys[i] = f"{uris[i]}:{line}"
            metadata_fixed[i] = metadata_json({INGEST_ERROR_KEY: name, INGEST_MESSAGE_KEY: message})
        sizes = etags = pa.nulls(count)
        if self._images is not None:
            stats = [(None, None) if i in errors else self._images.stat(u) for i, u in enumerate(uris)]
            sizes, etags = ([s[k] for s in stats] for k in (0, 1))
            lengths = sizes
        licenses = pa.nulls(count, pa.string()) if rows.licenses is None else rows.licenses
        o = self._spec.row_origin
        columns = [
            *(pa.array(ids, ID_TYPE), _constant(o.source, count), pa.array(uris, pa.string())),
            *(_patched(keys, fixed_keys), pa.array(containers, pa.string())),
            *(pa.array(members, pa.string()), pa.array(offsets, pa.int64())),
            pa.nulls(count, pa.int64()) if lengths is None else pa.array(lengths, pa.int64()),
            *(_cast(sizes, pa.int64()), _cast(etags, pa.string())),
            *(rows.texts, _patched(rows.metadata, metadata_fixed)),
            *(_constant(o.origin, count), pc.fill_null(licenses, pa.scalar(o.license, pa.string()))),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=LISTING_SCHEMA)

    def _uris(self, rows: PathRows) -> tuple[list[str], dict[int, Exception]]:
        errors = dict(rows.errors)
        uris = rows.paths.to_pylist()
        unusual = pc.match_substring_regex(rows.paths, _UNUSUAL_PATH)
        for i in pc.indices_nonzero(unusual).to_pylist():
            if i in errors:
                continue
            try:
                uris[i] = encode_name(relative_to(self._base, uris[i]))
            except UnsafeUriError as e:
                hint = "; fetch URLs first" if uris[i].lower().startswith(("http:", "https:")) else ""
                errors[i] = UnsafePathError(f"line {rows.lines[i]}: {e}{hint}")
        return uris, errors

    def _keys(self, uris: list[str], rows: PathRows) -> pa.Array:
        stems = pc.replace_substring_regex(pa.array(uris, pa.string()), r"([^/])\.[^./]*$", r"\1")
        if rows.keys is None:
            return stems
        keys = pc.if_else(pc.equal(pc.binary_length(rows.keys), 0), None, rows.keys)
        keys = pc.coalesce(keys, stems)
        if (
            pc.any(pc.match_substring(keys, "\0")).as_py()
            or pc.any(pc.greater(pc.binary_length(keys), 512)).as_py()
        ):
            return pa.array([clean_text(k, 512) for k in keys.to_pylist()], pa.string())
        return keys


def _constant(value: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), count)


def _cast(values: pa.Array | list, kind: pa.DataType) -> pa.Array:
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)


def _patched(column: pa.Array, changes: dict[int, str | None]) -> pa.Array:
    if not changes:
        return column
    values = column.to_pylist()
    for i, value in changes.items():
        values[i] = value
    return pa.array(values, pa.string())
