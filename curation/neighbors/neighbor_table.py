"""The side table of edges: pairs of samples by id."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ..embedding.encoder import Mirror
from ..embedding.symmetry import INVERSE
from .exact import Edges
from .graph import Graph
from .group_table import NEIGHBORS_SCHEMA, to_fixed
from .turned import Turned
from .vectors import pair_cosines


def neighbor_table(graph: Graph, edges: Edges, turned: Turned | None, mirror: Mirror | None) -> pa.Table:
    """The side table of edges, sorted by ids; pairs that only a turn makes near have a line of their own."""
    orientation = np.ones(len(edges), np.int8)
    if mirror is not None:
        plain = pair_cosines(graph.space.stored, edges.src, edges.dst, graph.space.inverse)
        orientation[edges.cos > plain] = 2
    src, dst, cos = edges.src, edges.dst, edges.cos
    if turned is not None:
        src, dst = np.concatenate([src, turned.edges.src]), np.concatenate([dst, turned.edges.dst])
        cos = np.concatenate([cos, turned.edges.cos])
        orientation = np.concatenate([orientation, turned.op + 1])
    a, b = graph.ids[src], graph.ids[dst]
    swap = a > b
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    orientation = np.where(swap, INVERSE[orientation - 1] + 1, orientation).astype(np.int8)
    order = np.lexsort((orientation, b, a))
    orientation = orientation[order]
    return pa.table(
        [to_fixed(a[order]), to_fixed(b[order]), pa.array(cos[order]), pa.array(orientation == 2),
         pa.array(orientation)],
        schema=NEIGHBORS_SCHEMA,
    )  # fmt: skip
