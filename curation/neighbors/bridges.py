"""Pairs between crowds that full neighbor lists hide.

Where more than k copies of one picture lie together, each lists k of the others and no copy of a variant, which may be a
crowd of its own: the two would never meet, whatever their cosine. So some members of every such component are compared
with all rows outside of crowds and with those of the other crowds, by brute force.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ..embedding.encoder import Mirror
from .cell_search import Codes, Found, Layout, joined
from .components import component_labels
from .digests import marks
from .exact import Edges, undirected
from .graph import Graph
from .graph_files import HEARD, SILENT, SPEAKER
from .pairs import SearchSettings, search_lists
from .workspace import FanOut, in_threads, ranges

#: Members that speak for a component.
SPEAKERS = 4


@dataclass(frozen=True, eq=False)
class Bridged:
    """Pairs between crowds that are not among the graph's edges; the part each row had, int8 [n] of
    `graph_files.SPEAKER` and so on, 0 where gone; and how many spoke."""

    edges: Edges
    roles: np.ndarray
    speakers: int


def bridges(
    graph: Graph, settings: SearchSettings, mirror: Mirror | None, fan_out: FanOut = in_threads
) -> Bridged:
    """Compare those who speak for crowds with the rest; what met in an earlier run is not compared again."""
    near = graph.edges.above(settings.threshold)
    n = len(graph.ids)
    roles = np.full(n, HEARD, np.int8)
    degree = np.bincount(near.src, minlength=n) + np.bincount(near.dst, minlength=n)
    crowded = degree >= settings.k
    if not crowded.any():
        return Bridged(undirected(*(np.zeros(0) for _ in range(3))), roles, 0)
    labels = component_labels(n, near.src, near.dst)
    of_crowd = np.zeros(n, bool)
    of_crowd[labels[crowded]] = True
    in_crowd = of_crowd[labels]
    speakers = _speakers(np.flatnonzero(in_crowd), labels, graph.ids)
    roles[in_crowd] = SILENT
    roles[speakers] = SPEAKER
    heard = graph.alive & (roles != SILENT)
    before = graph.before.roles
    spoke = before[speakers] == SPEAKER
    parts = [
        _listen(graph, chosen, np.flatnonzero(columns), settings, mirror, fan_out)
        for chosen, columns in (
            (speakers[~spoke], heard),
            (speakers[spoke], heard & (before != SPEAKER) & (before != HEARD)),
        )
        if len(chosen) and columns.any()
    ]
    found = joined(parts)
    pairs = undirected(found.src, found.dst, found.cos)
    keys, wanted = graph.edges.src * n + graph.edges.dst, pairs.src * n + pairs.dst  # ascending, both
    at = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    fresh = keys[at] != wanted if len(keys) else np.ones(len(wanted), bool)
    edges = Edges(pairs.src[fresh], pairs.dst[fresh], pairs.cos[fresh])
    return Bridged(edges, roles, len(speakers))


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
    task = partial(search_lists, space.stored, codes, layout, settings, mirror, 2.0)
    return joined(list(fan_out(task, ranges(layout.count, 64))))


def _speakers(rows: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """SPEAKERS rows of each component, those of the smallest marks: a crowd that grows seldom changes them; ascending."""
    rows = rows[np.lexsort((marks(ids[rows], 0), labels[rows]))]
    found = labels[rows]
    starts = np.flatnonzero(np.concatenate(([True], found[1:] != found[:-1])))
    place = np.arange(len(rows)) - np.repeat(starts, np.diff(np.concatenate((starts, [len(rows)]))))
    return np.sort(rows[place < SPEAKERS])
