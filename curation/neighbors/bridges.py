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


def bridged(
    graph: Graph,
    edges: Edges,
    settings: SearchSettings,
    mirror: Mirror | None,
    fan_out: FanOut = in_threads,
) -> tuple[Edges, int]:
    """The edges and those found between crowds, and how many rows spoke for one."""
    near = edges.above(settings.threshold)
    n = len(graph.ids)
    degree = np.bincount(near.src, minlength=n) + np.bincount(near.dst, minlength=n)
    crowded = degree >= settings.k
    if not crowded.any():
        return edges, 0
    labels = component_labels(n, near.src, near.dst)
    in_crowd = np.isin(labels, np.unique(labels[crowded]))
    speakers = _speakers(np.flatnonzero(in_crowd), labels, graph.ids)
    columns = ~in_crowd & graph.alive
    columns[speakers] = True
    columns = np.flatnonzero(columns)
    space, margin = graph.space, graph.quantizer.projection.margin
    codes = Codes(space.codes, space.inverse, np.zeros((0, 1), np.int32), space.turned_codes, None, margin, 1)
    ends = np.array([0, len(speakers)])
    turned = (speakers, ends) if mirror is not None else (None, None)
    layout = Layout(speakers, ends, *turned, columns, np.array([0, len(columns)]))
    task = partial(_search, space.stored, codes, layout, settings, mirror)
    found = joined(list(fan_out(task, ranges(layout.count, 256))))
    both = (np.concatenate([getattr(edges, a), getattr(found, a)]) for a in ("src", "dst", "cos"))
    return undirected(*both), len(speakers)


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
