"""Community engines on one graph: seconds, modularity, and whether a second run gives the same communities.

    python benchmarks/communities.py                       # 200,000 nodes, 5,000,000 edges
    python benchmarks/communities.py --quick               # 20,000 nodes, 300,000 edges
    python benchmarks/communities.py --nodes 50000 --edges 1000000 --engines networkit igraph

The graph is like a k-NN graph of pictures: groups of 20 to 400 nodes, of whose edges 0.3 % lead
elsewhere. All engines get the same arrays, on one thread; their time includes making their own graph
of them. Engines are run twice with one seed; seconds are the less of the two. `planted` is the modularity
of the groups the graph was made of.

The second table is about completed components, where every pair counts: leidenalg and the compiled CPM of the
dedup on the same vectors, with the quality CPM maximizes. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

import numpy as np

from zcurate.curation.neighbors.complete import complete
from zcurate.curation.neighbors.cpm import leiden_cpm
from zcurate.curation.neighbors.exact import Edges, undirected
from zcurate.curation.neighbors.hierarchy import connected, modularity
from zcurate.curation.neighbors.leiden import cpm_leidenalg, modularity_igraph, modularity_leidenalg
from zcurate.curation.neighbors.networkit_engine import modularity_networkit

ENGINES = {
    "leidenalg": modularity_leidenalg,
    "igraph": modularity_igraph,
    "networkit": modularity_networkit,
}
_TAU = 0.9


def planted_graph(nodes: int, edges: int, seed: int) -> tuple[Edges, np.ndarray]:
    """A graph with groups, and the group of each node, in a random order."""
    rng = np.random.default_rng(seed)
    bounds = [0]
    while bounds[-1] < nodes:
        bounds.append(min(nodes, bounds[-1] + int(rng.integers(20, 401))))
    start = np.array(bounds)
    size = np.diff(start)
    group = np.repeat(np.arange(len(size)), size)
    # pairs drawn twice and self pairs fall out, so draw some more
    src = rng.integers(0, nodes, int(edges * 1.35))
    dst = start[group[src]] + (rng.random(len(src)) * size[group[src]]).astype(np.int64)
    away = rng.random(len(src)) < 0.003
    dst[away] = rng.integers(0, nodes, int(away.sum()))
    near = group[src] == group[dst]
    cos = np.where(near, rng.uniform(0.7, 0.95, len(src)), rng.uniform(0.4, 0.7, len(src)))
    name = rng.permutation(nodes)
    found = undirected(name[src], name[dst], cos)
    chosen = np.sort(rng.permutation(len(found))[:edges])
    of_name = np.empty(nodes, np.int64)
    of_name[name] = group
    return Edges(found.src[chosen], found.dst[chosen], found.cos[chosen]), of_name


def timed(function: Callable[[], np.ndarray]) -> tuple[float, np.ndarray, bool]:
    """Seconds of the quicker of two calls, the first result, and whether the second is the same."""
    results, seconds = [], []
    for _ in range(2):
        started = time.perf_counter()
        results.append(function())
        seconds.append(time.perf_counter() - started)
    return min(seconds), results[0], bool(np.array_equal(*results))


def modularity_table(nodes: int, edges: int, engines: list[str], seed: int) -> dict[str, dict[str, object]]:
    graph, group = planted_graph(nodes, edges, seed)
    small = np.flatnonzero((graph.src < 2_000) & (graph.dst < 2_000))
    warm = Edges(graph.src[small], graph.dst[small], graph.cos[small])
    planted = modularity(graph, group, nodes)
    print(
        f"{nodes:,} nodes, {len(graph):,} edges, {group.max() + 1:,} groups, modularity planted {planted:.4f}"
    )
    print(
        f"  {'engine':<12}{'seconds':>9}{'modularity':>12}{'communities':>13}{'disconnected':>14}"
        "  same on rerun"
    )
    figures: dict[str, dict[str, object]] = {}
    for name in engines:
        ENGINES[name](warm, 2_000, 1.0, seed)  # imports
        seconds, labels, same = timed(lambda name=name: ENGINES[name](graph, nodes, 1.0, seed))
        _, disconnected = connected(labels, graph, nodes)
        q = modularity(graph, labels, nodes)
        count = len(np.unique(labels))
        answer = "yes" if same else "no"
        print(f"  {name:<12}{seconds:>9.2f}{q:>12.4f}{count:>13,}{disconnected:>14}  {answer}", flush=True)
        figures[name] = {
            "seconds": round(seconds, 3),
            "modularity": round(q, 5),
            "communities": count,
            "disconnected": disconnected,
            "same_on_rerun": same,
        }
    return figures


def component(members: int, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors of overlapping groups of near-copies, connected at the threshold."""

    def around(centers: np.ndarray, spread: float) -> np.ndarray:
        x = centers + spread * rng.standard_normal(centers.shape) / np.sqrt(centers.shape[1])
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    center = around(np.eye(128)[:1], 0.0)
    return around(np.repeat(around(np.repeat(center, members // 10, 0), 0.25), 10, 0), 0.25)


def cpm_table(sizes: list[int], seed: int) -> dict[str, dict[str, float]]:
    rng = np.random.default_rng(seed)
    print(
        f"\ncompleted components, CPM at {_TAU}: seconds, quality (sum of cosine - {_TAU} inside communities)"
    )
    print(f"  {'members':<9}{'pairs':>11}  {'leidenalg':>22}  {'compiled':>22}")
    figures = {}
    for members in [20, *sizes]:  # the first compiles
        graph = complete(component(members, rng), _TAU, _TAU - 0.1)
        pairs = graph.sizes[graph.src] * graph.sizes[graph.dst]
        weight, gamma = graph.weight - graph.absent * pairs, _TAU - graph.absent
        arguments = (len(graph.sizes), graph.src, graph.dst, weight, graph.sizes, gamma, seed)
        line = {}
        for name, engine in (("leidenalg", cpm_leidenalg), ("compiled", leiden_cpm)):
            started = time.perf_counter()
            labels = engine(*arguments)
            line[f"{name}_s"] = round(time.perf_counter() - started, 4)
            inside = labels[graph.src] == labels[graph.dst]
            load = np.bincount(labels, graph.sizes)
            lone = np.bincount(labels, graph.sizes.astype(float) ** 2)
            line[f"{name}_quality"] = round(
                float(weight[inside].sum() - gamma * ((load**2 - lone) / 2).sum()), 4
            )
        if members != 20:
            cells = "".join(
                f"  {line[f'{n}_s']:>9.3f} s{line[f'{n}_quality']:>11.2f}" for n in ("leidenalg", "compiled")
            )
            print(f"  {members:<9,}{len(pairs):>11,}{cells}", flush=True)
            figures[str(members)] = line
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=200_000)
    parser.add_argument("--edges", type=int, default=5_000_000)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--quick", action="store_true", help="20,000 nodes, 300,000 edges, smaller components"
    )
    arguments = parser.parse_args()
    nodes, edges = (20_000, 300_000) if arguments.quick else (arguments.nodes, arguments.edges)
    print(f"{len(os.sched_getaffinity(0))} CPUs")
    figures = modularity_table(nodes, edges, arguments.engines, arguments.seed)
    cpm = cpm_table([100, 250] if arguments.quick else [100, 250, 500, 1_000, 2_000], arguments.seed)
    print(json.dumps({"nodes": nodes, "edges": edges, "engines": figures, "cpm": cpm}))


if __name__ == "__main__":
    main()
