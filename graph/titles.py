"""Texts without Python objects: a column of titles as one byte array, and an index from (namespace, title) to row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Titles:
    """`offsets`: int64 [rows + 1] into `data`: uint8."""

    offsets: np.ndarray
    data: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def of(cls, column: pa.Array | Sequence[pa.Array]) -> Titles:
        """From Arrow binary arrays; null counts as empty."""
        chunks = [column] if isinstance(column, pa.Array) else list(column)
        lengths, data = [np.zeros(1, np.int64)], []
        for chunk in chunks:
            if len(chunk) == 0:
                continue
            if chunk.null_count:
                chunk = pc.fill_null(chunk, b"")
            offsets = np.frombuffer(chunk.buffers()[1], np.int32)[
                chunk.offset : chunk.offset + len(chunk) + 1
            ]
            buffer = chunk.buffers()[2]
            lengths.append(np.diff(offsets).astype(np.int64))
            if buffer is not None:
                data.append(np.frombuffer(buffer, np.uint8)[offsets[0] : offsets[-1]])
        return cls(
            np.cumsum(np.concatenate(lengths)), np.concatenate(data) if data else np.zeros(0, np.uint8)
        )

    def array(self) -> pa.Array:
        """As Arrow large_binary, without a copy."""
        buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.data)]
        return pa.Array.from_buffers(pa.large_binary(), len(self), buffers)


def names_of(titles: pa.Array) -> pa.Array:
    """Display names: underscores to blanks. Bytes that are no UTF-8 become U+FFFD."""
    try:
        texts = titles.cast(pa.string())
    except pa.ArrowInvalid:
        texts = pa.array([t.decode("utf-8", "replace") for t in titles.to_pylist()], pa.string())
    return pc.replace_substring(texts, "_", " ")


class TitleIndex:
    """Open addressing over (namespace, title), at most half full; hits are verified byte by byte.

    Attributes:
        repeated: the first row that repeats an earlier one, or -1. Such an index is not to be used.
    """

    def __init__(self, namespaces: np.ndarray, titles: Titles):
        from . import title_kernels as k

        self._namespaces, self._titles = np.ascontiguousarray(namespaces, np.int32), titles
        size = 1 << max(4, int(2 * max(len(titles), 1) - 1).bit_length())
        self._table = np.full(size, -1, np.int32)
        self.repeated = int(k.fill(self._table, self._namespaces, titles.offsets, titles.data))

    def rows(self, namespaces: np.ndarray, titles: Titles) -> np.ndarray:
        """int32 row of each pair, -1 where there is none."""
        from . import title_kernels as k

        out = np.empty(len(titles), np.int32)
        wanted = np.ascontiguousarray(namespaces, np.int32)
        k.look_up(
            self._table,
            self._namespaces,
            self._titles.offsets,
            self._titles.data,
            wanted,
            titles.offsets,
            titles.data,
            out,
        )
        return out


class IdMap:
    """Integer ids to int32 values: an array by id where ids are dense, else sorted ids.

    Attributes:
        repeated: an id that was given twice, or None.
    """

    def __init__(self, ids: np.ndarray, values: np.ndarray, missing: int):
        self._missing, self.repeated = missing, None
        top = int(ids.max(initial=-1))
        self._dense = bool(len(ids) == 0 or (ids.min() >= 0 and top <= 16 * len(ids) + (1 << 22)))
        if self._dense:
            self._values = np.full(top + 1, missing, np.int32)
            seen = np.zeros(top + 1, np.bool_)
            seen[ids] = True
            if int(seen.sum()) != len(ids):
                self.repeated = _first_repeat(ids)
            self._values[ids] = values
        else:
            order = np.argsort(ids, kind="stable")
            self._ids, self._values = ids[order], values[order]
            if bool((self._ids[1:] == self._ids[:-1]).any()):
                self.repeated = _first_repeat(ids)

    def get(self, ids: np.ndarray) -> np.ndarray:
        """int32 value of each id, `missing` for ids that are not there."""
        if self._dense:
            inside = (ids >= 0) & (ids < len(self._values))
            if len(self._values) == 0:
                return np.full(len(ids), self._missing, np.int32)
            return np.where(inside, self._values[np.where(inside, ids, 0)], np.int32(self._missing))
        at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return np.where(self._ids[at] == ids, self._values[at], np.int32(self._missing)).astype(np.int32)


def _first_repeat(ids: np.ndarray) -> int:
    """The id whose second occurrence comes first."""
    order = np.argsort(ids, kind="stable")
    again = np.zeros(len(ids), bool)
    again[order[1:]] = ids[order[1:]] == ids[order[:-1]]
    return int(ids[int(np.argmax(again))])
