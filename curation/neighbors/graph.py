"""The graph of near pairs, kept so that new rows cost what they are and not what all are.

The graph is the set of pairs above the floor among those that a frozen quantizer compares, so adding rows only adds edges: new
rows are looked up among all, and old rows among the new. Rows that went away stay in the files as nobody's neighbors. The
folder may be deleted at any time: the next run then starts over, with the same quantizer and the same result wherever no
row has more than k near ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..embedding.encoder import Mirror
from .audit import audit_of
from .cell_search import Codes, lay_out
from .device_search import searched_on
from .exact import Edges, all_of
from .graph_files import GraphFolder, Old, Outcome, read_graph, write_graph
from .pairs import (
    SearchSettings,
    audited,
    cells_of,
    fill_all,
    fitted,
    searched,
    with_enough_probes,
)
from .quantizer import Quantizer
from .sweep import swept
from .turned import Earlier
from .workspace import FanOut, Workspace, in_threads

#: Start over when more than this share of the rows in the files is gone from the dataset.
MOST_GONE = 0.3
#: Exact search (one cell) is given up for cells, and all done anew, beyond so many rows.
OUTGROWN = 60_000
#: Up to this share of new rows, old ones are swept over, see `sweep`; more are searched as all are.
FEW_NEW = 0.1

#: Vectors asked for at a time.
_PIECE = 131_072


@dataclass(frozen=True, eq=False)
class Graph:
    """Attributes:
    ids: S16 [m], samples of all rows, of the files' order.
    alive: bool [m], rows that are of the dataset.
    first_new: rows from here on were not there before.
    space: their vectors, norms (0 where not alive) and codes.
    edges: between rows that are alive, of the search.
    more: of old rows, found in other ways by earlier runs.
    before: what became of the rows in the last run; turned: copies it found that are turned.
    quantizer: what chose the pairs compared.
    facts: JSON-able figures of the search.
    """

    ids: np.ndarray
    alive: np.ndarray
    first_new: int
    space: Workspace
    edges: Edges
    more: Edges
    before: Outcome
    turned: Earlier
    quantizer: Quantizer
    facts: Mapping[str, Any]


def grow(
    ids: np.ndarray,
    keys: np.ndarray,
    vectors: np.ndarray | Callable[[np.ndarray], np.ndarray],
    settings: SearchSettings,
    mirror: Mirror | None = None,
    folder: Path | None = None,
    identity: str = "",
    quantizer: Quantizer | None = None,
    read_order: np.ndarray | None = None,
    fan_out: FanOut = in_threads,
) -> tuple[Graph, np.ndarray]:
    """The graph of these rows, from the one in the folder where that is of the same kind.

    Args:
        ids: S16 [n], ascending, distinct.
        keys: S16 [n], what a row's vector depends on (the hash of its file); a row of the same id and another key is new.
        vectors: float16 or float32 [n, d], or what gives them for positions [m]: then those of old rows are not asked for.
        folder: where it is kept; None to keep nothing.
        identity: of all that makes vectors and pairs what they are (encoder, floor, k, ...). Another one starts over.
        quantizer: frozen, where there is one.
        read_order: int64 [n], sort key of the order in which vectors are asked for, e.g. their place in the dataset.

    Returns:
        the graph, and int64 [n]: its row of each of these.

    Raises:
        ValueError: a vector with NaN or infinity, vectors of another length than the quantizer's, or `settings.device`
            with a folder or mirrored copies.
        RecallError: see `pairs.audited`.
    """
    if settings.device is not None and (folder is not None or mirror is not None):
        raise ValueError("a search on a device keeps nothing and knows no mirrored copies")
    taken = (lambda rows: vectors[rows]) if isinstance(vectors, np.ndarray) else vectors
    store = GraphFolder(folder) if folder is not None else None
    if store is None:
        old = Old.nothing()
    else:
        store.folder.mkdir(parents=True, exist_ok=True)
        old = read_graph(store, identity, quantizer)
    quantizer = old.quantizer or quantizer
    row_of = old.find(ids, keys)
    present = np.zeros(len(old.ids), bool)
    present[row_of[row_of >= 0]] = True
    outgrown = quantizer is not None and quantizer.cells == 1 and len(ids) > OUTGROWN
    if outgrown or (len(present) and 1 - present.mean() > MOST_GONE):
        old, row_of, present = Old.nothing(), np.full(len(ids), -1), np.zeros(0, bool)
        quantizer = None if outgrown else quantizer
    fresh = np.flatnonzero(row_of < 0)
    first_new = len(old.ids)
    row_of[fresh] = first_new + np.arange(len(fresh))
    stored = _gathered(taken, fresh, read_order, old, store)
    frozen = quantizer is not None
    quantizer = quantizer or fitted(stored, settings)

    alive = np.concatenate([present, np.ones(len(fresh), bool)])
    space = _space(old, stored, quantizer, mirror, store)
    inverse = space.inverse
    inverse[:first_new] = np.where(present, inverse[:first_new], 0.0)
    fill_all(space, quantizer, mirror, in_threads, first_new)
    all_ids = np.concatenate([old.ids, ids[fresh]])
    audit = audit_of(space, all_ids, alive, first_new, old.audit, settings, mirror, quantizer, fan_out)
    if not frozen and settings.device is None:
        quantizer = with_enough_probes(quantizer, space, audit.pairs, settings, mirror)
    codes = _assign(old, space, quantizer, mirror)
    how: dict[str, Any] = {}
    if settings.device is None:
        edges, scored = _searched(codes, space, first_new, settings, mirror, fan_out)
    else:
        edges, how = searched_on(settings.device, space.stored, settings)
        scored = 0
    kept, more = (_between(e, present) for e in (old.edges, old.more))
    all_edges = all_of(kept, edges)
    facts = {
        **audited(quantizer, audit.pairs, all_edges, scored, settings),
        **how,
        "rows_new": len(fresh),
        "rows_known": int(present.sum()),
    }
    if store is not None:
        write_graph(
            store, old, present, ids[fresh], keys[fresh], space, codes, edges, quantizer, identity, audit
        )
    before = old.outcome.grown(len(fresh))
    both = alive[old.turned.edges.src] & alive[old.turned.edges.dst]
    turned = Earlier(_chosen(old.turned.edges, both), old.turned.op[both], before.turned)
    graph = Graph(all_ids, alive, first_new, space, all_edges, more, before, turned, quantizer, facts)
    return graph, row_of


def _between(edges: Edges, present: np.ndarray) -> Edges:
    """The edges both ends of which are still there."""
    if present.all():
        return edges
    return _chosen(edges, present[edges.src] & present[edges.dst])


def _chosen(edges: Edges, which: np.ndarray) -> Edges:
    return Edges(edges.src[which], edges.dst[which], edges.cos[which])


def _gathered(
    taken: Callable[[np.ndarray], np.ndarray],
    fresh: np.ndarray,
    read_order: np.ndarray | None,
    old: Old,
    store: GraphFolder | None,
) -> np.ndarray:
    """All vectors, old and new: a file mapped for reading, or an array. Read in pieces, so that they are held once."""
    first, out = len(old.ids), None
    order = np.arange(len(fresh)) if read_order is None else np.argsort(read_order[fresh], kind="stable")
    for start in range(0, max(1, len(fresh)), _PIECE):
        at = order[start : start + _PIECE]
        if not len(at) and old.width:
            break
        block = np.asarray(taken(fresh[at]))
        if block.ndim != 2 or block.dtype not in (np.float16, np.float32):
            raise ValueError(f"vectors must be [n, d] of float16 or float32, got {block.shape} {block.dtype}")
        if old.width and (block.shape[1] != old.width or block.dtype != old.dtype):
            raise ValueError(
                f"vectors of {block.shape[1]} x {block.dtype}, the graph holds {old.width} x {old.dtype}: "
                "the encoder changed half-way; embed all with one"
            )
        if out is None:
            shape = (first + len(fresh), block.shape[1])
            out = (
                np.empty(shape, block.dtype)
                if store is None
                else store.grown("stored.bin", first, block.dtype, shape)
            )
        out[first + at] = block
    if store is None:
        return out
    rows, width, dtype = (first, old.width, old.dtype) if out is None else (len(out), out.shape[1], out.dtype)
    del out
    return store.array("stored.bin", dtype, width, rows)


def _space(
    old: Old, stored: np.ndarray, quantizer: Quantizer, mirror: Mirror | None, store: GraphFolder | None
) -> Workspace:
    """Room for the codes of all rows, those of old ones filled; with a folder, in files mapped for writing."""
    first, n, length = len(old.ids), len(stored), quantizer.projection.basis.shape[1] + 1
    inverse = np.concatenate([old.inverse, np.zeros(n - first)])

    def room(name: str) -> np.ndarray:
        shape = (n, length)
        return np.empty(shape, np.float32) if store is None else store.grown(name, first, np.float32, shape)

    return Workspace(stored, inverse, room("codes.bin"), room("turned.bin") if mirror else None)


def _assign(old: Old, space: Workspace, quantizer: Quantizer, mirror: Mirror | None) -> Codes:
    first = len(old.ids)
    cells = cells_of(space.codes[first:], quantizer, in_threads)
    turned = None
    if mirror is not None and space.turned_codes is not None:
        turned = cells_of(space.turned_codes[first:], quantizer.with_probes(1), in_threads)
        if first:
            turned = np.concatenate([old.turned_cells, turned])
    if first:
        cells = np.concatenate([old.cells, cells])
    margin = quantizer.projection.margin
    return Codes(space.codes, space.inverse, cells, space.turned_codes, turned, margin, quantizer.cells)


def _searched(
    codes: Codes,
    space: Workspace,
    first_new: int,
    settings: SearchSettings,
    mirror: Mirror | None,
    fan_out: FanOut,
) -> tuple[Edges, int]:
    """New rows among all, and old rows among the new."""
    alive = np.ones(space.rows, bool)
    if not first_new:
        return searched(space.stored, codes, lay_out(codes, alive, alive), settings, mirror, fan_out)
    new = np.arange(space.rows) >= first_new
    if space.rows - first_new <= FEW_NEW * first_new:
        lists = [(new, new)]
        parts = [swept(space.stored, codes, first_new, settings, mirror, fan_out)]
    else:
        lists, parts = [(new, alive), (~new, new)], []
    parts += [
        searched(space.stored, codes, lay_out(codes, queries, columns), settings, mirror, fan_out)
        for queries, columns in lists
    ]
    return all_of(*(e for e, _ in parts)), sum(s for _, s in parts)
