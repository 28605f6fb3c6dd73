"""Arrow tables into captions and metadata JSON, a column at a time.

`jsonl_table` and `csv_table` return None for any block whose meaning could differ from that of
the exact parsers in `lines.py`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from .lines import Block
from .rows import MAX_METADATA_BYTES, MAX_TEXT_BYTES, clean_text, metadata_json

#: Wider blocks (an object per row with its own names) are quicker row by row.
_MAX_COLUMNS = 256
_EXACT_IN_DOUBLE = float(2**53)


def jsonl_table(block: Block, strings: set[str]) -> pa.Table | None:
    """A block of JSON Lines as a table of string, int64, double and bool columns, or None.

    Args:
        strings: columns that are text though they look like times; extended when new ones appear.
    """
    data = block.data
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    if b"\\u0000" in data or b"\n\n" in data or b"\n\r\n" in data or not _is_utf8(data):
        return None
    for _ in range(2):
        schema = pa.schema([(name, pa.string()) for name in sorted(strings)]) if strings else None
        try:
            table = pyarrow.json.read_json(
                io.BytesIO(data),
                pyarrow.json.ReadOptions(use_threads=True, block_size=len(data) + 1),
                pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer"),
            )
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None
        times = {f.name for f in table.schema if pa.types.is_temporal(f.type)}
        if not times:
            break
        strings |= times
    if table.num_rows != lines or table.num_columns > _MAX_COLUMNS:
        return None
    table = table.select([f.name for f in table.schema if not pa.types.is_null(f.type)])
    for column in table.columns:
        kind = column.type
        if pa.types.is_floating(kind):
            largest = pc.max(pc.abs(column)).as_py()
            if largest is not None and not largest < _EXACT_IN_DOUBLE:
                return None
        elif not (pa.types.is_string(kind) or pa.types.is_int64(kind) or pa.types.is_boolean(kind)):
            return None
    return table


def csv_table(block: Block, header: list[str]) -> pa.Table | None:
    """A block of CSV records as a table of string columns (empty fields null), or None."""
    if b"\0" in block.data or len(header) > _MAX_COLUMNS:
        return None
    try:
        return pyarrow.csv.read_csv(
            io.BytesIO(block.data),
            pyarrow.csv.ReadOptions(column_names=header, block_size=len(block.data) + 1),
            pyarrow.csv.ParseOptions(newlines_in_values=True),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                null_values=[""],
            ),
        )
    except pa.ArrowInvalid:
        return None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def text_array(column: pa.Array) -> pa.Array:
    """A string column with NULs removed and long values cut (see `clean_text`)."""
    column = column.cast(pa.string())
    odd = pc.or_(pc.greater(pc.binary_length(column), MAX_TEXT_BYTES), pc.match_substring(column, "\0"))
    if not pc.any(odd).as_py():
        return column
    return pa.array([None if t is None else clean_text(t) for t in column.to_pylist()], pa.string())


def is_scalar(kind: pa.DataType) -> bool:
    """Whether metadata keeps a column of this type (binary and null columns are left out)."""
    return not (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_null(kind)
    )


def metadata_array(table: pa.Table, leave_out: Collection[str]) -> pa.Array:
    """`metadata_json` of every row, from all columns but some."""
    names = sorted(n for n in set(table.column_names) if n not in leave_out)
    names = [n for n in names if is_scalar(table.schema.field(n).type)]
    parts = [_json_members(n, flat(table.column(n))) for n in names]
    if not parts:
        return pa.nulls(table.num_rows, pa.string())
    # Parts begin with a comma and are empty when null: Arrow's null_handling="skip" drops all-null rows.
    joined = pc.binary_join_element_wise("{", *parts, "}", "")
    joined = pc.if_else(
        pc.equal(joined, "{}"), None, pc.replace_substring(joined, "{,", "{", max_replacements=1)
    )
    long = pc.greater(pc.binary_length(joined), MAX_METADATA_BYTES)
    if not pc.any(long).as_py():
        return joined
    values = joined.to_pylist()
    for i in pc.indices_nonzero(pc.fill_null(long, False)).to_pylist():
        values[i] = metadata_json(json.loads(values[i]))  # replaces it by its length
    return pa.array(values, pa.string())


def _json_members(name: str, column: pa.Array) -> pa.Array:
    """`,"name":value` per row, empty where the value is null."""
    label = "," + json.dumps(clean_text(name), ensure_ascii=False) + ":"
    return pc.fill_null(pc.binary_join_element_wise(label, _json_values(column), ""), "")


def _json_values(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _json_values(column.dictionary_decode())
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind):
        column = column.cast(pa.float64())
        return pc.if_else(pc.is_finite(column), column, None).cast(pa.string())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _json_strings(column.cast(pa.string()))
    if pa.types.is_nested(kind):
        values = [metadata_json({"v": v}) for v in column.to_pylist()]
        return pa.array([None if v is None else v[len('{"v":') : -1] for v in values], pa.string())
    return _json_strings(column.cast(pa.string()))


def _json_strings(column: pa.Array) -> pa.Array:
    if pc.any(pc.match_substring_regex(column, r"[\x00-\x1f]")).as_py():
        encoded = [
            None if v is None else json.dumps(v.replace("\0", ""), ensure_ascii=False)
            for v in column.to_pylist()
        ]
        return pa.array(encoded, pa.string())
    for raw, escaped in (("\\", "\\\\"), ('"', '\\"')):
        if pc.any(pc.match_substring(column, raw)).as_py():
            column = pc.replace_substring(column, raw, escaped)
    return pc.binary_join_element_wise('"', column, '"', "")
