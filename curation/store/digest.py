"""Digests of Arrow data: equal values, equal digest, however the buffers are cut or padded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

ID_TYPE = pa.binary(16)


def json_digest(value: Any) -> str:
    """xxh3-128, as 32 hex digits, of a JSON-able value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return xxhash.xxh3_128_hexdigest(text.encode())


def column_digest(column: pa.ChunkedArray | pa.Array) -> str:
    """xxh3-128, as 32 hex digits, of the type, the nulls and the values of a column."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # an empty column stays chunked
        array = pa.array([], type=array.type) if not array.num_chunks else pa.concat_arrays(array.chunks)
    h = xxhash.xxh3_128(f"{array.type}|{len(array)}|".encode())
    _feed(h, array)
    return h.hexdigest()


def _feed(h: Any, array: pa.Array) -> None:
    if array.null_count:
        h.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    h.update(b"|")
    t = array.type
    if pa.types.is_null(t):
        return
    if pa.types.is_struct(t):
        for i in range(t.num_fields):
            _feed(h, pc.struct_field(array, i))
    elif pa.types.is_fixed_size_list(t):
        # flatten() drops null lists, which the validity bits above already tell.
        _feed(h, array.flatten())
    elif pa.types.is_list(t) or pa.types.is_large_list(t):
        h.update(_lengths(array).tobytes())
        _feed(h, array.flatten())
    elif pa.types.is_dictionary(t):
        _feed(h, array.cast(t.value_type))
    elif is_variable_binary(t):
        h.update(_lengths(array).tobytes())
        for part in variable_parts(array):
            h.update(part)
    elif pa.types.is_boolean(t):
        h.update(np.packbits(pc.fill_null(array, False).to_numpy(zero_copy_only=False)).tobytes())
    else:
        h.update(fixed_bytes(array))


def is_variable_binary(t: pa.DataType) -> bool:
    return (
        pa.types.is_string(t)
        or pa.types.is_binary(t)
        or pa.types.is_large_string(t)
        or pa.types.is_large_binary(t)
    ) and not pa.types.is_fixed_size_binary(t)


def _lengths(array: pa.Array) -> np.ndarray:
    t = array.type
    lengths = pc.binary_length(array) if is_variable_binary(t) else pc.list_value_length(array)
    return pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False).astype("<i8")


def variable_parts(array: pa.Array) -> list[memoryview]:
    """The value bytes of a string or binary array, null slots left out, as views."""
    valid = array.drop_null()
    if not len(valid):
        return []
    wide = pa.types.is_large_string(valid.type) or pa.types.is_large_binary(valid.type)
    _, offsets, data = valid.buffers()
    o = np.frombuffer(offsets, dtype="<i8" if wide else "<i4")[valid.offset : valid.offset + len(valid) + 1]
    return [memoryview(data)[o[0] : o[-1]]] if data is not None and o[-1] > o[0] else []


def fixed_bytes(array: pa.Array) -> np.ndarray:
    """Value bytes of a fixed-width array as uint8 [len, width], zeros where null."""
    width = array.type.bit_width // 8
    data = array.buffers()[1]
    if data is None or not len(array):
        return np.zeros((len(array), width), np.uint8)
    raw = np.frombuffer(data, np.uint8)[array.offset * width : (array.offset + len(array)) * width]
    raw = raw.reshape(len(array), width)
    if array.null_count:
        raw = raw.copy()
        raw[~array.is_valid().to_numpy(zero_copy_only=False)] = 0
    return np.ascontiguousarray(raw)


def row_keys(table: pa.Table, columns: Sequence[str]) -> pa.Array:
    """xxh3-128 of each row's values in `columns`, as fixed_size_binary(16) [rows].

    Rows are equal in these columns iff their keys are (up to hash collisions): every value
    is fed with its length, and null differs from empty.
    """
    per_column = [_row_bytes(table.column(c).combine_chunks()) for c in columns]
    out = []
    for i in range(len(table)):
        h = xxhash.xxh3_128()
        for values in per_column:
            v = values[i]
            if v is None:
                h.update(b"\xff" * 8)
            else:
                h.update(len(v).to_bytes(8, "little"))
                h.update(v)
        out.append(h.digest())
    return pa.array(out, type=ID_TYPE)


def _row_bytes(array: pa.Array) -> list[Any]:
    """One bytes-like value (or None) per row."""
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], type=array.type)
    t = array.type
    if pa.types.is_string(t) or pa.types.is_large_string(t):
        array = array.cast(pa.large_binary())
        t = array.type
    if is_variable_binary(t) or pa.types.is_fixed_size_binary(t):
        return array.to_pylist()
    if (
        pa.types.is_fixed_size_list(t)
        and len(array)
        and not array.null_count
        and not array.flatten().null_count
    ):
        flat = array.flatten()
        if (
            not pa.types.is_nested(flat.type)
            and not is_variable_binary(flat.type)
            and flat.type.bit_width >= 8
        ):
            raw = fixed_bytes(flat).reshape(len(array), -1)
            return [r.tobytes() for r in raw]
    if pa.types.is_integer(t) or pa.types.is_floating(t):
        raw = fixed_bytes(array)
        valid = array.is_valid().to_pylist() if array.null_count else None
        return [r.tobytes() if valid is None or valid[i] else None for i, r in enumerate(raw)]
    return [None if v is None else repr(v).encode("utf-8", "surrogatepass") for v in array.to_pylist()]
