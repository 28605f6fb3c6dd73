"""Single values of image columns of Parquet files, with bounded memory."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

_MAX_OPEN_FILES = 8
#: Rows of a row group too large for the cache are read forward in pieces of about this size.
_PIECE_BYTES = 32 << 20


class ParquetBlobs:
    """Reads a row group of one column at a time and keeps the last ones, up to `cache_bytes`.

    A row group larger than the cache is read forward piece by piece; going back in it starts anew.
    """

    def __init__(self, cache_bytes: int) -> None:
        self._cache_bytes = cache_bytes
        self._files: OrderedDict[Hashable, tuple[pq.ParquetFile, list[int]]] = OrderedDict()
        self._groups: OrderedDict[Hashable, pa.ChunkedArray] = OrderedDict()
        self._cached_bytes = 0
        self._cursor: tuple[Hashable, Iterator[pa.RecordBatch], int, pa.Array] | None = None

    def close(self) -> None:
        for file, _ in self._files.values():
            file.close(force=True)
        self._files.clear()
        self._groups.clear()
        self._cached_bytes, self._cursor = 0, None

    def value(self, table: Hashable, open_table: Callable[[], BinaryIO], column: str, row: int) -> Any:
        """The Python value of one cell.

        Args:
            table: identifies the file among those read.
            open_table: called when the file is not open.
            row: counted from 0 over the whole file.

        Raises:
            IndexError: no such row or column. pa.ArrowInvalid, OSError: the file is damaged.
        """
        file, starts = self._file(table, open_table)
        if not 0 <= row < starts[-1] or column not in file.schema_arrow.names:
            raise IndexError("no such row or column any more; ingest it again")
        group = bisect_right(starts, row) - 1
        place = (table, group, column)
        at = row - starts[group]
        cached = self._groups.get(place)
        if cached is not None:
            self._groups.move_to_end(place)
            return cached[at].as_py()
        if _group_bytes(file, group, column) > self._cache_bytes:
            return self._forward(place, file, group, column, at)
        values = file.read_row_group(group, columns=[column]).column(0)
        self._groups[place] = values
        self._cached_bytes += values.nbytes
        while self._cached_bytes > self._cache_bytes and len(self._groups) > 1:
            self._cached_bytes -= self._groups.popitem(last=False)[1].nbytes
        return values[at].as_py()

    def _file(self, table: Hashable, open_table: Callable[[], BinaryIO]) -> tuple[pq.ParquetFile, list[int]]:
        found = self._files.pop(table, None)
        if found is None:
            file = pq.ParquetFile(open_table())
            starts = [0]
            for i in range(file.metadata.num_row_groups):
                starts.append(starts[-1] + file.metadata.row_group(i).num_rows)
            found = file, starts
            if len(self._files) >= _MAX_OPEN_FILES:
                self._files.popitem(last=False)[1][0].close(force=True)
                self._cursor = None
        self._files[table] = found
        return found

    def _forward(self, place: Hashable, file: pq.ParquetFile, group: int, column: str, at: int) -> Any:
        if self._cursor is None or self._cursor[0] != place or at < self._cursor[2]:
            rows = file.metadata.row_group(group).num_rows
            per_piece = max(1, rows * _PIECE_BYTES // max(1, _group_bytes(file, group, column)))
            pieces = file.iter_batches(per_piece, row_groups=[group], columns=[column])
            self._cursor = (place, pieces, 0, pa.array([]))
        _, pieces, first, values = self._cursor
        while at >= first + len(values):
            first += len(values)
            values = next(pieces).column(0)
            self._cursor = (place, pieces, first, values)
        return values[at - first].as_py()


def _group_bytes(file: pq.ParquetFile, group: int, column: str) -> int:
    """Uncompressed bytes of a column (with its struct fields) in a row group."""
    info = file.metadata.row_group(group)
    columns = (info.column(i) for i in range(info.num_columns))
    return sum(c.total_uncompressed_size for c in columns if c.path_in_schema.split(".", 1)[0] == column)
