"""Deduplication of a whole dataset: identical samples, near-duplicates, keepers.

identical bytes and pixels → one node → near pairs (`graph`), plus pHash candidates that a cosine confirms → edges
above the threshold → components → all their pair cosines → communities (CPM) → keepers. A row is dropped only for
a keeper it is itself similar enough to.

With `Settings.mirror` every cosine above is the larger of the cosines to the other picture and to
its mirror image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..embedding.encoder import Mirror
from .bridges import bridges
from .exact import Edges, undirected
from .graph import Graph, grow, save_outcome
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
from .grouping import Components, communities_of, components_of, keepers_of, seeds_of
from .keeper import KEEPER_ORDER
from .neighbor_table import neighbor_table
from .nodes import COLUMNS, Nodes, nodes_of, numbers
from .pairs import SearchSettings
from .phash import hamming_candidates
from .quantizer import Quantizer
from .references import References, matches
from .turned import Kept, Turned, Turning, drop_turned
from .vectors import pair_cosines
from .workspace import FanOut, in_threads

LEIDEN, CONNECTED, SEMDEDUP = "leiden", "components", "semdedup"
METHODS = (LEIDEN, CONNECTED, SEMDEDUP)


@dataclass(frozen=True)
class Settings:
    """What decides the groups.

    Attributes:
        threshold: cosine at and above which two samples are near-duplicates. Belongs to one encoder.
        floor: smallest cosine stored as an edge, at most `threshold`.
        k: neighbors per node.
        phash_radius: bits two pHashes may differ in to become a candidate pair; None for no candidates.
        phash_min_bpp: pictures whose transient JPEG is smaller (bytes per pixel) are too flat for pHash.
        keeper_order: see `keeper.keeper_rank`; measures of `nodes.measures`.
        mirror: what mirroring does to the encoder's vectors; None not to look for mirrored copies.
        method: leiden; for comparison components (connected components) and semdedup, see `methods`.
        cells, probes, recall, seed: see `pairs.SearchSettings`.
    """

    threshold: float
    floor: float
    k: int = 100
    phash_radius: int | None = 4
    phash_min_bpp: float = 0.03
    keeper_order: Sequence[str] = KEEPER_ORDER
    mirror: Mirror | None = None
    method: str = LEIDEN
    cells: int | None = None
    probes: int | None = None
    recall: float = 0.99
    seed: int = 0

    def __post_init__(self) -> None:
        if not -1 <= self.floor <= self.threshold <= 1:
            raise ValueError(f"need -1 <= floor <= threshold <= 1, got {self.floor} and {self.threshold}")
        if self.method not in METHODS:
            raise ValueError(f"method {self.method!r} is none of {', '.join(METHODS)}")

    @property
    def search(self) -> SearchSettings:
        return SearchSettings(
            self.k, self.floor, self.threshold, self.cells, self.probes, self.recall, seed=self.seed
        )


@dataclass(frozen=True)
class Deduplicated:
    """`groups` is aligned with the rows given; `neighbors` sorted by ids; `figures` JSON-able counts.

    `quantizer` chose the pairs compared: give it to the next run to have the same ones.
    """

    groups: pa.Table
    neighbors: pa.Table
    figures: Mapping[str, Any]
    quantizer: Quantizer


@dataclass(frozen=True)
class Keeping:
    """Where the graph is kept between runs.

    Attributes:
        folder: on local disk; may be deleted at any time.
        identity: of the encoder and whatever else made the vectors.
    """

    folder: Path
    identity: str


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
    nodes = nodes_of(rows, settings.keeper_order)
    of_node = nodes.order[nodes.first]
    graph, row_of = grow(
        nodes.node_ids,
        nodes.content[0][nodes.first],
        lambda chosen: _taken(vectors, of_node[chosen], settings.mirror),
        settings.search,
        settings.mirror,
        keeping.folder if keeping else None,
        _identity(settings, keeping),
        quantizer,
        of_node,
        fan_out,
    )
    node_at = np.full(len(graph.ids), -1)
    node_at[row_of] = np.arange(len(row_of))
    rank = np.empty(len(graph.ids), np.int64)  # those no longer there come last
    rank[np.concatenate([row_of[np.argsort(nodes.node_rank)], np.flatnonzero(node_at < 0)])] = np.arange(
        len(rank)
    )

    hashed, n_candidates = _confirmed_hashes(nodes, graph, row_of, settings)
    between, speakers = bridges(graph, settings.search, settings.mirror, fan_out)
    parts = (graph.edges, between, hashed)
    edges = undirected(*(np.concatenate([getattr(e, f) for e in parts]) for f in ("src", "dst", "cos")))
    matched, match_sim = matches(graph, references, settings, fan_out)
    strong = edges.above(settings.threshold)
    if len(references):  # what a reference stands for takes no part in groups of this dataset
        free = (matched[strong.src] < 0) & (matched[strong.dst] < 0)
        strong = Edges(strong.src[free], strong.dst[free], strong.cos[free])
    components = components_of(len(graph.ids), strong, settings.threshold)
    keeper, sim, labels = _keepers(graph, strong, components, rank, settings, fan_out)
    if keeping is not None and labels is not None:
        save_outcome(keeping.folder, labels, between)
    kept = Kept(keeper, sim, _facing(graph, keeper, settings))
    turned = None
    if turning is not None and settings.phash_radius is not None and settings.method == LEIDEN:
        free = matched < 0
        turned = _drop_turned(kept, nodes, graph, row_of, free, rank, turning, settings)
        kept = turned.kept
    keeper, sim, facing = kept.keeper, kept.sim, kept.facing

    best_row = np.empty(rows.num_rows, np.int64)  # rank -> row
    best_row[nodes.rank] = np.arange(rows.num_rows)
    keeper_row = best_row[nodes.node_rank[node_at[keeper[row_of]]]][nodes.index]
    in_reference = (matched[row_of] >= 0)[nodes.index]
    reference_ids = np.concatenate([r.ids for r in references]) if references else np.zeros(1, "S16")
    sims = np.where(in_reference, match_sim[row_of][nodes.index], sim[row_of][nodes.index]).astype(np.float32)
    groups = group_table(
        nodes.ids,
        keeper_row,
        sims,
        nodes.content,
        nodes.node_of,
        facing[row_of][nodes.index],
        reference_ids[np.maximum(matched[row_of], 0)][nodes.index],
        in_reference,
    )
    back = np.empty(rows.num_rows, np.int64)
    back[nodes.order] = np.arange(rows.num_rows)
    figures = _figures(rows.num_rows, nodes, graph, edges, strong, components, groups, settings)
    figures |= {
        "crowd_speakers": speakers,
        "phash_candidates": n_candidates,
        "phash_confirmed": len(hashed.above(settings.threshold)),
        "edges_added": len(edges) - len(graph.edges),
    }
    if turned is not None:
        figures |= {"turned_candidates": turned.candidates, "turned_confirmed": len(turned.edges)}
    neighbors = neighbor_table(graph, edges, turned, settings.mirror)
    return Deduplicated(groups.take(pa.array(back)), neighbors, figures, graph.quantizer)


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


def _identity(settings: Settings, keeping: Keeping | None) -> str:
    if keeping is None:
        return ""
    kind = (
        settings.k,
        settings.floor,
        settings.threshold,
        settings.mirror is not None,
        settings.cells,
        settings.probes,
    )
    return f"{keeping.identity}|{kind}"


def _confirmed_hashes(
    nodes: Nodes, graph: Graph, row_of: np.ndarray, settings: Settings
) -> tuple[Edges, int]:
    """pHash candidates as edges of the graph's rows, with the cosines they have, and the number of candidates."""
    none = undirected(*(np.zeros(0) for _ in range(3)))
    if settings.phash_radius is None or "phash" not in nodes.table.column_names:
        return none, 0
    taken = nodes.table.select(["phash", "reencode_bpp"]).take(pa.array(nodes.first))
    valid = pc.is_valid(taken["phash"]).to_numpy()
    detailed = numbers(taken, "reencode_bpp") >= settings.phash_min_bpp
    hashes = pc.fill_null(taken["phash"], 0).to_numpy().astype(np.uint64)
    a, b = hamming_candidates(hashes, np.flatnonzero(valid & detailed), settings.phash_radius)
    if not len(a):
        return none, 0
    a, b = row_of[a], row_of[b]
    cos = pair_cosines(graph.space.stored, a, b, graph.space.inverse, settings.mirror)
    return undirected(a, b, cos).above(settings.floor), len(a)


def _keepers(
    graph: Graph,
    strong: Edges,
    components: Components,
    rank: np.ndarray,
    settings: Settings,
    fan_out: FanOut,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Keeper and cosine to it of every row, and the community of each, named by its smallest row; -1 for loners."""
    space = graph.space
    if settings.method != LEIDEN:
        from . import methods

        rule = methods.components if settings.method == CONNECTED else methods.semdedup
        return (*rule(space.stored, space.inverse, strong, rank, settings.threshold, settings.mirror), None)
    members, starts = components.members, components.offsets[:-1]
    # A component none of whose rows is new, and that lost none, is what it was: its communities stand.
    labels = graph.labels[members]
    known = np.zeros(len(components), bool)
    if len(components):
        known = np.minimum.reduceat(labels, starts) >= 0
        gone = np.unique(graph.labels[: graph.first_new][~graph.alive[: graph.first_new]])
        known &= ~np.logical_or.reduceat(np.isin(labels, gone[gone >= 0]), starts)
    fresh = np.flatnonzero(~known)
    part = components.select(fresh)
    found = communities_of(
        space.stored,
        space.inverse,
        part,
        seeds_of(graph.ids, part),
        settings.threshold,
        settings.floor,
        settings.mirror,
        fan_out,
    )
    of_member = np.repeat(~known, components.sizes)
    # the smallest row of a community names it, so that names last
    component = np.repeat(np.arange(len(part)), part.sizes)
    order = np.lexsort((part.members, found, component))
    if len(order):
        new = np.concatenate(([True], (np.diff(component[order]) != 0) | (np.diff(found[order]) != 0)))
        names = np.empty(len(order), np.int64)
        names[order] = part.members[order][np.flatnonzero(new)[np.cumsum(new) - 1]]
        labels = labels.copy()
        labels[of_member] = names
    every = np.full(len(graph.ids), -1)
    every[members] = labels
    keeper, sim = keepers_of(
        space.stored, space.inverse, components, labels, rank, settings.threshold, settings.mirror
    )
    return keeper, sim, every


def _facing(graph: Graph, keeper: np.ndarray, settings: Settings) -> np.ndarray:
    """int8 [n]: 2 where only the mirror image of a row is near its keeper, else 1."""
    facing = np.ones(len(keeper), np.int8)
    if settings.mirror is not None:
        dropped = np.flatnonzero(keeper != np.arange(len(keeper)))
        plain = pair_cosines(graph.space.stored, dropped, keeper[dropped], graph.space.inverse)
        facing[dropped[plain.astype(np.float64) < settings.threshold]] = 2
    return facing


def _drop_turned(
    kept: Kept,
    nodes: Nodes,
    graph: Graph,
    row_of: np.ndarray,
    free: np.ndarray,
    rank: np.ndarray,
    turning: Turning,
    settings: Settings,
) -> Turned | None:
    if "phashes" not in nodes.table.column_names:
        return None
    column = nodes.table["phashes"].take(pa.array(nodes.first)).combine_chunks()
    detailed = numbers(nodes.table.select(["reencode_bpp"]).take(pa.array(nodes.first)), "reencode_bpp")
    valid = pc.is_valid(column).to_numpy(zero_copy_only=False) & (detailed >= settings.phash_min_bpp)
    phashes = np.zeros((len(graph.ids), 8), np.uint64)
    if valid.any():
        phashes[row_of[valid]] = pc.list_flatten(column.filter(pa.array(valid))).to_numpy().reshape(-1, 8)
    usable = np.zeros(len(graph.ids), bool)
    usable[row_of[valid]] = True
    if turning.vectors_of is not None:
        given = np.zeros(len(graph.ids), np.int64)
        given[row_of] = nodes.order[nodes.first]
        look = turning.vectors_of
        turning = replace(turning, vectors_of=lambda rows: look(given[rows]))

    def cosines_to(one: int, many: np.ndarray) -> np.ndarray:
        ones = np.full(len(many), one)
        return pair_cosines(graph.space.stored, ones, many, graph.space.inverse, settings.mirror)

    return drop_turned(
        kept,
        phashes,
        usable & free,
        rank,
        turning,
        settings.phash_radius,
        settings.mirror is not None,
        graph.space.stored,
        graph.space.inverse,
        cosines_to,
        settings.threshold,
    )


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
