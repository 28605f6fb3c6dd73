"""The graph of near pairs, kept so that new rows cost what they are and not what all are.

The graph is the set of pairs above the floor among those that a frozen quantizer compares, so adding rows only adds edges: new
rows are looked up among all, and old rows among the new. Rows that went away stay in the files as nobody's neighbors. The
folder may be deleted at any time: the next run then starts over, with the same quantizer and the same result wherever no
row has more than k near ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..embedding.encoder import Mirror
from .cell_search import Codes, lay_out
from .exact import Edges, undirected
from .pairs import (
    SearchSettings,
    audited,
    brute_force,
    cells_of,
    drawn,
    fill_all,
    fitted,
    searched,
    with_enough_probes,
)
from .quantizer import Quantizer
from .vectors import inverse_norms
from .workspace import FanOut, Workspace, in_threads

FORMAT = 1

#: Start over when more than this share of the rows in the files is gone from the dataset.
MOST_GONE = 0.3
#: Exact search (one cell) is given up for cells, and all done anew, beyond so many rows.
OUTGROWN = 60_000

#: Key of rows that are gone.
_GONE = np.bytes_(b"\xff" * 16)

#: Vectors asked for at a time.
_PIECE = 131_072

_EDGE = np.dtype([("src", np.int64), ("dst", np.int64), ("cos", np.float32)])


@dataclass(frozen=True, eq=False)
class Graph:
    """Attributes:
    ids: S16 [m], samples of all rows, of the files' order.
    alive: bool [m], rows that are of the dataset.
    first_new: rows from here on were not there before.
    space: their vectors, norms (0 where not alive) and codes.
    edges: between rows that are alive.
    labels: int64 [m], community of each row before (the smallest row in it), -1 where unknown.
    quantizer: what chose the pairs compared.
    facts: JSON-able figures of the search.
    """

    ids: np.ndarray
    alive: np.ndarray
    first_new: int
    space: Workspace
    edges: Edges
    labels: np.ndarray
    quantizer: Quantizer
    facts: Mapping[str, Any]


class GraphFolder:
    """The files of one graph: arrays that grow at their end, and a small JSON that says how much of them counts.

    Local disk only. What a killed run wrote beyond that is overwritten by the next.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def read_facts(self) -> dict[str, Any] | None:
        """What was last saved; None where there is nothing usable."""
        try:
            facts = json.loads((self.folder / "graph.json").read_text())
            wanted = {name: int(facts["bytes"][name]) for name in facts["bytes"]}
            short = [n for n, size in wanted.items() if (self.folder / n).stat().st_size < size]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None if short or facts.get("format") != FORMAT else facts

    def array(self, name: str, dtype: Any, width: int | None, rows: int) -> np.ndarray:
        """A file's first `rows` rows, mapped for reading."""
        shape = (rows,) if width is None else (rows, width)
        if rows == 0:
            return np.empty(shape, dtype)
        return np.memmap(self.folder / name, dtype, "r", shape=shape)

    def append(self, name: str, at_row: int, block: np.ndarray) -> None:
        """Write rows from `at_row` on."""
        block = np.ascontiguousarray(block)
        row_bytes = block.dtype.itemsize * int(np.prod(block.shape[1:]))
        path = self.folder / name
        with open(path, "r+b" if path.exists() else "w+b") as f:
            f.seek(at_row * row_bytes)
            f.truncate()
            f.write(memoryview(block).cast("B") if block.size else b"")

    def grown(self, name: str, first: int, dtype: Any, shape: tuple[int, int]) -> np.ndarray:
        """The file as an array of that shape mapped for writing: its first `first` rows stay, the rest are zeros."""
        if not shape[0]:
            return np.empty(shape, dtype)
        row_bytes = np.dtype(dtype).itemsize * shape[1]
        path = self.folder / name
        with open(path, "r+b" if path.exists() else "w+b") as f:
            f.truncate(first * row_bytes)
            f.truncate(shape[0] * row_bytes)
        return np.memmap(path, dtype, "r+", shape=shape)

    def save(self, facts: Mapping[str, Any]) -> None:
        """Make all that was appended count."""
        sizes = {p.name: p.stat().st_size for p in self.folder.iterdir() if p.suffix == ".bin"}
        temp = self.folder / "graph.json.tmp"
        temp.write_text(json.dumps({**facts, "format": FORMAT, "bytes": sizes}, sort_keys=True))
        os.replace(temp, self.folder / "graph.json")


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
        ids: S16 [n], distinct.
        keys: S16 [n], what a row's vector depends on (the hash of its file); a row of the same id and another key is new.
        vectors: float16 or float32 [n, d], or what gives them for positions [m]: then those of old rows are not asked for.
        folder: where it is kept; None to keep nothing.
        identity: of all that makes vectors and pairs what they are (encoder, floor, k, ...). Another one starts over.
        quantizer: frozen, where there is one.
        read_order: int64 [n], sort key of the order in which vectors are asked for, e.g. their place in the dataset.

    Returns:
        the graph, and int64 [n]: its row of each of these.

    Raises:
        ValueError: a vector with NaN or infinity, or vectors of another length than the quantizer's.
        RecallError: see `pairs.audited`.
    """
    taken = (lambda rows: vectors[rows]) if isinstance(vectors, np.ndarray) else vectors
    if folder is None:
        old = _Old.nothing()
    else:
        folder.mkdir(parents=True, exist_ok=True)
        old = _read(GraphFolder(folder), identity, quantizer)
    quantizer = old.quantizer or quantizer
    row_of = old.find(ids, keys)
    present = np.zeros(len(old.ids), bool)
    present[row_of[row_of >= 0]] = True
    outgrown = quantizer is not None and quantizer.cells == 1 and len(ids) > OUTGROWN
    if outgrown or (len(present) and 1 - present.mean() > MOST_GONE):
        old, row_of, present = _Old.nothing(), np.full(len(ids), -1), np.zeros(0, bool)
        quantizer = None if outgrown else quantizer
    fresh = np.flatnonzero(row_of < 0)
    first_new = len(old.ids)
    row_of[fresh] = first_new + np.arange(len(fresh))
    store = GraphFolder(folder) if folder is not None else None
    stored = _gathered(taken, fresh, read_order, old, store)
    frozen = quantizer is not None
    quantizer = quantizer or fitted(stored, settings)

    alive = np.concatenate([present, np.ones(len(fresh), bool)])
    space = _space(old, stored, quantizer, mirror, store)
    inverse = space.inverse
    inverse[:first_new] = np.where(present, inverse[:first_new], 0.0)
    fill_all(space, quantizer, mirror, in_threads, first_new)
    sample = drawn(space.rows, settings, first_new) if len(fresh) else np.zeros(0, np.int64)
    truth = brute_force(space, sample, settings, mirror, quantizer, fan_out)
    if not frozen:
        quantizer = with_enough_probes(quantizer, space, truth, settings, mirror)
    codes = _assign(old, space, quantizer, mirror)
    edges, scored = _searched(codes, space, first_new, settings, mirror, fan_out)
    kept = old.edges
    if not present.all():
        both = present[kept.src] & present[kept.dst]
        kept = Edges(kept.src[both], kept.dst[both], kept.cos[both])
    all_edges = undirected(
        *(np.concatenate([getattr(kept, a), getattr(edges, a)]) for a in ("src", "dst", "cos"))
    )
    facts = {
        **audited(quantizer, truth, all_edges, scored, settings),
        "rows_new": len(fresh),
        "rows_known": int(present.sum()),
    }
    all_ids = np.concatenate([old.ids, ids[fresh]])
    labels = np.concatenate([old.labels, np.full(len(fresh), -1)])
    if store is not None:
        # What is gone was not compared with today's new rows: should it come back, it is new.
        store.append("keys.bin", 0, np.concatenate([np.where(present, old.keys, _GONE), keys[fresh]]))
        store.append("labels.bin", 0, labels)
        _write(store, old, ids[fresh], space, codes, edges, quantizer, identity, first_new)
    return Graph(all_ids, alive, first_new, space, all_edges, labels, quantizer, facts), row_of


def save_outcome(folder: Path, labels: np.ndarray, more: Edges) -> None:
    """Keep the communities found, and edges found besides the search, for the next run."""
    store = GraphFolder(folder)
    facts = store.read_facts()
    if facts is not None:
        store.append("labels.bin", 0, labels.astype(np.int64))
        store.append("edges.bin", facts["edges"], _flat(more))
        store.save({**facts, "edges": facts["edges"] + len(more)})


def _flat(edges: Edges) -> np.ndarray:
    flat = np.empty(len(edges), _EDGE)
    flat["src"], flat["dst"], flat["cos"] = edges.src, edges.dst, edges.cos
    return flat


@dataclass(frozen=True, eq=False)
class _Old:
    ids: np.ndarray
    keys: np.ndarray
    dtype: Any
    width: int
    quantizer: Quantizer | None
    cells: np.ndarray | None
    turned_cells: np.ndarray | None
    inverse: np.ndarray
    edges: Edges
    labels: np.ndarray

    @classmethod
    def nothing(cls) -> _Old:
        none = np.zeros(0, np.int64)
        edges = Edges(none, none, np.zeros(0, np.float32))
        return cls(
            np.zeros(0, "S16"), np.zeros(0, "S16"), None, 0, None, None, None, np.zeros(0), edges, none
        )

    def find(self, ids: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """int64 [n]: the row of each id with the same key, or -1."""
        if not len(self.ids):
            return np.full(len(ids), -1)
        order = np.argsort(self.ids, kind="stable")
        # the last row of an id is the one that counts: earlier ones had another key
        at = np.searchsorted(self.ids[order], ids, side="right") - 1
        row = order[np.maximum(at, 0)]
        return np.where((at >= 0) & (self.ids[row] == ids) & (self.keys[row] == keys), row, -1)


def _read(store: GraphFolder, identity: str, frozen: Quantizer | None) -> _Old:
    facts = store.read_facts()
    if facts is None or facts.get("identity") != identity:
        return _Old.nothing()
    quantizer = Quantizer.from_bytes((store.folder / "quantizer.bin").read_bytes(), str(store.folder))
    if frozen is not None and frozen.identity != quantizer.identity:
        return _Old.nothing()
    n, width = int(facts["rows"]), int(facts["width"])
    flat = np.array(store.array("edges.bin", _EDGE, None, int(facts["edges"])))
    labels = np.array(store.array("labels.bin", np.int64, None, n))
    mirrored = (store.folder / "turned_cells.bin").exists() and facts["mirrored"]
    return _Old(
        np.array(store.array("ids.bin", "S16", None, n)),
        np.array(store.array("keys.bin", "S16", None, n)),
        np.dtype(facts["dtype"]),
        width,
        quantizer,
        np.array(store.array("cells.bin", np.int32, quantizer.probes, n)),
        np.array(store.array("turned_cells.bin", np.int32, 1, n)) if mirrored else None,
        np.array(store.array("inverse.bin", np.float64, None, n)),
        Edges(flat["src"].copy(), flat["dst"].copy(), flat["cos"].copy()),
        labels,
    )


def _gathered(
    taken: Callable[[np.ndarray], np.ndarray],
    fresh: np.ndarray,
    read_order: np.ndarray | None,
    old: _Old,
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
    old: _Old, stored: np.ndarray, quantizer: Quantizer, mirror: Mirror | None, store: GraphFolder | None
) -> Workspace:
    """Room for the codes of all rows, those of old ones filled; with a folder, in files mapped for writing."""
    first, n, length = len(old.ids), len(stored), quantizer.projection.basis.shape[1] + 1
    inverse = np.concatenate([old.inverse, np.zeros(n - first)])

    def room(name: str) -> np.ndarray:
        shape = (n, length)
        return np.empty(shape, np.float32) if store is None else store.grown(name, first, np.float32, shape)

    return Workspace(stored, inverse, room("codes.bin"), room("turned.bin") if mirror else None)


def _assign(old: _Old, space: Workspace, quantizer: Quantizer, mirror: Mirror | None) -> Codes:
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
    parts = [
        searched(space.stored, codes, lay_out(codes, queries, columns), settings, mirror, fan_out)
        for queries, columns in ((new, alive), (~new, new))
    ]
    edges = undirected(*(np.concatenate([getattr(e, a) for e, _ in parts]) for a in ("src", "dst", "cos")))
    return edges, sum(s for _, s in parts)


def _write(
    store: GraphFolder,
    old: _Old,
    ids: np.ndarray,
    space: Workspace,
    codes: Codes,
    edges: Edges,
    quantizer: Quantizer,
    identity: str,
    first_new: int,
) -> None:
    store.append("ids.bin", first_new, ids)
    store.append("cells.bin", first_new, codes.cells[first_new:])
    if codes.turned_cells is not None:
        store.append("turned_cells.bin", first_new, codes.turned_cells[first_new:])
    store.append("inverse.bin", first_new, inverse_norms(space.stored[first_new:]))
    store.append("edges.bin", len(old.edges), _flat(edges))
    (store.folder / "quantizer.bin").write_bytes(quantizer.to_bytes())
    store.save(
        {
            "identity": identity,
            "rows": space.rows,
            "edges": len(old.edges) + len(edges),
            "width": space.stored.shape[1],
            "dtype": str(space.stored.dtype),
            "mirrored": codes.turned_cells is not None,
        }
    )
