"""What pHashes tell of a graph's rows: candidates of near pairs, and of copies that are turned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .exact import Edges, undirected
from .graph import Graph
from .nodes import Nodes, numbers
from .phash import hamming_candidates
from .settings import Settings
from .turned import Kept, Turned, Turning, drop_turned
from .vectors import pair_cosines


def confirmed_hashes(nodes: Nodes, graph: Graph, row_of: np.ndarray, settings: Settings) -> tuple[Edges, int]:
    """pHash candidates as edges of the graph's rows, with the cosines they have, and the number of candidates.

    Where the graph grew, only of pairs with a new row: the others are in `graph.more`.
    """
    none = undirected(*(np.zeros(0) for _ in range(3)))
    if settings.phash_radius is None or "phash" not in nodes.table.column_names:
        return none, 0
    taken = nodes.of_nodes("phash", "reencode_bpp")
    valid = pc.is_valid(taken["phash"]).to_numpy()
    detailed = numbers(taken, "reencode_bpp") >= settings.phash_min_bpp
    hashes = pc.fill_null(taken["phash"], 0).to_numpy().astype(np.uint64)
    fresh = row_of >= graph.first_new if graph.first_new else None
    a, b = hamming_candidates(hashes, np.flatnonzero(valid & detailed), settings.phash_radius, fresh)
    if not len(a):
        return none, 0
    a, b = row_of[a], row_of[b]
    cos = pair_cosines(graph.space.stored, a, b, graph.space.inverse, settings.mirror)
    return undirected(a, b, cos).above(settings.floor), len(a)


def turned_copies(
    kept: Kept,
    nodes: Nodes,
    graph: Graph,
    row_of: np.ndarray,
    free: np.ndarray,
    rank: np.ndarray,
    turning: Turning,
    settings: Settings,
) -> Turned | None:
    """What kept rows that are `free` (bool [n]) stand for besides, see `turned.drop_turned`; None without the hashes."""
    if "phashes" not in nodes.table.column_names:
        return None
    taken = nodes.of_nodes("phashes", "reencode_bpp")
    column, detailed = taken["phashes"].combine_chunks(), numbers(taken, "reencode_bpp")
    valid = pc.is_valid(column).to_numpy(zero_copy_only=False) & (detailed >= settings.phash_min_bpp)
    phashes = np.zeros((len(graph.ids), 8), np.uint64)
    if valid.any():
        phashes[row_of[valid]] = pc.list_flatten(column.filter(pa.array(valid))).to_numpy().reshape(-1, 8)
    usable = np.zeros(len(graph.ids), bool)
    usable[row_of[valid]] = True
    if turning.vectors_of is not None:
        given = np.zeros(len(graph.ids), np.int64)
        given[row_of] = nodes.order[nodes.first]
        look = turning.vectors_of
        turning = replace(turning, vectors_of=lambda rows: look(given[rows]))

    def cosines_to(one: int, many: np.ndarray) -> np.ndarray:
        ones = np.full(len(many), one)
        return pair_cosines(graph.space.stored, ones, many, graph.space.inverse, settings.mirror)

    return drop_turned(
        kept,
        phashes,
        usable & free,
        rank,
        turning,
        settings.phash_radius,
        settings.mirror is not None,
        graph.space.stored,
        graph.space.inverse,
        cosines_to,
        settings.threshold,
        graph.turned,
    )
