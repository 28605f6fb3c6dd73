"""How many cells to look into and rows to re-rank: the least that reaches the recall wanted, by measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .index import VectorIndex

#: Recall at `TOP` aimed at. Above 0.95, since what is measured is a sample.
TARGET, TOP = 0.98, 100
_QUERIES = 200
_BLOCK = 32_768
_PROBES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_REFINES = (400, 800, 1_600, 3_200)


def tune(index: VectorIndex, queries: np.ndarray | None = None) -> dict[str, Any]:
    """Settings and the recall they were measured to have.

    Queries are rows of the index, spread evenly, and those given; of the two kinds the worse one counts, since
    texts lie elsewhere than images.

    Returns:
        probes, refine, recall (at `recall_top`), recall_queries.
    """
    n = len(index)
    own = np.asarray(index.vectors[np.linspace(0, n - 1, min(n, _QUERIES)).astype(np.int64)], np.float32)
    kinds = [own] + (
        [np.asarray(queries[:_QUERIES], np.float32)] if queries is not None and len(queries) else []
    )
    top = min(TOP, n)
    truths = np.split(nearest(index, np.concatenate(kinds), top), np.cumsum([len(k) for k in kinds])[:-1])
    deep, best = max(_REFINES), 0.0
    probes = len(index.starts) - 1
    for candidate in _PROBES:
        if candidate >= len(index.starts) - 1:
            break
        best = _worst(index, kinds, truths, top, candidate, deep)
        if best >= TARGET:
            probes = candidate
            break
    refine = deep
    for candidate in reversed(_REFINES[:-1]):
        recall = _worst(index, kinds, truths, top, probes, candidate)
        if recall < TARGET:
            break
        refine, best = candidate, recall
    if probes == len(index.starts) - 1:
        best = _worst(index, kinds, truths, top, probes, refine)
    return {
        "probes": int(probes),
        "refine": int(refine),
        "recall": round(float(best), 4),
        "recall_top": top,
        "recall_queries": int(sum(len(k) for k in kinds)),
    }


def nearest(index: VectorIndex, queries: np.ndarray, k: int) -> np.ndarray:
    """int64 [m, k]: the rows of highest cosine by a float32 product with every vector, in no order."""
    units = queries / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-20)
    best = np.full((len(units), k), -np.inf, np.float32)
    rows = np.zeros((len(units), k), np.int64)
    for start in range(0, len(index), _BLOCK):
        block = np.asarray(index.vectors[start : start + _BLOCK], np.float32)
        block = block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-20)
        found = np.concatenate([best, units @ block.T], axis=1)
        at = np.broadcast_to(np.arange(start, start + len(block)), (len(units), len(block)))
        ids = np.concatenate([rows, at], axis=1)
        keep = np.argpartition(-found, k - 1, axis=1)[:, :k]
        best, rows = np.take_along_axis(found, keep, 1), np.take_along_axis(ids, keep, 1)
    return rows


def _worst(
    index: VectorIndex, kinds: list[np.ndarray], truths: list[np.ndarray], top: int, probes: int, refine: int
) -> float:
    """The smaller mean recall of the kinds of queries."""
    means = []
    for queries, truth in zip(kinds, truths, strict=True):
        shares = [
            len(np.intersect1d(index.search(q, top, probes=probes, refine=refine)[0], t)) / top
            for q, t in zip(queries, truth, strict=True)
        ]
        means.append(float(np.mean(shares)))
    return min(means)
