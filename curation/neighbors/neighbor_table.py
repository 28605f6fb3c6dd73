"""The side table of edges: pairs of samples by id, in parts by ranges of the first id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..embedding.encoder import Mirror
from ..embedding.symmetry import INVERSE
from .digests import halves
from .exact import Edges
from .graph import Graph
from .group_table import NEIGHBORS_SCHEMA, to_fixed
from .turned import Turned
from .vectors import pair_cosines

#: Pairs of one part of the table.
PART_PAIRS = 1 << 20
#: Keys of pairs of so many samples, with an orientation, fit 64 bits.
_MOST_NUMBERED = 1_000_000_000


def neighbor_parts(
    graph: Graph,
    place: np.ndarray,
    ids: np.ndarray,
    edges: Edges,
    turned: Turned | None,
    mirror: Mirror | None,
) -> Parts:
    """The side table of edges, sorted by ids; pairs that only a turn makes near have a line of their own.

    Args:
        place: int64 [m], place of each row of the graph in `ids`, S16, ascending.
    """
    orientation = np.ones(len(edges), np.int8)
    if mirror is not None:
        plain = pair_cosines(graph.space.stored, edges.src, edges.dst, graph.space.inverse)
        orientation[edges.cos > plain] = 2
    src, dst, cos = edges.src, edges.dst, edges.cos
    if turned is not None:
        src, dst = np.concatenate([src, turned.edges.src]), np.concatenate([dst, turned.edges.dst])
        cos = np.concatenate([cos, turned.edges.cos])
        orientation = np.concatenate([orientation, turned.op + 1])
    a, b = place[src], place[dst]
    swap = a > b
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    orientation = np.where(swap, INVERSE[orientation - 1] + 1, orientation).astype(np.int8)
    if len(ids) <= _MOST_NUMBERED:
        order = np.argsort((a * len(ids) + b) * 8 + orientation)
    else:
        order = np.lexsort((orientation, b, a))
    return Parts(ids, a[order], b[order], cos[order], orientation[order])


@dataclass(frozen=True, eq=False)
class Parts:
    """Pairs in the order of their ids, made a table part by part.

    Attributes:
        ids: S16 [n], ascending; src, dst: int64 [m], places in them; cos: float32 [m]; orientation: int8 [m].
    """

    ids: np.ndarray
    src: np.ndarray
    dst: np.ndarray
    cos: np.ndarray
    orientation: np.ndarray

    def __len__(self) -> int:
        return len(self.src)

    def table(self, rows: slice = slice(None)) -> pa.Table:
        """The pairs at some places, or all."""
        orientation = self.orientation[rows]
        return pa.table(
            [to_fixed(self.ids[self.src[rows]]), to_fixed(self.ids[self.dst[rows]]), pa.array(self.cos[rows]),
             pa.array(orientation == 2), pa.array(orientation)],
            schema=NEIGHBORS_SCHEMA,
        )  # fmt: skip

    def by_source(self, pairs: int = PART_PAIRS) -> Iterator[tuple[str, pa.Table]]:
        """(name, table) of ranges of the source id, by its leading bits: about so many pairs each, one part at least.

        The name says which range of how many: `0003-of-0008`, hexadecimal, holds ids from 3/8 of all ids on.
        """
        bits = min(16, max(0, int(np.ceil(np.log2(max(1, len(self)) / pairs)))))
        lead = halves(self.ids)[0] >> np.uint64(48)
        edges = (np.arange((1 << bits) + 1) << (16 - bits)).astype(np.uint64)
        ends = np.searchsorted(self.src, np.searchsorted(lead, edges))
        for i, (start, stop) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
            yield f"{i:04x}-of-{1 << bits:04x}", self.table(slice(start, stop))
