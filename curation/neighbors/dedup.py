"""Deduplication of a whole dataset: identical samples, near-duplicates, keepers.

identical bytes and pixels → one node → near pairs (`graph`), plus pHash candidates that a cosine confirms → edges
above the threshold → components → all their pair cosines → communities (CPM) → keepers. A row is dropped only for
a keeper it is itself similar enough to.

With `Settings.mirror` every cosine above is the larger of the cosines to the other picture and to
its mirror image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..embedding.encoder import Mirror
from .bridges import bridges
from .exact import Edges, all_of
from .graph import Graph, grow
from .graph_files import Outcome, write_outcome
from .group_table import (
    GROUPS_SCHEMA,
    IDENTICAL_BYTES,
    IDENTICAL_PIXELS,
    KEEPER,
    MIRRORED,
    NEAR_DUPLICATE,
    NEIGHBORS_SCHEMA,
    REASONS,
    UNIQUE,
    fixed,
    group_table,
)
from .grouping import Components, components_of
from .hashed import confirmed_hashes, turned_copies
from .neighbor_table import Parts, neighbor_parts
from .nodes import COLUMNS, Nodes, nodes_of
from .quantizer import Quantizer
from .references import References, matches
from .settings import LEIDEN, METHODS, Keeping, Settings
from .settling import facing_of, settled
from .turned import Kept, Turning, earlier_of
from .workspace import FanOut, in_threads


@dataclass(frozen=True)
class Deduplicated:
    """`groups` is aligned with the rows given; `pairs` are the edges, sorted by ids; `figures` JSON-able counts.

    `quantizer` chose the pairs compared: give it to the next run to have the same ones.
    """

    groups: pa.Table
    pairs: Parts
    figures: Mapping[str, Any]
    quantizer: Quantizer

    @property
    def neighbors(self) -> pa.Table:
        """All pairs as one table."""
        return self.pairs.table()


def deduplicate(
    rows: pa.Table,
    vectors: np.ndarray | Callable[[np.ndarray], np.ndarray],
    settings: Settings,
    references: Sequence[References] = (),
    quantizer: Quantizer | None = None,
    keeping: Keeping | None = None,
    turning: Turning | None = None,
    fan_out: FanOut = in_threads,
) -> Deduplicated:
    """Group duplicates and choose keepers. The result does not depend on the order of rows.

    Args:
        rows: the columns of `nodes.COLUMNS`; `sample_id` unique and not null, others may be null.
        vectors: float16 or float32 [n, d], one per row; or what gives them for row positions [m], so that
            a large dataset's vectors are held once. Need not be normalized; a zero vector is near to nothing.
        references: samples of other collections (an evaluation set, an older corpus): rows near to one are dropped
            with reason `in_reference`, and none of theirs is added.
        quantizer: of an earlier run; default: made for these vectors, see `quantizer`.
        keeping: with it, only rows that were not there at the last run are searched.
        turning: how turned copies are confirmed, which the `phashes` column finds; None not to look for them. Its
            `vectors_of` is asked for positions in `rows`.
        fan_out: runs the tasks; `workspace.in_threads`, or over a cluster.

    Raises:
        ValueError: rows and vectors of different length, repeated sample ids, a vector with NaN, or a
            mirror for vectors of another length.
        RecallError: the search missed more than `settings.recall` allows.
    """
    if not callable(vectors) and len(vectors) != rows.num_rows:
        raise ValueError(f"{rows.num_rows} rows but {len(vectors)} vectors")
    nodes = nodes_of(rows)
    of_node = nodes.order[nodes.first]
    graph, row_of = grow(
        nodes.node_ids,
        nodes.content[0][nodes.first],
        lambda chosen: _taken(vectors, of_node[chosen], settings.mirror),
        settings.search,
        settings.mirror,
        keeping.folder if keeping else None,
        keeping.kind_of(settings) if keeping else "",
        quantizer,
        of_node,
        fan_out,
    )
    n = len(graph.ids)
    node_at = np.full(n, -1)
    node_at[row_of] = np.arange(len(row_of))

    hashed, n_candidates = confirmed_hashes(nodes, graph, row_of, settings)
    bridged = bridges(graph, settings.search, settings.mirror, fan_out)
    edges = all_of(graph.edges, graph.more, bridged.edges, hashed)
    matched, match_sim = matches(graph, references, settings, fan_out)
    strong = edges.above(settings.threshold)
    if len(references):  # what a reference stands for takes no part in groups of this dataset
        free = (matched[strong.src] < 0) & (matched[strong.dst] < 0)
        strong = Edges(strong.src[free], strong.dst[free], strong.cos[free])
    components = components_of(n, strong, settings.threshold)
    compared = np.zeros(len(row_of), bool)
    compared[node_at[components.members]] = True
    turns = turning is not None and settings.phash_radius is not None and settings.method == LEIDEN
    row_rank, node_rank = nodes.ranks(settings.keeper_order, compared | turns)
    rank = np.full(n, rows.num_rows)
    rank[row_of] = node_rank
    keeper, sim, labels = settled(graph, strong, components, rank, settings, fan_out)
    kept = Kept(keeper, sim, facing_of(graph, keeper, settings))
    turned = None
    if turning is not None and turns:
        turned = turned_copies(kept, nodes, graph, row_of, matched < 0, rank, turning, settings)
        kept = turned.kept if turned is not None else kept
    if keeping is not None and labels is not None:
        outcome = Outcome(
            labels, keeper, sim, bridged.roles, turned.compared if turned else np.zeros(n, bool)
        )
        write_outcome(keeping.folder, outcome, all_of(bridged.edges, hashed), earlier_of(turned, n))

    best_row = np.empty(rows.num_rows, np.int64)  # rank -> row
    best_row[row_rank] = np.arange(rows.num_rows)
    keeper_row = best_row[node_rank[node_at[kept.keeper[row_of]]]][nodes.index]
    in_reference = (matched[row_of] >= 0)[nodes.index]
    reference_ids = np.concatenate([r.ids for r in references]) if references else np.zeros(1, "S16")
    sims = np.where(in_reference, match_sim[row_of][nodes.index], kept.sim[row_of][nodes.index])
    groups = group_table(
        nodes.ids,
        keeper_row,
        sims.astype(np.float32),
        nodes.content,
        nodes.node_of,
        kept.facing[row_of][nodes.index],
        reference_ids[np.maximum(matched[row_of], 0)][nodes.index],
        in_reference,
    )
    back = np.empty(rows.num_rows, np.int64)
    back[nodes.order] = np.arange(rows.num_rows)
    figures = _figures(rows.num_rows, nodes, graph, edges, strong, components, groups, settings)
    figures |= {
        "crowd_speakers": bridged.speakers,
        "phash_candidates": n_candidates,
        "phash_confirmed": len(hashed.above(settings.threshold)),
        "edges_added": len(edges) - len(graph.edges),
    }
    if turned is not None:
        figures |= {"turned_candidates": turned.candidates, "turned_confirmed": len(turned.edges)}
    pairs = neighbor_parts(graph, node_at, nodes.node_ids, edges, turned, settings.mirror)
    return Deduplicated(groups.take(pa.array(back)), pairs, figures, graph.quantizer)


def _taken(
    vectors: np.ndarray | Callable[[np.ndarray], np.ndarray], positions: np.ndarray, mirror: Mirror | None
) -> np.ndarray:
    found = vectors(positions) if callable(vectors) else vectors[positions]
    if mirror is not None and found.shape[1] != len(mirror.source):
        raise ValueError(
            f"vectors of {found.shape[1]} dimensions, but the mirror is of {len(mirror.source)}: "
            "it belongs to another encoder"
        )
    return found


def _figures(
    n: int,
    nodes: Nodes,
    graph: Graph,
    edges: Edges,
    strong: Edges,
    components: Components,
    groups: pa.Table,
    settings: Settings,
) -> dict[str, Any]:
    reasons = {r["values"]: r["counts"] for r in pc.value_counts(groups["reason"]).to_pylist()}
    kept = int(pc.sum(groups["keep"]).as_py() or 0)
    zero = int((graph.space.inverse[graph.alive] == 0).sum())
    return {
        **graph.facts,
        "rule": settings.method,
        "threshold": settings.threshold,
        "mirror": settings.mirror is not None,
        "quantizer": graph.quantizer.identity,
        "rows": n,
        "nodes": len(nodes.first),
        "zero_vectors": zero,
        "edges_knn": len(graph.edges),
        "edges_above_threshold": len(strong),
        "components": len(components),
        "largest_component": int(components.sizes.max(initial=0)),
        "groups": kept,
        "dropped": n - kept,
        **{r: int(reasons.get(r, 0)) for r in REASONS},
    }


__all__ = [
    "COLUMNS",
    "GROUPS_SCHEMA",
    "IDENTICAL_BYTES",
    "IDENTICAL_PIXELS",
    "KEEPER",
    "LEIDEN",
    "METHODS",
    "MIRRORED",
    "NEAR_DUPLICATE",
    "NEIGHBORS_SCHEMA",
    "REASONS",
    "UNIQUE",
    "Deduplicated",
    "Keeping",
    "References",
    "Settings",
    "Turning",
    "deduplicate",
    "fixed",
]
