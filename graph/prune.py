"""Pruning: which nodes are concepts worth balancing by. Nothing is deleted; a run writes a decision per node.

Protected nodes are always kept: those people added or gave a weight, those that user prompts name, and those of a
list. Of the rest, what is no concept goes first (see `visual_rules`), then what hardly anything refers to
(PageRank, per language), then what cannot be shown: asked of a VLM, or by rule where there is none.
`decisions/prune-NNNN.parquet` has for each node `keep`, the `method` that judged it (protected, rule, centrality,
vlm) and its `reason`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from . import journal, visual_rules, visual_vlm
from .errors import GraphError
from .journal import Author
from .store import IS_A, Graph
from .upkeep import prompt_counts, record

PROTECTED, RULE, CENTRALITY, VLM = "protected", "rule", "centrality", "vlm"


@dataclass(frozen=True)
class Settings:
    """Attributes:
    quantile: this share of the articles of each language goes, those of lowest PageRank; 0 = none.
    mass: instead, articles are kept from the top until they hold this share of PageRank; None = no such cut.
        Of equal PageRank (all that nothing links to), those with fewer links out go first, then later pages.
    require_image: without a VLM, drop articles known to have no page image.
    """

    quantile: float = 0.0
    mass: float | None = None
    require_image: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.quantile < 1:
            raise GraphError(f"quantile {self.quantile} must lie in 0..1")
        if self.mass is not None and not 0 < self.mass <= 1:
            raise GraphError(f"mass {self.mass} must lie above 0 and at most 1")
        if self.mass is not None and self.quantile:
            raise GraphError("--quantile and --mass exclude each other")


@dataclass(frozen=True)
class Pruned:
    """`keep`: bool [n]. `method`, `reason`: per node. `counts`: (method, keep) -> nodes."""

    keep: np.ndarray
    method: np.ndarray
    reason: np.ndarray
    counts: dict[str, int] = field(default_factory=dict)
    file: str = ""


def prune(
    graph: Graph,
    settings: Settings,
    author: Author,
    protect: Sequence[int] = (),
    engine: visual_vlm.TextEngine | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Pruned:
    """Judge all nodes and record it as the newest prune run. Open the graph again to see it.

    Args:
        protect: nodes that stay whatever is said of them. engine: asked about what rules and centrality left.

    Raises:
        GraphError: settings or nodes out of range. Whatever the engine raises; its answers so far are kept.
    """
    n = graph.n
    keep, reasons = visual_rules.judge(graph, settings.require_image and engine is None)
    method = np.full(n, RULE, dtype=object)
    reason = np.array(reasons.to_pylist(), dtype=object)
    if engine is not None:
        # The model decides on what is abstract; rules only on what is no concept at all.
        abstract = np.isin(reason.astype(str), ["abstract by title", "abstract by category"])
        keep = keep | abstract
    articles = pc.is_in(graph.nodes["kind"], value_set=pa.array(["article"])).to_numpy()
    low = _low_ranked(graph, keep & articles, settings)
    keep, method[low], reason[low] = keep & ~low, CENTRALITY, "PageRank below the cut"
    shielded = _protected(graph, protect)
    for node, why in shielded.items():
        keep[node], method[node], reason[node] = True, PROTECTED, why
    if engine is not None:
        ask = keep & articles & (method != PROTECTED)
        asked = [_concept(graph, int(v)) for v in np.flatnonzero(ask)]
        tell(f"asking {engine.model} about {len(asked):,} concepts")
        ruled, _ = visual_rules.judge(graph, settings.require_image)
        for node, verdict in visual_vlm.judge(graph.path, asked, engine):
            if verdict.visual is None:
                keep[node] = ruled[node]
                reason[node] = f"{reason[node]} (no readable answer of {verdict.model})"
            else:
                keep[node], method[node] = verdict.visual, VLM
                reason[node] = verdict.reason or ("yes" if verdict.visual else "no")
    counts = Counter(f"{m}: {'kept' if k else 'dropped'}" for m, k in zip(method, keep, strict=True))
    return _write(graph, Pruned(keep, method, reason, dict(sorted(counts.items()))), settings, author, engine)


def read_run(graph: Graph) -> pa.Table:
    """The newest standing run: keep, method, reason per node. Raises GraphError: there is none."""
    if graph.overlay.pruned is None:
        raise GraphError(f"{graph.path}: not pruned yet; run: zcurate graph prune")
    return pq.read_table(graph.overlay.pruned)


def _low_ranked(graph: Graph, candidates: np.ndarray, settings: Settings) -> np.ndarray:
    """bool [n]: below the cut, per language."""
    low = np.zeros(graph.n, bool)
    if not settings.quantile and settings.mass is None:
        return low
    coded = pc.dictionary_encode(graph.nodes["lang"].combine_chunks())
    language = coded.indices.to_numpy()
    links_out = graph.nodes["links_out"].to_numpy()
    for code in np.unique(language[candidates]):
        nodes = np.flatnonzero(candidates & (language == code))
        nodes = nodes[np.lexsort((-nodes, links_out[nodes], graph.pagerank[nodes]))]
        if settings.mass is None:
            gone = int(settings.quantile * len(nodes))
        else:
            held = np.cumsum(graph.pagerank[nodes][::-1])
            gone = len(nodes) - 1 - int(np.searchsorted(held, settings.mass * held[-1] * (1 - 1e-12)))
        low[nodes[:gone]] = True
    return low


def _protected(graph: Graph, protect: Sequence[int]) -> dict[int, str]:
    shielded = {}
    counts, _ = prompt_counts(graph.overlay, graph.n)
    for node in np.flatnonzero(counts):
        shielded[int(node)] = "named by user prompts"
    for node in protect:
        if not 0 <= node < graph.n:
            raise GraphError(f"{graph.path}: there is no node {node} to protect")
        shielded[int(node)] = "on the protected list"
    for node in graph.overlay.manual:
        shielded[node] = "its weight was set"
    for i, added in enumerate(graph.overlay.added):
        if added.alive:
            shielded[graph.n_built + i] = "added by hand"
    return shielded


def _concept(graph: Graph, node: int) -> visual_vlm.Concept:
    row = graph.nodes.slice(node, 1)
    parents = graph.labels(graph.parents(node)) if len(graph.csr(IS_A)[1]) else []
    return visual_vlm.Concept(node, row["name"][0].as_py(), row["lang"][0].as_py(), tuple(parents))


def _write(graph: Graph, pruned: Pruned, settings: Settings, author: Author, engine: Any) -> Pruned:
    events = journal.read(graph.path / journal.CHANGES)
    file = f"decisions/prune-{len(events) + 1:04d}.parquet"
    (graph.path / "decisions").mkdir(exist_ok=True)
    columns = {
        "keep": pa.array(pruned.keep),
        "method": pa.array(pruned.method, pa.string()).dictionary_encode(),
        "reason": pa.array(pruned.reason, pa.string()).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), graph.path / file)
    event = {"event": "prune", "file": file, "settings": asdict(settings), "counts": pruned.counts}
    record(graph, [{**event, "model": engine.model if engine else None}], author)
    return Pruned(pruned.keep, pruned.method, pruned.reason, pruned.counts, file)
