"""Pairs between crowds that full neighbor lists hide.

Where more than k copies of one picture lie together, each lists k of the others and no copy of a variant, which may be a
crowd of its own: the two would never meet, whatever their cosine. So some members of every such component are compared
with all rows outside of crowds and with those of the other crowds, by brute force.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..embedding.encoder import Mirror
from .cell_search import Codes, Found, Layout, joined, search_range
from .components import component_labels
from .exact import Edges, undirected
from .graph import Graph
from .pairs import SearchSettings
from .workspace import FanOut, in_threads, ranges

#: Members that speak for a component.
SPEAKERS = 4


def bridges(
    graph: Graph, settings: SearchSettings, mirror: Mirror | None, fan_out: FanOut = in_threads
) -> tuple[Edges, int]:
    """Pairs between crowds that are not among the graph's edges, and how many rows spoke for a crowd."""
    near = graph.edges.above(settings.threshold)
    n = len(graph.ids)
    degree = np.bincount(near.src, minlength=n) + np.bincount(near.dst, minlength=n)
    crowded = degree >= settings.k
    if not crowded.any():
        return undirected(*(np.zeros(0) for _ in range(3))), 0
    labels = component_labels(n, near.src, near.dst)
    crowds = np.unique(labels[crowded])
    in_crowd = np.isin(labels, crowds)
    speakers = _speakers(np.flatnonzero(in_crowd), labels, graph.ids)
    heard = ~in_crowd & graph.alive
    heard[speakers] = True
    # Crowds that gained nobody have met the old rows before: their pairs are among the edges.
    grown = np.isin(labels[speakers], np.unique(labels[graph.first_new :]))
    late = heard & (np.arange(n) >= graph.first_new)
    parts = [
        _listen(graph, speakers[chosen], np.flatnonzero(columns), settings, mirror, fan_out)
        for chosen, columns in ((grown, heard), (~grown, late))
        if chosen.any() and columns.any()
    ]
    found = joined(parts)
    pairs = undirected(found.src, found.dst, found.cos)
    known = np.isin(pairs.src * n + pairs.dst, graph.edges.src * n + graph.edges.dst)
    return Edges(pairs.src[~known], pairs.dst[~known], pairs.cos[~known]), len(speakers)


def _listen(
    graph: Graph,
    speakers: np.ndarray,
    columns: np.ndarray,
    settings: SearchSettings,
    mirror: Mirror | None,
    fan_out: FanOut,
) -> Found:
    """The k nearest of each speaker among the columns."""
    space, margin = graph.space, graph.quantizer.projection.margin
    codes = Codes(space.codes, space.inverse, np.zeros((0, 1), np.int32), space.turned_codes, None, margin, 1)
    ends = np.array([0, len(speakers)])
    turned = (speakers, ends) if mirror is not None else (None, None)
    layout = Layout(speakers, ends, *turned, columns, np.array([0, len(columns)]))
    task = partial(_search, space.stored, codes, layout, settings, mirror)
    return joined(list(fan_out(task, ranges(layout.count, 64))))


def _speakers(rows: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """SPEAKERS rows of each component, evenly over its ids; ascending."""
    order = np.lexsort((ids[rows], labels[rows]))
    rows = rows[order]
    new = np.concatenate(([True], labels[rows][1:] != labels[rows][:-1]))
    starts = np.flatnonzero(new)
    sizes = np.diff(np.concatenate((starts, [len(rows)])))
    steps = np.arange(SPEAKERS)
    picked = starts[:, None] + (steps * sizes[:, None]) // SPEAKERS
    return np.unique(rows[picked.ravel()])


def _search(
    stored: np.ndarray,
    codes: Codes,
    layout: Layout,
    settings: SearchSettings,
    mirror: Mirror | None,
    queries: tuple[int, int],
) -> Found:
    return search_range(stored, codes, layout, *queries, settings.k, settings.floor, 2.0, mirror)
