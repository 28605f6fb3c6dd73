"""A taxonomy of new concepts: hierarchical k-means on embeddings of tags, after Vo et al.

("Automatic Data Curation for Self-Supervised Learning: A Clustering-Based Approach", 2024.) Level 1 clusters
the tags, every further level the centroids of the one before. k-means alone follows density, so each level is
re-run on the points closest to every centroid, a few times: that spreads centroids evenly over what there is.
Clusters of more than `max_children` members are split again, so that no parent has an unreadable list. Every
k-means has a seed of its own, made from the seed, the level and the round: the same input gives the same tree.

Parents are named by a namer (a VLM behind a small protocol) from their children, or by their medoid tag,
and say which: names by medoid can be replaced later, in the tree or in a graph it was attached to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from .fold import fold
from .journal import Author
from .store import Graph
from .upkeep import NewConcept, add_concepts, rename

MEDOID = "medoid"
#: Rows of distances held at once.
_BLOCK = 4096


class Namer(Protocol):
    """What names a parent. `identity` says which model, e.g. for the journal."""

    identity: str

    def name(self, children: Sequence[str]) -> str:
        """A short common name of the children, or an empty string where it finds none."""


@dataclass(frozen=True)
class Settings:
    """How the tree is built.

    Attributes:
        levels: clusters per level, bottom up; None: n / 10, n / 100, ... down to about 10.
        rounds: times a level is re-run on the points closest to its centroids.
        closest: such points per cluster; about half the mean cluster size where it is smaller.
        iterations: Lloyd steps of each k-means. max_children: largest cluster that is not split.
        seed: >= 0.
    """

    levels: tuple[int, ...] | None = None
    rounds: int = 3
    closest: int = 10
    iterations: int = 30
    max_children: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        sizes = self.levels or ()
        if any(b >= a for a, b in zip(sizes, sizes[1:], strict=False)) or any(k < 1 for k in sizes):
            raise ValueError(f"levels must be positive and shrink from bottom to top, got {sizes}")
        if min(self.rounds, self.seed) < 0 or min(self.closest, self.iterations) < 1 or self.max_children < 2:
            raise ValueError(f"{self}: counts must be positive, and max_children at least 2")


@dataclass(frozen=True)
class ClusterTree:
    """A forest; the first `n_leaves` nodes are the tags, in the order given.

    Attributes:
        parent: int64 [nodes], -1 for roots; always a larger number than the child's, so acyclic.
        level: int32 [nodes], 0 for tags. medoid: int64 [nodes], the tag nearest the mean of all below.
        names, named_by: per node; tags are named by `tag`.
        indptr, indices: CSR of children.
    """

    n_leaves: int
    parent: np.ndarray
    level: np.ndarray
    medoid: np.ndarray
    names: tuple[str, ...]
    named_by: tuple[str, ...]
    indptr: np.ndarray
    indices: np.ndarray

    def children(self, node: int) -> list[int]:
        return self.indices[self.indptr[node] : self.indptr[node + 1]].tolist()

    def report(self) -> dict[str, Any]:
        """Leaves, parents, roots, depth (edges of the longest path), fan-out, and how parents were named."""
        inner = np.diff(self.indptr)[self.n_leaves :]
        how = self.named_by[self.n_leaves :]
        depth = np.zeros(len(self.parent), np.int64)
        for v in range(len(self.parent) - 1, -1, -1):
            if self.parent[v] >= 0:
                depth[v] = depth[self.parent[v]] + 1
        return {
            "leaves": self.n_leaves,
            "parents": len(inner),
            "roots": int((self.parent < 0).sum()),
            "depth": int(depth.max(initial=0)),
            "fan_out_mean": float(inner.mean()) if len(inner) else 0.0,
            "fan_out_max": int(inner.max(initial=0)),
            "named_by": {h: how.count(h) for h in sorted(set(how))},
        }


def ngram_vectors(names: Sequence[str], dim: int = 256) -> np.ndarray:
    """float32 [n, dim], unit rows: hashed character 2- and 3-grams, where no text encoder is at hand.

    They know spelling, not meaning: `red car` is near `blue car`, and far from `automobile`.
    """
    out = np.zeros((len(names), dim), np.float32)
    for i, name in enumerate(names):
        text = f" {fold(name)} "
        for size in (2, 3):
            for k in range(len(text) - size + 1):
                h = int.from_bytes(
                    hashlib.blake2b(text[k : k + size].encode(), digest_size=4).digest(), "little"
                )
                out[i, h % dim] += 1.0 if h >> 31 else -1.0
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)


def build_tree(
    names: Sequence[str],
    vectors: np.ndarray,
    settings: Settings | None = None,
    weight: np.ndarray | None = None,
    namer: Namer | None = None,
) -> ClusterTree:
    """Cluster tags into a forest.

    Args:
        vectors: [n, d] embeddings of the names; only directions matter.
        weight: [n] > 0, e.g. samples per tag; of equally near tags the heavier is the medoid.

    Raises:
        ValueError: names and vectors of different number, or a vector that is not finite.
    """
    settings = settings or Settings()
    n = len(names)
    x = np.asarray(vectors, np.float64)
    if x.ndim != 2 or len(x) != n or not np.isfinite(x).all():
        raise ValueError(f"vectors must be finite and [{n}, d], got {x.shape}")
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    parents, means, medoids = [np.full(n, -1, np.int64)], x, list(range(n))
    levels = [np.zeros(n, np.int32)]
    size = np.ones(n)
    heavy = np.ones(n) if weight is None else np.asarray(weight, np.float64)
    base = 0
    leaf_of: list[np.ndarray] = [np.array([i]) for i in range(n)]
    for depth, k in enumerate(_levels(n, settings)):
        if k >= len(means):
            continue
        labels = _split_large(means, _cluster(means, k, settings, depth), settings, depth)
        found = np.unique(labels, return_inverse=True)[1]
        count = int(found.max()) + 1
        start = base + len(means)
        parents[-1][:] = start + found
        merged = [np.concatenate([leaf_of[i] for i in np.flatnonzero(found == c)]) for c in range(count)]
        total = np.bincount(found, size, count)
        means = np.stack([np.bincount(found, size * means[:, j], count) for j in range(x.shape[1])], 1)
        means = means / np.maximum(total[:, None], 1e-12)
        for c in range(count):
            rows = merged[c]
            near = x[rows] @ means[c]
            best = np.lexsort((rows, -heavy[rows], -np.round(near, 9)))[0]
            medoids.append(int(rows[best]))
        parents.append(np.full(count, -1, np.int64))
        levels.append(np.full(count, depth + 1, np.int32))
        leaf_of, size, base = merged, total, start
    parent = np.concatenate(parents)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(parent[parent >= 0], minlength=len(parent)))])
    order = np.argsort(parent, kind="stable")
    indices = order[int((parent < 0).sum()) :]
    inner = len(parent) - n
    tree = ClusterTree(
        n,
        parent,
        np.concatenate(levels),
        np.array(medoids, np.int64),
        (*names, *(names[m] for m in medoids[n:])),
        ("tag",) * n + (MEDOID,) * inner,
        indptr.astype(np.int64),
        indices.astype(np.int64),
    )
    return name_parents(tree, namer) if namer is not None else tree


def name_parents(tree: ClusterTree, namer: Namer) -> ClusterTree:
    """Names by a namer for all parents named by medoid, bottom up; where it finds none, the medoid's name stays."""
    names, how = list(tree.names), list(tree.named_by)
    for v in range(tree.n_leaves, len(names)):
        if how[v] == MEDOID:
            given = " ".join(namer.name([names[c] for c in tree.children(v)]).split())[:80]
            if given:
                names[v], how[v] = given, namer.identity
    return replace(tree, names=tuple(names), named_by=tuple(how))


def attach(
    graph: Graph, tree: ClusterTree, author: Author, under: int | None = None, lang: str = "en"
) -> list[int]:
    """Add a tree to a graph as concepts with is-a edges; the graph's node of every node of the tree.

    Args:
        under: node that becomes the parent of the roots; None leaves them roots.
    """
    order = np.argsort(-np.arange(len(tree.parent)))  # parents have larger numbers: they come first
    number = {int(v): graph.n + i for i, v in enumerate(order)}
    concepts = []
    for v in order.tolist():
        up = int(tree.parent[v])
        parents = (number[up],) if up >= 0 else (() if under is None else (under,))
        how = tree.named_by[v]
        origin = "captions" if how == "tag" else f"captions, named by {how}"
        name = tree.names[v]
        # a parent named like its medoid must not take the tag's own name away from it
        shown = f"{name} (group)" if how == MEDOID else name
        concepts.append(NewConcept(shown, lang, origin, (), parents))
    add_concepts(graph, concepts, author)
    return [number[v] for v in range(len(tree.parent))]


def upgrade(
    graph: Graph, tree: ClusterTree, nodes: Sequence[int], namer: Namer, author: Author
) -> ClusterTree:
    """Name an attached tree's medoid parents in place: the graph's concepts are renamed, nothing moves."""
    named = name_parents(tree, namer)
    for v in range(tree.n_leaves, len(tree.names)):
        if named.named_by[v] != tree.named_by[v]:
            rename(graph, nodes[v], named.names[v], "en", named.named_by[v], author)
    return named


def _levels(n: int, settings: Settings) -> tuple[int, ...]:
    if settings.levels is not None:
        return settings.levels
    sizes, k = [], n // 10
    while k >= 8:
        sizes.append(k)
        k //= 10
    return tuple(sizes) or ((max(1, n // 4),) if n >= 8 else ())


def _cluster(x: np.ndarray, k: int, settings: Settings, level: int) -> np.ndarray:
    """int64 [n] labels after k-means and its rounds on the closest points."""
    k = min(k, len(x))
    rng = np.random.default_rng([settings.seed, level, 0])
    centers = _lloyd(x, x[np.sort(rng.choice(len(x), k, replace=False))], settings.iterations, rng)
    labels, distance = _assign(x, centers)
    for number in range(settings.rounds):
        most = max(1, min(settings.closest, len(x) // (2 * k)))
        order = np.lexsort((np.arange(len(x)), distance, labels))
        first = np.searchsorted(labels[order], np.arange(k))
        rank = np.arange(len(x)) - first[labels[order]]
        near = np.sort(order[rank < most])
        if len(near) < k:
            break
        rng = np.random.default_rng([settings.seed, level, number + 1])
        centers = _lloyd(x[near], centers, settings.iterations, rng)
        labels, distance = _assign(x, centers)
    return labels


def _lloyd(x: np.ndarray, centers: np.ndarray, iterations: int, rng: np.random.Generator) -> np.ndarray:
    """Centers after Lloyd's steps; an empty cluster starts anew at the point that is worst off."""
    k = len(centers)
    before = None
    for _ in range(iterations):
        labels, distance = _assign(x, centers)
        if before is not None and (labels == before).all():
            break
        before = labels
        count = np.bincount(labels, minlength=k)
        total = np.stack([np.bincount(labels, x[:, j], k) for j in range(x.shape[1])], axis=1)
        empty = np.flatnonzero(count == 0)
        centers = np.where(count[:, None] > 0, total / np.maximum(count[:, None], 1), centers)
        if len(empty):
            centers[empty] = x[np.argsort(-distance, kind="stable")[: len(empty)]]
    return centers


def _assign(x: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest center of every point and the squared distance, a block of points at a time."""
    labels, distance = np.empty(len(x), np.int64), np.empty(len(x))
    squares = (centers**2).sum(axis=1)
    for s in range(0, len(x), _BLOCK):
        part = x[s : s + _BLOCK]
        d = (part**2).sum(axis=1)[:, None] - 2 * part @ centers.T + squares
        labels[s : s + _BLOCK] = d.argmin(axis=1)
        distance[s : s + _BLOCK] = d.min(axis=1)
    return labels, distance


def _split_large(x: np.ndarray, labels: np.ndarray, settings: Settings, level: int) -> np.ndarray:
    """Clusters above `max_children` cut into as few equal parts as needed, along their longest direction."""
    labels = labels.copy()
    following = int(labels.max(initial=-1)) + 1
    for c in np.flatnonzero(np.bincount(labels) > settings.max_children):
        rows = np.flatnonzero(labels == c)
        parts = -(-len(rows) // settings.max_children)
        centered = x[rows] - x[rows].mean(axis=0)
        axis = np.linalg.svd(centered, full_matrices=False)[2][0]
        axis = axis * (1 if axis[np.abs(axis).argmax()] > 0 else -1)
        order = np.lexsort((rows, np.round(centered @ axis, 9)))
        for part, piece in enumerate(np.array_split(rows[order], parts)):
            if part:
                labels[piece] = following
                following += 1
    return labels
