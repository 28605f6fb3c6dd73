"""Parquet tables that hold image bytes (img2dataset, Hugging Face) or image paths."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import SourceError
from ..uris import quoted
from .ids import ID_TYPE, sample_ids
from .manifest import KEY_NAMES, PATH_NAMES, PathBatches, PathRows
from .problems import BadLineError, DamagedArchiveError, DownloadFailedError, UnsupportedArchiveError
from .rows import BATCH_ROWS, LISTING_SCHEMA, TEXT_NAMES, BatchBuilder, find_name, names_of
from .source import ListingCounts, SourceSpec, Tree
from .tables import flat, metadata_array, text_array

#: Names of columns of plain image bytes, best first. Without one, a file's only binary column is taken.
BYTES_NAMES = ("image", "img", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "content", "data")


def list_parquet(spec: SourceSpec, counts: ListingCounts) -> Iterator[pa.RecordBatch]:
    """One row per table row (and image column), files in sorted order; image bytes are not read."""
    tree = Tree(spec.root, spec.storage_options)
    tree.require()
    rows = BatchBuilder(spec.row_origin)
    paths = PathBatches(spec)
    if tree.is_file():
        names = [tree.root.rsplit("/", 1)[1]]
        tree = Tree(tree.root.rsplit("/", 1)[0] or "/", spec.storage_options)
    else:
        names = []
        for folder, files in tree.folders(counts):
            for entry in files:
                if entry.error is not None:
                    rows.add_error(folder + entry.name, entry.error)
                elif entry.name.lower().endswith(".parquet"):
                    names.append(folder + entry.name)
                else:
                    counts.skipped_extension += 1
    for name in names:
        _, etag = tree.stat(name)
        try:
            with tree.open(name) as file:
                yield from _list_file(spec, name, etag, pq.ParquetFile(file), paths)
        except SourceError as e:
            if name == names[0]:
                raise
            rows.add_error(name, UnsupportedArchiveError(str(e)), etag=etag)
        except (pa.ArrowException, OSError) as e:
            rows.add_error(name, DamagedArchiveError(f"table {quoted(name)} cannot be read: {e}"), etag=etag)
    yield from rows.take(force=True)


def image_columns(schema: pa.Schema, wanted: str | None = None) -> list[str]:
    """Columns that hold image bytes: all struct<bytes, ...> columns, or the best plain binary one."""
    if wanted is not None:
        return [wanted] if wanted in schema.names and _holds_bytes(schema.field(wanted).type) else []
    structs = [f.name for f in schema if pa.types.is_struct(f.type) and _holds_bytes(f.type)]
    if structs:
        return structs
    plain = [f.name for f in schema if _holds_bytes(f.type)]
    best = find_name(plain, BYTES_NAMES)
    if best is not None:
        return [best]
    return plain if len(plain) == 1 else []


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_bytes(kind.field(index).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _list_file(
    spec: SourceSpec, name: str, etag: str | None, file: pq.ParquetFile, paths: PathBatches
) -> Iterator[pa.RecordBatch]:
    schema = file.schema_arrow
    images = image_columns(schema, spec.image_column)
    strings = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    path_name = spec.path_column or find_name(strings, PATH_NAMES)
    if not images and path_name not in strings:
        raise SourceError(
            f"table {quoted(name)} has neither image bytes nor paths (columns: "
            f"{', '.join(map(quoted, schema.names[:20]))}); name one with image_column or path_column"
        )
    if not images and (path_name or "").lower() == "url":
        raise SourceError(
            f"table {quoted(name)} holds URLs; download them with `fetch`, then ingest the folder it writes"
        )
    # other binary columns and the images themselves are never read
    small = [f.name for f in schema if f.name not in images and not _holds_bytes(f.type)]
    first = 0
    if not small:
        for start in range(0, file.metadata.num_rows, BATCH_ROWS):
            size = min(BATCH_ROWS, file.metadata.num_rows - start)
            empty = pa.table({"_": pa.nulls(size)})
            for image in images:
                yield _blob_batch(spec, name, etag, empty, image, start, len(images) > 1)
        return
    for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=small):
        table = pa.Table.from_batches([batch])
        if images:
            for image in images:
                yield _blob_batch(spec, name, etag, table, image, first, len(images) > 1)
        else:
            yield from paths.batches(name, _path_rows(spec, table, path_name or "", first))
        first += len(batch)


def _texts(spec: SourceSpec, table: pa.Table, but: str | None = None) -> tuple[pa.Array, list[str]]:
    """(captions, columns they were taken from)."""
    names = [spec.text_column] if spec.text_column else names_of(table.column_names, TEXT_NAMES)
    for name in names:
        if name not in table.column_names or name == but:
            continue
        column = flat(table.column(name))
        kind = column.type
        if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
            first = [v[0] if v else None for v in column.to_pylist()]
            return text_array(pa.array(first, pa.string())), []
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
            return text_array(column), [name]
    return pa.nulls(table.num_rows, pa.string()), []


def _keys(spec: SourceSpec, table: pa.Table) -> pa.Array | None:
    name = spec.key_column or find_name(table.column_names, KEY_NAMES)
    if name is None or name not in table.column_names:
        return None
    column = flat(table.column(name))
    kind = column.type
    return column.cast(pa.string()) if pa.types.is_string(kind) or pa.types.is_integer(kind) else None


def _licenses(spec: SourceSpec, table: pa.Table) -> pa.Array:
    found = pa.nulls(table.num_rows, pa.string())
    if "license" in table.column_names and pa.types.is_string(table.schema.field("license").type):
        found = text_array(flat(table.column("license")))
    return pc.fill_null(found, pa.scalar(spec.license, pa.string()))


def _path_rows(spec: SourceSpec, table: pa.Table, path_name: str, first: int) -> PathRows:
    paths = flat(table.column(path_name)).cast(pa.string())
    errors: dict[int, Exception] = {
        i: BadLineError(f"row {first + i} has no {path_name}")
        for i in pc.indices_nonzero(pc.is_null(paths)).to_pylist()
    }
    texts, used = _texts(spec, table, but=path_name)
    metadata = metadata_array(table, {path_name, *used})
    rows = range(first, first + len(paths))
    paths = pc.fill_null(paths, "")
    return PathRows(paths, _keys(spec, table), texts, metadata, _licenses(spec, table), rows, errors)


def _blob_batch(
    spec: SourceSpec, uri: str, etag: str | None, table: pa.Table, image: str, first: int, several: bool
) -> pa.RecordBatch:
    count = table.num_rows
    offsets = range(first, first + count)
    texts, used = _texts(spec, table)
    metadata = metadata_array(table, set(used))
    keys = _keys(spec, table)
    suffix = f"_{image}" if several else ""
    if keys is None:
        stem = uri.removesuffix(".parquet")
        keys = pa.array([f"{stem}_{i:08d}{suffix}" for i in offsets], pa.string())
    else:
        keys = pc.binary_join_element_wise(pc.fill_null(keys, "null"), suffix, "")
    constant = {"source": spec.name, "uri": uri, "container": "parquet", "member": image}
    ids = sample_ids(spec.name, [uri] * count, [image] * count, offsets)
    columns = {
        "sample_id": pa.array(ids, ID_TYPE),
        "key": keys,
        "offset": pa.array(offsets, pa.int64()),
        "etag": pa.repeat(pa.scalar(etag, pa.string()), count),
        "text": texts,
        "metadata": metadata,
        "origin": pa.repeat(spec.origin, count),
        "license": _licenses(spec, table),
        **{n: pa.repeat(v, count) for n, v in constant.items()},
    }
    arrays = [columns[f.name] if f.name in columns else pa.nulls(count, f.type) for f in LISTING_SCHEMA]
    batch = pa.RecordBatch.from_arrays(arrays, schema=LISTING_SCHEMA)
    return _mark_failed(spec, batch, table)


def _mark_failed(spec: SourceSpec, batch: pa.RecordBatch, table: pa.Table) -> pa.RecordBatch:
    """img2dataset keeps failed downloads as rows with `status` other than success: error rows here."""
    if not {"status", "error_message"} <= set(table.column_names):
        return batch
    status = flat(table.column("status")).cast(pa.string())
    failed = pc.indices_nonzero(pc.fill_null(pc.not_equal(status, "success"), False)).to_pylist()
    if not failed:
        return batch
    rows = batch.to_pylist()
    reasons = table.column("error_message").to_pylist()
    builder = BatchBuilder(spec.row_origin)
    for i in failed:
        row = rows[i]
        error = DownloadFailedError(f"row {row['offset']}: {status[i].as_py()}: {reasons[i]}")
        builder.add_error(row["uri"], error, row["member"], row["offset"], row["etag"])
    marked = pa.Table.from_batches(builder.take(force=True)).to_pylist()
    for i, error_row in zip(failed, marked, strict=True):
        rows[i] = {**error_row, "key": rows[i]["key"], "text": rows[i]["text"]}
    return pa.RecordBatch.from_pylist(rows, schema=LISTING_SCHEMA)
