"""Rows as deduplication sees them: sorted by id, identical ones made one node, each with its rank as keeper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .contract import contract_identical
from .digests import halves, order_of, repeats
from .group_table import fixed
from .keeper import keeper_rank

#: Columns of the table that `dedup.deduplicate` takes, and those it may have besides.
COLUMNS = (
    "sample_id",
    "content_id",
    "pixel_hash",
    "phash",
    "phashes",
    "width_px",
    "height_px",
    "file_bytes",
    "reencode_bpp",
    "text",
)
OPTIONAL_COLUMNS = ("quality", "aesthetic", "source_trust")
_REQUIRED = ("sample_id", "content_id", "pixel_hash")


@dataclass(frozen=True, eq=False)
class Nodes:
    """Attributes:
    order: int64 [n], positions in the table given, by sample id. Rows below are in this order, `table` is as given.
    table: the columns of use; ids: S16 [n].
    content: (S16 [n], bool [n]) hashes of the bytes, and which are known.
    node_of: int64 [n], position of the first row identical to each.
    first: int64 [p], the first row of each node, ascending; index: int64 [n], node of each row.
    """

    order: np.ndarray
    table: pa.Table
    ids: np.ndarray
    content: tuple[np.ndarray, np.ndarray]
    node_of: np.ndarray
    first: np.ndarray
    index: np.ndarray

    @property
    def node_ids(self) -> np.ndarray:
        return self.ids[self.first]

    def of_nodes(self, *columns: str) -> pa.Table:
        """Some columns of the first row of each node."""
        return self.table.select(columns).take(pa.array(self.order[self.first]))

    def ranks(self, keeper_order: Sequence[str], nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Who is the better keeper: int64 [n] rank of every row, int64 [p] that of its best row for every node.

        Only ranks of rows in the nodes chosen (bool [p]), and within one node, mean anything.

        Raises:
            ValueError: an unknown keeper measure.
        """
        several = np.bincount(self.index, minlength=len(self.first)) > 1
        rows = np.flatnonzero((several | nodes)[self.index])
        found = measures(self.table.take(pa.array(self.order[rows])))
        rank = np.empty(len(self.ids), np.int64)
        rest = np.ones(len(rank), bool)
        rest[rows] = False
        rank[rows] = keeper_rank(found, keeper_order)
        rank[rest] = len(rows) + np.arange(len(rank) - len(rows))
        node_rank = rank[self.first]
        shared = np.flatnonzero(several[self.index])
        np.minimum.at(node_rank, self.index[shared], rank[shared])
        return rank, node_rank


def nodes_of(rows: pa.Table) -> Nodes:
    """Sort and contract.

    Raises:
        ValueError: a sample id that occurs twice, or a missing column.
    """
    missing = [c for c in _REQUIRED if c not in rows.column_names]
    if missing:
        raise ValueError(
            f"the table has no column {missing[0]!r}; deduplication needs {', '.join(_REQUIRED)}"
        )
    ids, _ = fixed(rows["sample_id"])
    high, low = halves(ids)
    order = order_of(high, low)
    if len(repeats(high, low, order)):
        raise ValueError("a sample_id occurs twice; each sample must be given once")
    names = [c for c in (*COLUMNS, *OPTIONAL_COLUMNS) if c in rows.column_names]
    content, pixels = (tuple(part[order] for part in fixed(rows[c])) for c in ("content_id", "pixel_hash"))
    node_of = contract_identical(content, pixels)
    first = np.flatnonzero(node_of == np.arange(len(node_of)))
    number = np.empty(len(node_of), np.int64)
    number[first] = np.arange(len(first))
    return Nodes(order, rows.select(names), ids[order], content, node_of, first, number[node_of])


def measures(table: pa.Table) -> dict[str, np.ndarray]:
    """What keepers are chosen by: float64 [n] each, larger is better, NaN where unknown.

    quality is 1 less the worst score of the quality model, in tenths: a difference nobody sees must not decide.
    """
    pixels = numbers(table, "width_px") * numbers(table, "height_px")
    file_bytes = numbers(table, "file_bytes")
    per_pixel = np.divide(file_bytes, pixels, out=np.full(len(pixels), np.nan), where=pixels > 0)
    chars = np.zeros(table.num_rows)
    if "text" in table.column_names:
        chars = (
            pc.fill_null(pc.utf8_length(pc.cast(table["text"], pa.string())), 0).to_numpy().astype(np.float64)
        )
    return {
        "pixels": pixels,
        "quality": np.round(numbers(table, "quality"), 1),
        "aesthetic": np.round(numbers(table, "aesthetic"), 1),
        "bytes_per_pixel": per_pixel,
        "file_bytes": file_bytes,
        "caption_chars": chars,
        "source_trust": numbers(table, "source_trust"),
    }


def numbers(table: pa.Table, name: str) -> np.ndarray:
    """float64 [n] of a column, null and absent as NaN."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return pc.fill_null(pc.cast(table[name], pa.float64()), float("nan")).to_numpy()
