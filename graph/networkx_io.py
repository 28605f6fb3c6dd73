"""To and from NetworkX, for graphs and neighborhoods small enough for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from . import csr
from .errors import GraphError
from .fold import fold
from .pagerank import pagerank
from .store import ALIASES, EDGE_TYPES, HYPERLINK, IS_A, KINDS, NODES, Graph
from .writing import write_graph

if TYPE_CHECKING:
    import networkx

MAX_NODES = 200_000
ALIAS = "alias"
_ATTRIBUTES = ("name", "lang", "wikidata", "kind", "has_image", "pagerank")


def neighborhood(graph: Graph, nodes: Iterable[int], hops: int = 1, limit: int = 2_000) -> list[int]:
    """Nodes within some hops over both types of edges in both directions, nearest first, at most `limit`."""
    found = dict.fromkeys(nodes)
    edge = list(found)
    tables = [t for kind in EDGE_TYPES for t in (graph.csr(kind), graph.reverse_csr(kind))]
    for _ in range(hops):
        reached: dict[int, None] = {}
        for v in edge:
            for indptr, indices in tables:
                reached |= dict.fromkeys(int(u) for u in indices[indptr[v] : indptr[v + 1]])
        edge = sorted((u for u in reached if u not in found), key=lambda u: (-graph.pagerank[u], u))
        edge = edge[: limit - len(found)]
        found |= dict.fromkeys(edge)
    return list(found)[:limit]


def to_networkx(
    graph: Graph,
    nodes: Sequence[int] | None = None,
    types: Sequence[str] = EDGE_TYPES,
    aliases: bool = False,
) -> networkx.MultiDiGraph:
    """The subgraph of some nodes (default: all), with node numbers as keys.

    Edge keys and attribute `relation` are hyperlink, is_a or alias; with `aliases`, every alias is a node
    `alias:TEXT` with an edge to its concept.

    Raises:
        GraphError: more than `MAX_NODES` nodes.
    """
    import networkx as nx

    wanted = range(graph.n) if nodes is None else sorted(set(nodes))
    if len(wanted) > MAX_NODES:
        raise GraphError(f"{len(wanted)} nodes are too many for NetworkX; take a neighborhood (--around)")
    out = nx.MultiDiGraph(name=str(graph.path.name), version=graph.version)
    numbers = np.array(wanted, np.int64)
    rows = graph.nodes.select(list(_ATTRIBUTES)).take(pa.array(numbers)).to_pylist()
    weight, kept = graph.weight, graph.kept
    for v, row in zip(numbers.tolist(), rows, strict=True):
        # GraphML has no null.
        known = {k: x for k, x in row.items() if x is not None}
        out.add_node(v, **known, weight=float(weight[v]), kept=bool(kept[v]))
    inside = np.zeros(graph.n, bool)
    inside[numbers] = True
    for kind in types:
        indptr, indices = graph.csr(kind)
        for v in numbers.tolist():
            ends = indices[indptr[v] : indptr[v + 1]]
            out.add_edges_from((v, int(u), kind, {"relation": kind}) for u in ends[inside[ends]])
    if aliases:
        table = graph.aliases.filter(inside[np.asarray(graph.aliases["node"])])
        for a in table.to_pylist():
            key = f"alias:{a['text']}"
            out.add_node(key, name=a["text"], lang=a["lang"], kind=ALIAS)
            out.add_edge(key, a["node"], ALIAS, relation=ALIAS, source=a["source"])
    return out


def from_networkx(
    source: networkx.Graph, path: str | Path, lang: str = "en", origin: str = "networkx"
) -> Graph:
    """Write a graph of a NetworkX one; PageRank is computed anew.

    Edges of attribute `relation` (or `type`, or key) is_a and alias are such; all others are hyperlinks. A node's name is its
    attribute `name`, else its key. Undirected edges count both ways.

    Raises:
        GraphError: is-a cycles, or something at `path` already.
    """
    from .categories import is_acyclic

    keys = [k for k, d in source.nodes(data=True) if d.get("kind") != ALIAS]
    number = {k: i for i, k in enumerate(keys)}
    pairs: dict[str, list[tuple[int, int]]] = {kind: [] for kind in EDGE_TYPES}
    names = [str(source.nodes[k].get("name", k)) for k in keys]
    aliases = [
        (t, source.nodes[k].get("lang", lang), number[k], "title") for k, t in zip(keys, names, strict=True)
    ]
    directed = source.to_directed(as_view=True)
    for edge in (
        directed.edges(keys=True, data=True) if directed.is_multigraph() else directed.edges(data=True)
    ):
        start, end, data = edge[0], edge[1], edge[-1]
        kind = data.get("relation", data.get("type", edge[2] if len(edge) == 4 else HYPERLINK))
        if kind == ALIAS:
            text = str(source.nodes[start].get("name", start))
            aliases.append(
                (text, source.nodes[start].get("lang", lang), number[end], data.get("source", "label"))
            )
        else:
            pairs[IS_A if kind == IS_A else HYPERLINK].append((number[start], number[end]))
    n = len(keys)
    edges = {}
    for kind, ends in pairs.items():
        array = np.array(ends, np.int64).reshape(-1, 2)
        edges[kind] = csr.from_pairs(array[:, 0], array[:, 1], n)
    if not is_acyclic(*edges[IS_A]):
        raise GraphError("the is_a edges have a cycle; remove it: an edge leads from a child to its parent")
    given = [source.nodes[k] for k in keys]
    kinds = [d.get("kind", "article") if d.get("kind", "article") in KINDS else "article" for d in given]
    links = edges[HYPERLINK]
    degree = np.bincount(links[1], minlength=n) + np.diff(links[0])
    members = np.array([k != "category" for k in kinds], bool) | (degree > 0)
    columns = {
        "name": names,
        "lang": [d.get("lang", lang) for d in given],
        "wikidata": [d.get("wikidata") for d in given],
        "page_id": [None] * n,
        "kind": kinds,
        "has_image": [d.get("has_image") for d in given],
        "pagerank": pagerank(*links, members).scores,
        "links_in": np.bincount(links[1], minlength=n),
        "links_out": np.diff(links[0]),
        "origin": [origin] * n,
    }
    nodes = pa.table({f.name: pa.array(columns[f.name], f.type) for f in NODES})
    rows = [
        dict(zip(ALIASES.names, (fold(text), text, language, node, origin_of), strict=True))
        for text, language, node, origin_of in dict.fromkeys(aliases)
        if fold(text)
    ]
    table = pa.Table.from_pylist(rows, schema=ALIASES)
    return write_graph(path, nodes, table, edges, sorted({lang, *columns["lang"]}), [{"file": origin}], {})
