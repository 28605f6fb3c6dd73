"""Everything about one concept."""

from __future__ import annotations

from typing import Any

import numpy as np

from .store import HYPERLINK, Graph
from .upkeep import prompt_counts


def show(
    graph: Graph, concept: str, limit: int = 20, data_counts: dict[str, int] | None = None
) -> dict[str, Any]:
    """Facts about a concept, JSON-able.

    Args:
        concept: name, alias, Q-id or `#NUMBER`. limit: entries per list, highest PageRank first.
        data_counts: folded concept name -> images of a dataset; the aliases' counts are added up.

    Raises:
        GraphError: no such concept.
    """
    node = graph.resolve(concept)
    row = graph.nodes.slice(node, 1).to_pylist()[0]
    aliases = graph.aliases.filter(np.asarray(graph.aliases["node"]) == node)
    reverse = graph.reverse_csr(HYPERLINK)
    linked_from = reverse[1][reverse[0][node] : reverse[0][node + 1]].tolist()
    tree = graph.hierarchy()
    path, above = [], int(tree.parent[node])
    while above >= 0:
        path.append(above)
        above = int(tree.parent[above])
    counts, prompts = prompt_counts(graph.overlay, graph.n)
    rank = int((graph.pagerank > graph.pagerank[node]).sum()) + 1
    facts = {
        "node": node,
        **{k: row[k] for k in ("name", "lang", "wikidata", "kind", "page_id", "has_image", "origin")},
        "pagerank": float(graph.pagerank[node]),
        "pagerank_rank": rank,
        "nodes": graph.n,
        "links_in": row["links_in"],
        "links_out": row["links_out"],
        "kept": bool(graph.kept[node]),
        "judged": _judged(graph, node),
        "weight": float(graph.weight[node]),
        "weight_set": graph.overlay.manual.get(node),
        "prompts": {"named_by": int(counts[node]), "of": prompts},
        "aliases": [{k: a[k] for k in ("text", "lang", "source")} for a in aliases.to_pylist()],
        "parents": _named(graph, graph.parents(node), limit),
        "path": graph.labels(path[::-1]),
        "children": _named(graph, graph.children(node), limit),
        "neighbors": _named(graph, graph.neighbors(node), limit),
        "linked_from": _named(graph, linked_from, limit),
        "also_named_so": _named(graph, [v for v in graph.find(concept) if v != node], limit),
        "data_count": None,
    }
    if data_counts is not None:
        names = set(aliases["folded"].to_pylist())
        facts["data_count"] = sum(data_counts.get(name, 0) for name in names)
    return facts


def _judged(graph: Graph, node: int) -> dict[str, str] | None:
    """Method and reason of the newest prune run, if it knew the node."""
    if graph.overlay.pruned is None:
        return None
    from .prune import read_run

    run = read_run(graph)
    if node >= run.num_rows:
        return None
    return {k: run[k][node].as_py() for k in ("method", "reason")}


def _named(graph: Graph, nodes: list[int], limit: int) -> dict[str, Any]:
    best = sorted(nodes, key=lambda v: (-graph.pagerank[v], v))[:limit]
    shown = [
        {"node": v, "name": name, "pagerank": float(graph.pagerank[v])}
        for v, name in zip(best, graph.labels(best), strict=True)
    ]
    return {"count": len(nodes), "first": shown}
