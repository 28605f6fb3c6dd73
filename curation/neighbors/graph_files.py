"""The files of a graph that is kept: arrays that grow at their end, and a small JSON that says how much of them counts.

Local disk only. What a killed run wrote beyond that is overwritten by the next. What is written whole goes to one of two
files in turn, so that the one the JSON names stays as it was until the JSON names the other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .audit import Audit
from .cell_search import Codes, Found
from .digests import rows_of
from .exact import Edges
from .quantizer import Quantizer
from .turned import Earlier
from .vectors import inverse_norms
from .workspace import Workspace

FORMAT = 2

#: Key of rows that are gone.
_GONE = np.bytes_(b"\xff" * 16)

_EDGE = np.dtype([("src", np.int64), ("dst", np.int64), ("cos", np.float32)])
_TURNED = np.dtype([("src", np.int64), ("dst", np.int64), ("cos", np.float32), ("op", np.int8)])
_OUTCOME = np.dtype(
    [("label", np.int64), ("keeper", np.int64), ("sim", np.float32), ("role", np.int8), ("turned", np.bool_)]
)

#: What a row was in the search for pairs between crowds, see `bridges`: heard by those who speak, silent in a crowd, or
#: one that speaks; before all, unknown.
UNKNOWN, HEARD, SILENT, SPEAKER = -1, 0, 1, 2


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of every row of a graph.

    Attributes:
        labels: int64 [m], community (the smallest row in it), -1 for none or unknown.
        keeper, sim: int64 [m], float32 [m], see `grouping.keepers_of`.
        roles: int8 [m], see `SPEAKER`.
        turned: bool [m], rows that were compared with turned ones, see `turned.Turned`.
    """

    labels: np.ndarray
    keeper: np.ndarray
    sim: np.ndarray
    roles: np.ndarray
    turned: np.ndarray

    @classmethod
    def unknown(cls, first: int, rows: int) -> Outcome:
        """Of rows `first..first + rows - 1`, which nothing is known of: their own keepers."""
        keeper = np.arange(first, first + rows)
        return cls(
            np.full(rows, -1),
            keeper,
            np.ones(rows, np.float32),
            np.full(rows, UNKNOWN, np.int8),
            np.zeros(rows, bool),
        )

    def grown(self, rows: int) -> Outcome:
        """With that many rows more."""
        more = Outcome.unknown(len(self.labels), rows)
        return Outcome(
            *(
                np.concatenate([getattr(self, f), getattr(more, f)])
                for f in ("labels", "keeper", "sim", "roles", "turned")
            )
        )


class GraphFolder:
    """The files of one graph."""

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

    def replace(self, kind: str, facts: Mapping[str, Any] | None, block: np.ndarray) -> str:
        """Write a file whole, not over the one that counts; its name, to be noted as `facts[kind]`."""
        name = f"{kind}-b.bin" if facts and facts.get(kind) == f"{kind}-a.bin" else f"{kind}-a.bin"
        self.append(name, 0, block)
        return name

    def save(self, facts: Mapping[str, Any]) -> None:
        """Make all that was appended count."""
        sizes = {p.name: p.stat().st_size for p in self.folder.iterdir() if p.suffix == ".bin"}
        temp = self.folder / "graph.json.tmp"
        temp.write_text(json.dumps({**facts, "format": FORMAT, "bytes": sizes}, sort_keys=True))
        os.replace(temp, self.folder / "graph.json")


@dataclass(frozen=True, eq=False)
class Old:
    """A graph as it was left.

    Attributes:
        ids, keys: S16 [n]; dtype, width: of the vectors.
        cells, turned_cells, inverse: see `cell_search.Codes`; None where there is no graph.
        edges: that the search found; more: that were found in other ways; turned: see `turned.Earlier`.
        outcome, audit: of the last run.
    """

    ids: np.ndarray
    keys: np.ndarray
    dtype: Any
    width: int
    quantizer: Quantizer | None
    cells: np.ndarray | None
    turned_cells: np.ndarray | None
    inverse: np.ndarray
    edges: Edges
    more: Edges
    turned: Earlier
    outcome: Outcome
    audit: Audit | None

    @classmethod
    def nothing(cls) -> Old:
        none = np.zeros(0, np.int64)
        edges = Edges(none, none, np.zeros(0, np.float32))
        turned = Earlier(edges, np.zeros(0, np.int8), np.zeros(0, bool))
        ids, outcome = np.zeros(0, "S16"), Outcome.unknown(0, 0)
        return cls(ids, ids, None, 0, None, None, None, np.zeros(0), edges, edges, turned, outcome, None)

    def find(self, ids: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """int64 [n]: the row of each of the ascending ids with the same key, or -1."""
        if not len(self.ids):
            return np.full(len(ids), -1)
        # the last row of an id is the one that counts: earlier ones had another key
        row = rows_of(self.ids, ids)
        return np.where((row >= 0) & (self.keys[row] == keys), row, -1)


def read_graph(store: GraphFolder, identity: str, frozen: Quantizer | None) -> Old:
    """What is in the folder, or nothing where that is of another kind."""
    facts = store.read_facts()
    if facts is None or facts.get("identity") != identity:
        return Old.nothing()
    quantizer = Quantizer.from_bytes((store.folder / "quantizer.bin").read_bytes(), str(store.folder))
    if frozen is not None and frozen.identity != quantizer.identity:
        return Old.nothing()
    n = int(facts["rows"])
    mirrored = (store.folder / "turned_cells.bin").exists() and facts["mirrored"]
    return Old(
        np.array(store.array("ids.bin", "S16", None, n)),
        np.array(store.array("keys.bin", "S16", None, n)),
        np.dtype(facts["dtype"]),
        int(facts["width"]),
        quantizer,
        store.array("cells.bin", np.int32, quantizer.probes, n),
        store.array("turned_cells.bin", np.int32, 1, n) if mirrored else None,
        np.array(store.array("inverse.bin", np.float64, None, n)),
        _edges(store.array("edges.bin", _EDGE, None, int(facts["edges"]))),
        _edges(store.array("more.bin", _EDGE, None, int(facts["more"]))),
        _turned(store, facts),
        _outcome(store, facts, n),
        _audit(store, facts, n),
    )


def write_graph(
    store: GraphFolder,
    old: Old,
    present: np.ndarray,
    ids: np.ndarray,
    keys: np.ndarray,
    space: Workspace,
    codes: Codes,
    edges: Edges,
    quantizer: Quantizer,
    identity: str,
    audit: Audit,
) -> None:
    """Append what is new: rows with `ids` and `keys`, and edges of the search. `present` bool [old rows]: not gone."""
    first_new = len(old.ids)
    facts = store.read_facts() if first_new else None
    if (
        not present.all()
    ):  # what is gone was not compared with today's new rows: should it come back, it is new
        store.append("keys.bin", 0, np.where(present, old.keys, _GONE))
    store.append("keys.bin", first_new, keys)
    store.append("ids.bin", first_new, ids)
    store.append("cells.bin", first_new, codes.cells[first_new:])
    if codes.turned_cells is not None:
        store.append("turned_cells.bin", first_new, codes.turned_cells[first_new:])
    store.append("inverse.bin", first_new, inverse_norms(space.stored[first_new:]))
    store.append("edges.bin", len(old.edges), _flat(edges))
    if not first_new:
        store.append("more.bin", 0, _flat(old.more))
        (store.folder / "quantizer.bin").write_bytes(quantizer.to_bytes())
    found = audit.pairs
    counts = np.array([len(audit.rows), len(found.src)])
    bits = found.cos.astype(np.float64).view(np.int64)
    block = np.concatenate([counts, audit.rows, found.src, found.dst, bits])
    store.save(
        {
            "identity": identity,
            "rows": space.rows,
            "edges": len(old.edges) + len(edges),
            "more": len(old.more),
            "width": space.stored.shape[1],
            "dtype": str(space.stored.dtype),
            "mirrored": codes.turned_cells is not None,
            "audit": store.replace("audit", facts, block),
            "turned": facts.get("turned") if facts else None,
            "turned_pairs": int(facts["turned_pairs"]) if facts else 0,
            "outcome": facts.get("outcome") if facts else None,
            "outcome_rows": int(facts["outcome_rows"]) if facts else 0,
        }
    )


def write_outcome(folder: Path, outcome: Outcome, more: Edges, turned: Earlier) -> None:
    """Keep what became of the rows, edges found besides the search, and turned copies, for the next run."""
    store = GraphFolder(folder)
    facts = store.read_facts()
    if facts is None:
        return
    flat = np.empty(len(outcome.labels), _OUTCOME)
    flat["label"], flat["keeper"], flat["sim"] = outcome.labels, outcome.keeper, outcome.sim
    flat["role"], flat["turned"] = outcome.roles, outcome.turned
    pairs = np.empty(len(turned.edges), _TURNED)
    pairs["src"], pairs["dst"], pairs["cos"] = turned.edges.src, turned.edges.dst, turned.edges.cos
    pairs["op"] = turned.op
    store.append("more.bin", facts["more"], _flat(more))
    store.save(
        {
            **facts,
            "more": int(facts["more"]) + len(more),
            "outcome": store.replace("outcome", facts, flat),
            "outcome_rows": len(flat),
            "turned": store.replace("turned", facts, pairs),
            "turned_pairs": len(pairs),
        }
    )


def _flat(edges: Edges) -> np.ndarray:
    flat = np.empty(len(edges), _EDGE)
    flat["src"], flat["dst"], flat["cos"] = edges.src, edges.dst, edges.cos
    return flat


def _edges(flat: np.ndarray) -> Edges:
    return Edges(flat["src"].copy(), flat["dst"].copy(), flat["cos"].copy())


def _outcome(store: GraphFolder, facts: Mapping[str, Any], n: int) -> Outcome:
    rows = min(n, int(facts["outcome_rows"]))
    if not rows:
        return Outcome.unknown(0, n)
    flat = store.array(facts["outcome"], _OUTCOME, None, rows)
    found = Outcome(*(np.ascontiguousarray(flat[f]) for f in ("label", "keeper", "sim", "role", "turned")))
    return found.grown(n - rows)


def _turned(store: GraphFolder, facts: Mapping[str, Any]) -> Earlier:
    flat = store.array(facts["turned"] or "", _TURNED, None, int(facts["turned_pairs"]))
    return Earlier(_edges(flat), flat["op"].copy(), np.zeros(0, bool))


def _audit(store: GraphFolder, facts: Mapping[str, Any], n: int) -> Audit | None:
    if not facts.get("audit"):
        return None
    size = int(facts["bytes"][facts["audit"]]) // 8
    block = np.array(store.array(facts["audit"], np.int64, None, size))
    count, pairs = int(block[0]), int(block[1])
    if 2 + count + 3 * pairs != size or (block[2 : 2 + count + 2 * pairs] >= n).any():
        return None
    rows, src, dst, bits = np.split(block[2:], np.cumsum([count, pairs, pairs]))
    return Audit(rows, Found(src, dst, bits.view(np.float64).astype(np.float32), 0))
