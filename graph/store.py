"""A graph on disk: `Graph.open(path)`.

    GRAPH/graph.json                 format, version, build, languages, sources, counts; written last
    GRAPH/nodes.parquet              row number = node number; columns in `NODES`
    GRAPH/aliases.parquet            sorted by `folded`; columns in `ALIASES`
    GRAPH/edges.parquet              source, target, type: what the CSR arrays hold, for other tools
    GRAPH/edges/TYPE.indptr.npy      CSR by source, int64 [n + 1]; TYPE is hyperlink or is_a (child -> parent)
    GRAPH/edges/TYPE.indices.npy     int32 [edges], sorted within a row
    GRAPH/changes.jsonl, decisions/  append-only: added concepts, weights, prune runs (see `overlay.py`)

Tables are read when first used and CSR arrays are memory-mapped. What people added comes after the built nodes:
node numbers never change within a build.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .errors import GraphError
from .fold import fold
from .overlay import Overlay, read_overlay

FORMAT = 1
HYPERLINK, IS_A = "hyperlink", "is_a"
EDGE_TYPES = (HYPERLINK, IS_A)
KINDS = ("article", "category", "disambiguation", "list", "date", "maintenance", "concept")
#: Which of several nodes of one name is meant first.
_KIND_ORDER = {"concept": 0, "article": 0, "category": 1}

NODES = pa.schema(
    [
        ("name", pa.string()),
        ("lang", pa.string()),
        ("wikidata", pa.string()),
        ("page_id", pa.int64()),
        ("kind", pa.string()),
        ("has_image", pa.bool_()),
        ("pagerank", pa.float64()),
        ("links_in", pa.int32()),
        ("links_out", pa.int32()),
        ("origin", pa.string()),
    ]
)
ALIASES = pa.schema(
    [
        ("folded", pa.string()),
        ("text", pa.string()),
        ("lang", pa.string()),
        ("node", pa.int64()),
        (
            "source",
            pa.string(),
        ),  # title, redirect, section (a redirect into part of a page), label, user, tag
    ]
)


@dataclass(frozen=True)
class Tree:
    """A forest over all nodes. `parent`: int64 [n], -1 for roots and for nodes that are not kept; acyclic."""

    parent: np.ndarray


class Graph:
    """A built graph with what people decided on top. Read-only; `upkeep` and `prune` change it.

    Attributes:
        path: its directory. meta: `graph.json`. n: nodes, added concepts included. n_built: built ones.
    """

    def __init__(self, path: Path, meta: dict[str, Any]):
        self.path, self.meta = path, meta
        self.n_built = int(meta["counts"]["nodes"])
        self.build: str = meta["build"]
        self._csr: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._reverse: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    @classmethod
    def open(cls, path: str | Path) -> Graph:
        """Raises GraphError: no graph there, or one of a newer format."""
        path = Path(path)
        file = path / "graph.json"
        if not file.is_file():
            raise GraphError(f"{path}: no graph here (graph.json is missing); make one: zcurate graph build")
        try:
            meta = json.loads(file.read_text(encoding="utf-8"))
            known = meta["format"] == FORMAT and meta["build"] and meta["counts"]["nodes"] >= 0
        except (ValueError, KeyError, TypeError):
            raise GraphError(f"{file}: not a graph description; build the graph again") from None
        if not known:
            raise GraphError(f"{file}: format {meta['format']} is not {FORMAT}; use a matching zcurate")
        return cls(path, meta)

    @cached_property
    def overlay(self) -> Overlay:
        return read_overlay(self)

    @property
    def version(self) -> int:
        """Of the build, plus one per change since."""
        return int(self.meta["version"]) + self.overlay.changes

    @property
    def n(self) -> int:
        return self.n_built + len(self.overlay.added)

    def built_column(self, name: str) -> pa.ChunkedArray:
        """One column of the built nodes, without reading the others."""
        return pq.read_table(self.path / "nodes.parquet", columns=[name], memory_map=True)[name].cast(
            NODES.field(name).type
        )

    @cached_property
    def nodes(self) -> pa.Table:
        """All nodes, added concepts last; columns of `NODES`."""
        built = pq.read_table(self.path / "nodes.parquet", memory_map=True).select(NODES.names).cast(NODES)
        return self.overlay.with_nodes(built)

    @cached_property
    def aliases(self) -> pa.Table:
        """All aliases sorted by `folded` (code point order), those of added concepts included."""
        built = pq.read_table(self.path / "aliases.parquet", memory_map=True).select(ALIASES.names)
        built, extra = built.cast(ALIASES), self.overlay.alias_table(ALIASES)
        return pa.concat_tables([built, extra]).sort_by("folded") if extra.num_rows else built

    @cached_property
    def pagerank(self) -> np.ndarray:
        """float64 [n], sum 1; 0 for categories and added concepts, which nothing links to."""
        return np.r_[self.built_column("pagerank").to_numpy(), np.zeros(len(self.overlay.added))]

    def csr(self, edge_type: str) -> tuple[np.ndarray, np.ndarray]:
        """(indptr int64 [n + 1], indices [edges]) by source. Memory-mapped unless people added edges of the type."""
        if edge_type not in EDGE_TYPES:
            raise GraphError(f"no edges of type {edge_type!r}; there are {', '.join(EDGE_TYPES)}")
        if edge_type not in self._csr:
            base = self.path / "edges" / edge_type
            indptr = np.load(f"{base}.indptr.npy", mmap_mode="r", allow_pickle=False)
            indices = np.load(f"{base}.indices.npy", mmap_mode="r", allow_pickle=False)
            self._csr[edge_type] = self.overlay.with_edges(edge_type, indptr, indices)
        return self._csr[edge_type]

    def reverse_csr(self, edge_type: str) -> tuple[np.ndarray, np.ndarray]:
        """The same edges by target; computed once and held in memory."""
        if edge_type not in self._reverse:
            from .csr import transpose

            self._reverse[edge_type] = transpose(*self.csr(edge_type))
        return self._reverse[edge_type]

    def _row(self, csr: tuple[np.ndarray, np.ndarray], node: int) -> list[int]:
        if not 0 <= node < self.n:
            raise GraphError(f"{self.path}: there is no node {node}; numbers run from 0 to {self.n - 1}")
        return [int(v) for v in csr[1][csr[0][node] : csr[0][node + 1]]]

    def parents(self, node: int) -> list[int]:
        return self._row(self.csr(IS_A), node)

    def children(self, node: int) -> list[int]:
        return self._row(self.reverse_csr(IS_A), node)

    def neighbors(self, node: int) -> list[int]:
        """Nodes this one links to, itself left out."""
        return [v for v in self._row(self.csr(HYPERLINK), node) if v != node]

    def find(self, text: str) -> list[int]:
        """Nodes with that alias: concepts and articles before categories before the rest, then by PageRank."""
        key = fold(text)
        if "aliases" in self.__dict__:
            at = self._alias_range(key)
            found = self.aliases["node"].slice(at[0], at[1] - at[0]).to_pylist()
        else:  # row groups are sorted, so that only one or two of them are read
            rows = pq.read_table(
                self.path / "aliases.parquet", columns=["node"], filters=[("folded", "==", key)]
            )
            found = rows["node"].to_pylist() + self.overlay.find(key)
        return self.ranked(found)

    def ranked(self, nodes: list[int]) -> list[int]:
        """Distinct nodes in the order of `find`."""
        unique = sorted(set(nodes))
        kinds = dict(
            zip(unique, self.nodes["kind"].take(pa.array(unique, pa.int64())).to_pylist(), strict=True)
        )
        return sorted(unique, key=lambda v: (_KIND_ORDER.get(kinds[v], 2), -self.pagerank[v], v))

    def _alias_range(self, key: str) -> tuple[int, int]:
        column, bounds = self.aliases["folded"], []
        for after in (False, True):
            low, high = 0, len(column)
            while low < high:
                middle = (low + high) // 2
                value = column[middle].as_py()
                if value < key or (after and value == key):
                    low = middle + 1
                else:
                    high = middle
            bounds.append(low)
        return bounds[0], bounds[1]

    @cached_property
    def kept(self) -> np.ndarray:
        """bool [n]: not dropped by the newest prune run, and not an added concept that was undone."""
        return self.overlay.kept(self.n_built)

    @cached_property
    def weight(self) -> np.ndarray:
        """float64 [n] > 0: prior of each concept; see `upkeep` for the formula. 1 where nobody said anything."""
        return self.overlay.weight(self.n_built)

    def hierarchy(self) -> Tree:
        """A spanning forest of is-a over kept nodes.

        Of several kept parents the one of highest PageRank is taken; among equals the one with the fewest children,
        which is the most specific; then the lowest number.
        """
        indptr, indices = self.csr(IS_A)
        source = np.repeat(np.arange(self.n), np.diff(indptr))
        target = np.asarray(indices).astype(np.int64)
        use = self.kept[source] & self.kept[target]
        source, target = source[use], target[use]
        children = np.bincount(target, minlength=self.n)
        order = np.lexsort((-target, -children[target], self.pagerank[target]))
        parent = np.full(self.n, -1, np.int64)
        parent[source[order]] = target[order]  # the last, best one stays
        return Tree(parent)

    def labels(self, nodes: list[int]) -> list[str]:
        return self.nodes["name"].take(pa.array(nodes, pa.int64())).to_pylist()

    def resolve(self, concept: str) -> int:
        """The node of a name, alias, Q-id or number (`#12`). Raises GraphError when there is none."""
        if concept.startswith("#") and concept[1:].isdigit() and int(concept[1:]) < self.n:
            return int(concept[1:])
        if concept[:1] == "Q" and concept[1:].isdigit():
            at = pc.index(self.nodes["wikidata"], concept).as_py()
            if at >= 0:
                return at
        found = self.find(concept)
        if not found:
            raise GraphError(f"{self.path}: no concept {concept!r}; add it: zcurate graph add")
        return found[0]
