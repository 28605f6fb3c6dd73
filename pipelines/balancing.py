"""From a dataset's concept columns to samples, tags and trees as `zcurate.graph` weighs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.curation.errors import DatasetError
from zcurate.graph.budgets import Tree
from zcurate.graph.plans import Concepts

NAMES, NODES, PATH = "concepts.concepts", "concepts.nodes", "communities.path"


@dataclass(frozen=True)
class Tagging:
    """Samples and tags of a dataset.

    Attributes:
        concepts: CSR and trees; tags are numbered in the order of `names`.
        names: display names of the tags.
        nodes: int64 [m], nodes of the graph (-1 for those without a graph).
        voids: (name, prior) of nodes of the graph without any data, by prior, most wanted first.
    """

    concepts: Concepts
    names: tuple[str, ...]
    nodes: np.ndarray
    voids: tuple[tuple[str, float], ...] = ()


def tagging_of(tables: Sequence[pa.Table], graph: Any = None, top_voids: int = 200) -> Tagging:
    """Tags of all rows of tables that have `NAMES` (or, with a graph, `NODES`) and, where there is one, `PATH`."""
    column = NODES if graph is not None else NAMES
    lists = _lists([t[column] for t in tables], pa.int64() if graph is not None else pa.string())
    length = np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
    flat = lists.flatten()
    if graph is None:
        encoded = flat.dictionary_encode()
        order = np.argsort(np.asarray(encoded.dictionary.to_pylist(), object), kind="stable")
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        indices = place[encoded.indices.to_numpy()] if len(order) else np.zeros(0, np.int32)
        names = tuple(encoded.dictionary.take(pa.array(order)).to_pylist())
        nodes, tree, prior = np.full(len(names), -1), Tree.flat(len(names)), None
        voids: tuple[tuple[str, float], ...] = ()
    else:
        node = flat.to_numpy()
        if len(node) and not 0 <= node.min() <= node.max() < graph.n:
            raise DatasetError("concepts.nodes are not of this graph; run the concepts stage again")
        nodes, tree, prior, indices = forest_of(graph, node)
        names = tuple(graph.labels(nodes.tolist()))
        voids = _voids(graph, node, top_voids)
    indptr, indices = _unique(length, indices, len(names))
    parents, leaf = _communities(tables, len(indptr) - 1)
    return Tagging(Concepts(indptr, indices, tree, prior, parents, leaf), names, nodes, voids)


def _lists(columns: Sequence[pa.ChunkedArray], value: pa.DataType) -> pa.Array:
    chunks = [c.cast(pa.list_(value)) for column in columns for c in column.chunks]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.list_(value))


def _unique(length: np.ndarray, indices: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """CSR of unique tags per sample, ascending."""
    row = np.repeat(np.arange(len(length)), length)
    pairs = np.unique(row * max(1, m) + indices)
    row = pairs // max(1, m)
    counts = np.bincount(row, minlength=len(length))
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), (pairs % max(1, m)).astype(np.int32)


def forest_of(graph: Any, node: np.ndarray) -> tuple[np.ndarray, Tree, np.ndarray, np.ndarray]:
    """(nodes with data and all above them, their tree, prior weights, the tags as numbers of these nodes)."""
    parent = graph.hierarchy().parent
    there = np.zeros(graph.n, bool)
    level = np.unique(node)
    while len(level):
        there[level] = True
        above = parent[level]
        level = np.unique(above[(above >= 0) & ~there[above]])
    nodes = np.flatnonzero(there)
    place = np.full(graph.n, -1, np.int64)
    place[nodes] = np.arange(len(nodes))
    up = parent[nodes]
    tree = Tree.of(np.where(up >= 0, place[up], -1))
    return nodes, tree, graph.weight[nodes], place[node].astype(np.int32)


def _voids(graph: Any, node: np.ndarray, top: int) -> tuple[tuple[str, float], ...]:
    """Kept concepts and articles without data, by weight and then PageRank."""
    empty = graph.kept.copy()
    empty[np.unique(node)] = False
    kinds = graph.nodes["kind"]
    empty &= np.asarray(pc.is_in(kinds, value_set=pa.array(["article", "concept"])))
    rows = np.flatnonzero(empty)
    best = rows[np.lexsort((rows, -graph.pagerank[rows], -graph.weight[rows]))][:top]
    share = graph.weight / max(graph.weight[graph.kept].sum(), 1e-300)
    return tuple((name, float(share[v])) for name, v in zip(graph.labels(best.tolist()), best, strict=True))


def _communities(tables: Sequence[pa.Table], n: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(parents of all communities, finest community of every row or -1); (None, None) without such a column."""
    if not tables or PATH not in tables[0].column_names:
        return None, None
    lists = _lists([t[PATH] for t in tables], pa.int32())
    length = np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
    flat = lists.flatten().to_numpy().astype(np.int64)
    if not len(flat):
        return None, None
    ends = np.cumsum(length)
    leaf = np.where(length > 0, flat[np.maximum(ends - 1, 0)], -1)
    parent = np.full(int(flat.max()) + 1, -1, np.int64)
    first = np.zeros(len(flat), bool)
    first[(ends - length)[length > 0]] = True
    later = np.flatnonzero(~first)
    parent[flat[later]] = flat[later - 1]
    return parent, leaf
