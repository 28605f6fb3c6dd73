"""Neighbor lists by cells: every pair that a quantizer puts together, at or above a cosine.

Upper bounds of a tile of cosines come from one small matrix product of codes; only pairs whose bound reaches the floor (or
the worst of a full list) are settled, in float64, from the stored vectors. So the result is exact among the pairs
compared, and does not depend on tiles, threads or the matrix library.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..embedding.encoder import Mirror
from .mirrored import orbits

#: Columns whose codes are copied together.
_GATHERED = 65_536

#: A tile: rows x columns of bounds. The first tiles of a cell are narrow, so that rows with very many copies close early.
_TILE_ROWS, _TILE_COLUMNS, _FIRST_COLUMNS = 512, 4_096, 512


@dataclass(frozen=True, eq=False)
class Codes:
    """What a search needs to know of the rows besides their vectors.

    Attributes:
        codes: float32 [n, r + 1], see `projection`; of the rows as they are.
        inverse: float64 [n], reciprocal norms of the stored vectors, 0 for zero vectors.
        cells: int32 [n, p], nearest first.
        turned_codes, turned_cells: the same of the mirrored rows, [n, r + 1] and [n, 1]; None without a mirror.
        margin: see `Projection.margin`.
        cell_count: of the quantizer.
    """

    codes: np.ndarray
    inverse: np.ndarray
    cells: np.ndarray
    turned_codes: np.ndarray | None
    turned_cells: np.ndarray | None
    margin: float
    cell_count: int


@dataclass(frozen=True, eq=False)
class Layout:
    """Rows by cell. Queries are numbered in this order, upright ones first, then the mirrored.

    Attributes:
        queries: int64 [m], rows; query_starts: int64 [cells + 1].
        turned: the same of mirrored queries, or None.
        columns: int64 [n p], rows that can be found; column_starts: int64 [cells + 1].
    """

    queries: np.ndarray
    query_starts: np.ndarray
    turned: np.ndarray | None
    turned_starts: np.ndarray | None
    columns: np.ndarray
    column_starts: np.ndarray

    @property
    def count(self) -> int:
        return len(self.queries) + (0 if self.turned is None else len(self.turned))


def lay_out(codes: Codes, queries: np.ndarray | None = None, columns: np.ndarray | None = None) -> Layout:
    """Sort rows by their own cell, and by all cells they can be found in.

    Args:
        queries, columns: bool [n], rows that look and rows that can be found; default: all.
    """
    from .cell_kernels import sort_by_cell

    everyone = np.ones(len(codes.cells), bool)
    queries = everyone if queries is None else queries
    columns = everyone if columns is None else columns
    own = sort_by_cell(np.ascontiguousarray(codes.cells[:, :1]), queries, codes.cell_count)
    turned = (None, None)
    if codes.turned_cells is not None:
        turned = sort_by_cell(codes.turned_cells, queries, codes.cell_count)
    return Layout(*own, *turned, *sort_by_cell(codes.cells, columns, codes.cell_count))


@dataclass(frozen=True)
class Found:
    """Directed pairs, unsorted: int64 [m] rows, float32 [m] cosines; and how many cosines were computed."""

    src: np.ndarray
    dst: np.ndarray
    cos: np.ndarray
    scored: int


def joined(parts: Sequence[Found]) -> Found:
    """One after the other; none is no pairs."""
    if not parts:
        return Found(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), 0)
    src, dst, cos = (np.concatenate([getattr(p, f) for p in parts]) for f in ("src", "dst", "cos"))
    return Found(src, dst, cos, sum(p.scored for p in parts))


@dataclass(frozen=True, eq=False)
class Others:
    """The rows that are looked among: `stored`, `inverse` and `codes` as in `Codes`.

    Attributes:
        apart: they are not the queries' own collection.
    """

    stored: np.ndarray
    inverse: np.ndarray
    codes: np.ndarray
    apart: bool = True


def search_range(
    stored: np.ndarray,
    codes: Codes,
    layout: Layout,
    first: int,
    last: int,
    k: int,
    floor: float,
    saturation: float = 2.0,
    mirror: Mirror | None = None,
    others: Others | None = None,
) -> Found:
    """Neighbor lists of queries `first..last - 1` of a layout.

    Args:
        stored: float16 or float32 [n, d], may be a memory map; read only where a bound passes.
        k: neighbors per query (per way it faces).
        floor: smallest cosine of a neighbor.
        saturation: a list of k neighbors with cosines at least this takes no more: among thousands of near-identical
            rows every further one is as good as those it has. 2 for never.
        mirror: with it, a cosine is the larger of those to the other vector and to its mirror image.
        others: rows of another collection, which `layout.columns` then number.
    """
    columns_of = others or Others(stored, codes.inverse, codes.codes, apart=False)
    upright = len(layout.queries)
    parts = []
    for ways, starts, queries, lo, hi in (
        (codes.codes, layout.query_starts, layout.queries, first, min(last, upright)),
        (codes.turned_codes, layout.turned_starts, layout.turned, max(first - upright, 0), last - upright),
    ):
        if hi > lo:
            for a, b, cell in _cells_of(starts, lo, hi):
                columns = layout.columns[layout.column_starts[cell] : layout.column_starts[cell + 1]]
                lists = (queries[a:b], columns)
                parts.append(
                    _search_cell(stored, codes, ways, columns_of, *lists, k, floor, saturation, mirror)
                )
    return joined(parts)


def _cells_of(starts: np.ndarray, lo: int, hi: int) -> Iterator[tuple[int, int, int]]:
    """(first, last, cell) of the pieces that the cells cut `lo..hi` into."""
    cell = int(np.searchsorted(starts, lo, side="right")) - 1
    while lo < hi:
        stop = min(hi, int(starts[cell + 1]))
        if stop > lo:
            yield lo, stop, cell
        lo, cell = max(lo, stop), cell + 1


def _search_cell(
    stored: np.ndarray,
    codes: Codes,
    query_codes: np.ndarray,
    others: Others,
    queries: np.ndarray,
    columns: np.ndarray,
    k: int,
    floor: float,
    saturation: float,
    mirror: Mirror | None,
) -> Found:
    from .cell_kernels import scan_tile

    bits, other_bits = (x.view(np.uint16) if x.dtype == np.float16 else x for x in (stored, others.stored))
    swap = orbits(mirror)
    length = min(k, len(columns))
    # Of all rows a view will do; of most of them, a tile at a time rather than a copy of all.
    whole = len(columns) > 0 and int(columns[-1]) - int(columns[0]) + 1 == len(columns)
    column_codes = others.codes[int(columns[0]) : int(columns[-1]) + 1] if whole else None
    if column_codes is None and len(columns) <= _GATHERED:
        column_codes = others.codes[columns]
    kept, scored = [], 0
    for row0 in range(0, len(queries), _TILE_ROWS):
        rows = queries[row0 : row0 + _TILE_ROWS]
        row_codes = query_codes[rows]
        heap_cos, heap_id = np.empty((len(rows), length), np.float32), np.empty((len(rows), length), np.int64)
        fill, closed = np.zeros(len(rows), np.int64), np.zeros(len(rows), bool)
        at, width = 0, _FIRST_COLUMNS
        while at < len(columns) and not closed.all():
            near = slice(at, at + width)
            tile = others.codes[columns[near]] if column_codes is None else column_codes[near]
            scored += scan_tile(
                row_codes @ tile.T, rows, columns[at : at + width], bits, codes.inverse,
                other_bits, others.inverse, others.apart,
                swap.first, swap.second, swap.sign, np.float32(floor), np.float32(codes.margin),
                np.float32(saturation), heap_cos, heap_id, fill, closed,
            )  # fmt: skip
            at, width = at + width, min(2 * width, _TILE_COLUMNS)
        valid = np.arange(length) < fill[:, None]
        kept.append((np.repeat(rows, fill), heap_id[valid], heap_cos[valid]))
    src, dst, cos = (np.concatenate(part) for part in zip(*kept, strict=True))
    return Found(src, dst, cos, scored)
