"""What people changed since a graph was built, folded from its journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from . import journal
from .errors import GraphError
from .fold import fold

if TYPE_CHECKING:
    from .store import Graph


@dataclass(frozen=True)
class Added:
    """A concept that was added. `alive`: the addition was not undone. `parents`: nodes."""

    name: str
    lang: str
    kind: str
    origin: str
    aliases: tuple[tuple[str, str, str], ...]  # (text, language, source)
    parents: tuple[int, ...]
    alive: bool


@dataclass
class Overlay:
    """The standing changes of one graph.

    Attributes:
        changes: events since the build, undone ones and undos included.
        added: in order; number = built nodes + position. Undone ones keep their number.
        renamed: node -> new name. manual: node -> weight people set. manual_event: node -> the change that set it.
        prompts: standing prompt events. prompt_nodes: of each, (nodes, prompts that name them).
        pruned: Parquet file of the newest prune run.
        unresolved: concepts that changes of an earlier build speak of and this one lacks.
    """

    changes: int
    n_built: int
    added: list[Added] = field(default_factory=list)
    renamed: dict[int, str] = field(default_factory=dict)
    new_aliases: list[tuple[str, str, str, int]] = field(default_factory=list)
    manual: dict[int, float] = field(default_factory=dict)
    manual_event: dict[int, int] = field(default_factory=dict)
    prompts: list[dict[str, Any]] = field(default_factory=list)
    prompt_nodes: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    pruned: Path | None = None
    folder: Path = Path()
    unresolved: list[dict[str, Any]] = field(default_factory=list)

    def with_nodes(self, built: pa.Table) -> pa.Table:
        """The node table with added concepts and new names."""
        if self.added:
            empty = [None] * len(self.added)
            rows = {
                "name": [a.name for a in self.added],
                "lang": [a.lang for a in self.added],
                "kind": [a.kind for a in self.added],
                "origin": [a.origin for a in self.added],
                "pagerank": [0.0] * len(self.added),
                "links_in": [0] * len(self.added),
                "links_out": [0] * len(self.added),
            }
            columns = [pa.array(rows.get(f.name, empty), f.type) for f in built.schema]
            built = pa.concat_tables([built, pa.table(columns, schema=built.schema)])
        if self.renamed:
            at = sorted(self.renamed)
            mask = np.zeros(built.num_rows, bool)
            mask[at] = True
            names = pa.array([self.renamed[v] for v in at], pa.string())
            column = pc.replace_with_mask(built["name"].combine_chunks(), mask, names)
            built = built.set_column(built.schema.get_field_index("name"), "name", column)
        return built

    @cached_property
    def _alias_rows(self) -> list[tuple[str, str, str, int, str]]:
        rows = [(fold(t), t, lang, node, source) for t, lang, source, node in self.new_aliases]
        for i, a in enumerate(self.added):
            if a.alive:
                rows += [(fold(t), t, lang, self.n_built + i, source) for t, lang, source in a.aliases]
        return sorted(row for row in rows if row[0])

    def alias_table(self, schema: pa.Schema) -> pa.Table:
        columns = list(zip(*self._alias_rows, strict=True)) or [[]] * len(schema)
        return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)

    def find(self, folded: str) -> list[int]:
        return [row[3] for row in self._alias_rows if row[0] == folded]

    def with_edges(
        self, edge_type: str, indptr: np.ndarray, indices: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """CSR with rows for added concepts; only is-a has edges there. Parents come from older nodes: acyclic."""
        if not self.added:
            return indptr, indices
        parents = [sorted(set(a.parents)) if a.alive and edge_type == "is_a" else [] for a in self.added]
        more = np.cumsum([len(p) for p in parents])
        indptr = np.r_[indptr, indptr[-1] + more]
        extra = np.array([p for ps in parents for p in ps], indices.dtype)
        return indptr, np.concatenate([indices, extra]) if len(extra) else indices

    def kept(self, n_built: int) -> np.ndarray:
        """bool [n]; concepts added after the newest prune run are kept."""
        alive = np.array([a.alive for a in self.added], bool)
        kept = np.ones(n_built + len(alive), bool)
        if self.pruned is not None:
            judged = pq.read_table(self.pruned, columns=["keep"])["keep"].to_numpy()
            if not n_built <= len(judged) <= len(kept):
                raise GraphError(f"{self.pruned}: {len(judged)} rows for {n_built} nodes; prune again")
            kept[: len(judged)] = judged
        kept[n_built:] &= alive
        return kept

    def weight(self, n_built: int) -> np.ndarray:
        from .upkeep import prompt_weights

        weight = prompt_weights(self, n_built + len(self.added))
        for node, value in self.manual.items():
            weight[node] = value
        return weight


def reference(graph: Graph, node: int) -> dict[str, Any]:
    """A node as the journal names it: survives a new build of the graph."""
    row = graph.nodes.slice(node, 1).to_pylist()[0]
    return {"node": node, "name": row["name"], "lang": row["lang"], "wikidata": row["wikidata"]}


class _Resolver:
    """Nodes of references; those of another build are looked up by Wikidata id, then by language and name."""

    def __init__(self, graph: Graph):
        self._graph = graph

    @cached_property
    def _tables(self) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
        wikidata, names, langs = (
            self._graph.built_column(c).to_pylist() for c in ("wikidata", "name", "lang")
        )
        by_id = {q: i for i, q in enumerate(wikidata) if q}
        return by_id, {key: i for i, key in reversed(list(enumerate(zip(langs, names, strict=True))))}

    def __call__(self, ref: dict[str, Any], build: str, added: dict[tuple[str, str], int]) -> int | None:
        if build == self._graph.build:
            return int(ref["node"])
        by_id, by_name = self._tables
        key = (ref["lang"], ref["name"])
        return by_id.get(ref["wikidata"], by_name.get(key, added.get(key)))


def read_overlay(graph: Graph) -> Overlay:
    """The state that the journal of a graph leads to. Raises GraphError: a damaged journal."""
    events = journal.read(graph.path / journal.CHANGES)
    overlay = Overlay(sum(e.get("build") == graph.build for e in events), graph.n_built, folder=graph.path)
    standing = {e["id"] for e in journal.standing(events)}
    resolve, by_name = _Resolver(graph), {}
    for e in events:
        alive = e["id"] in standing
        if e["event"] == "add":
            parents = [resolve(p, e["build"], by_name) for p in e["parents"]]
            overlay.unresolved += [p for p, v in zip(e["parents"], parents, strict=True) if v is None]
            overlay.added.append(
                Added(
                    name=e["name"],
                    lang=e["lang"],
                    kind=e["kind"],
                    origin=e["origin"],
                    aliases=tuple((text, lang, source) for text, lang, source in e["aliases"]),
                    parents=tuple(p for p in parents if p is not None),
                    alive=alive,
                )
            )
            by_name[(e["lang"], e["name"])] = graph.n_built + len(overlay.added) - 1
        elif alive and e["event"] in ("weight", "rename"):
            node = resolve(e["concept"], e["build"], by_name)
            if node is None:
                overlay.unresolved.append(e["concept"])
            elif e["event"] == "weight":
                overlay.manual[node], overlay.manual_event[node] = float(e["weight"]), e["id"]
            else:
                overlay.renamed[node] = e["name"]
                overlay.new_aliases.append((e["name"], e["lang"], "label", node))
        elif alive and e["event"] == "prompts":
            overlay.prompts.append(e)
            overlay.prompt_nodes.append(_prompt_nodes(graph, e, resolve, by_name))
        elif alive and e["event"] == "prune" and e["build"] == graph.build:
            overlay.pruned = graph.path / e["file"]
    return overlay


def _prompt_nodes(
    graph: Graph, event: dict[str, Any], resolve: _Resolver, added: dict[tuple[str, str], int]
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of a prompt file by node of this build."""
    table = pq.read_table(graph.path / event["counts"])
    nodes, prompts = table["node"].to_numpy(), table["prompts"].to_numpy()
    if event["build"] != graph.build:
        found = [resolve(row, event["build"], added) for row in table.to_pylist()]
        nodes = np.array([-1 if v is None else v for v in found], np.int64)
    return nodes[nodes >= 0], prompts[nodes >= 0]
