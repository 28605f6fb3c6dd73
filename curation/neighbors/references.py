"""Samples of other collections that a dataset must not repeat: an evaluation set, an older corpus.

They are looked up and never added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..embedding.encoder import Mirror
from .cell_search import Codes, Found, Layout, Others, joined, lay_out, search_range
from .graph import Graph
from .pairs import TASK_QUERIES, cells_of, fill_all
from .vectors import stack
from .workspace import FanOut, in_threads, make_workspace, ranges

if TYPE_CHECKING:
    from .dedup import Settings

#: Reference rows looked among at a time.
_CHUNK = 1_000_000


@dataclass(frozen=True, eq=False)
class References:
    """Attributes:
    name: for messages.
    ids: S16 [m] sample ids.
    vectors: float16 or float32 [m, d], of the same encoder as the dataset's.
    """

    name: str
    ids: np.ndarray
    vectors: np.ndarray


def matches(
    graph: Graph, references: Sequence[References], settings: Settings, fan_out: FanOut = in_threads
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest reference at or above the threshold of every row of a graph.

    Found exactly where the graph's quantizer has one cell, else in the cells that it would find a duplicate in.

    Returns:
        int64 [n] position in all references, one after the other, -1 for none; float32 [n] cosine.

    Raises:
        ValueError: vectors of another length, or NaN in one.
    """
    n = len(graph.ids)
    best, cos = np.full(n, -1), np.full(n, -np.inf, np.float32)
    first = 0
    for reference in references:
        vectors = stack(reference.vectors)
        if vectors.shape[1] != graph.space.stored.shape[1]:
            raise ValueError(
                f"reference {reference.name}: vectors of {vectors.shape[1]} dimensions, the dataset's have "
                f"{graph.space.stored.shape[1]}; embed both with one encoder"
            )
        for start in range(0, len(vectors), _CHUNK):
            found = _look(graph, vectors[start : start + _CHUNK], settings, settings.mirror, fan_out)
            better = found.cos > cos[found.src]
            # several lists may name a row (upright and mirrored): the best of them counts
            order = np.argsort(found.cos[better], kind="stable")
            src = found.src[better][order]
            cos[src], best[src] = found.cos[better][order], first + start + found.dst[better][order]
        first += len(vectors)
    near = (best >= 0) & (cos.astype(np.float64) >= settings.threshold)
    return np.where(near, best, -1), np.where(near, cos, 0).astype(np.float32)


def _look(
    graph: Graph, vectors: np.ndarray, settings: Settings, mirror: Mirror | None, fan_out: FanOut
) -> Found:
    quantizer, space = graph.quantizer, graph.space
    theirs = make_workspace(vectors, quantizer.projection.basis.shape[1] + 1, None)
    fill_all(theirs, quantizer, None, in_threads)
    margin = quantizer.projection.margin
    single = quantizer.with_probes(1)
    turned = None
    if mirror is not None and space.turned_codes is not None:
        turned = cells_of(space.turned_codes, single, in_threads)
    own = Codes(
        space.codes, space.inverse, cells_of(space.codes, single, in_threads), space.turned_codes, turned,
        margin, quantizer.cells,
    )  # fmt: skip
    columns = lay_out(
        Codes(
            theirs.codes,
            theirs.inverse,
            cells_of(theirs.codes, quantizer, in_threads),
            None,
            None,
            margin,
            quantizer.cells,
        )
    )
    queries = lay_out(own, graph.alive)
    layout = Layout(
        queries.queries, queries.query_starts, queries.turned, queries.turned_starts, columns.columns,
        columns.column_starts,
    )  # fmt: skip
    others = Others(theirs.stored, theirs.inverse, theirs.codes)
    task = partial(_search, space.stored, own, layout, settings.threshold, mirror, others)
    return joined(list(fan_out(task, ranges(layout.count, TASK_QUERIES))))


def _search(
    stored: np.ndarray,
    codes: Codes,
    layout: Layout,
    threshold: float,
    mirror: Mirror | None,
    others: Others,
    queries: tuple[int, int],
) -> Found:
    return search_range(stored, codes, layout, *queries, 1, threshold, 2.0, mirror, others)
