"""Keepers of a graph's rows; what became of the rows before stands where nothing about it changed."""

from __future__ import annotations

import numpy as np

from .exact import Edges
from .graph import Graph
from .grouping import Components, communities_of, keepers_of, seeds_of
from .settings import CONNECTED, LEIDEN, Settings
from .vectors import pair_cosines
from .workspace import FanOut


def settled(
    graph: Graph,
    strong: Edges,
    components: Components,
    rank: np.ndarray,
    settings: Settings,
    fan_out: FanOut,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Keeper and cosine to it of every row, and the community of each, named by its smallest row; -1 for loners.

    Args:
        strong: edges at or above the threshold, and their components.
        rank: int64 [n], see `nodes.Nodes.ranks`; rows of the components are compared.
    """
    space = graph.space
    if settings.method != LEIDEN:
        from . import methods

        rule = methods.components if settings.method == CONNECTED else methods.semdedup
        return (*rule(space.stored, space.inverse, strong, rank, settings.threshold, settings.mirror), None)
    members = components.members
    labels, known = _known(graph, components)
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
    labels[np.repeat(~known, components.sizes)] = _names(part, found)
    every = np.full(len(graph.ids), -1)
    every[members] = labels
    keeper, sim = np.arange(len(rank)), np.ones(len(rank), np.float32)
    stand = known & _stand(graph, components, labels, rank)
    kept = members[np.repeat(stand, components.sizes)]
    keeper[kept], sim[kept] = graph.before.keeper[kept], graph.before.sim[kept]
    rest = components.select(np.flatnonzero(~stand))
    open_ = labels[np.repeat(~stand, components.sizes)]
    chosen = keepers_of(space.stored, space.inverse, rest, open_, rank, settings.threshold, settings.mirror)
    keeper[rest.members], sim[rest.members] = (found[rest.members] for found in chosen)
    return keeper, sim, every


def _known(graph: Graph, components: Components) -> tuple[np.ndarray, np.ndarray]:
    """Earlier communities of the members, and bool [c]: components that have no new row and lost none.

    Such a one is what it was: its communities stand.
    """
    labels = graph.before.labels[components.members]
    known = np.zeros(len(components), bool)
    if len(components):
        known = np.minimum.reduceat(labels, components.offsets[:-1]) >= 0
        lost = np.zeros(len(graph.ids) + 1, bool)
        lost[graph.before.labels[~graph.alive]] = True
        lost[-1] = False  # where label -1 was counted
        known &= ~np.logical_or.reduceat(lost[labels], components.offsets[:-1])
    return labels, known


def _names(part: Components, found: np.ndarray) -> np.ndarray:
    """int64 [members]: the smallest row of its community names it, so that names last."""
    component = np.repeat(np.arange(len(part)), part.sizes)
    order = np.lexsort((part.members, found, component))
    names = np.empty(len(order), np.int64)
    if len(order):
        new = np.concatenate(([True], (np.diff(component[order]) != 0) | (np.diff(found[order]) != 0)))
        names[order] = part.members[order][np.flatnonzero(new)[np.cumsum(new) - 1]]
    return names


def _stand(graph: Graph, components: Components, labels: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """bool [c]: components of known communities whose keepers are what `grouping.keepers_of` would choose again.

    So it is where every row that was dropped ranks after its keeper, and has no other keeper in its community to go to.
    """
    if not len(components):
        return np.zeros(0, bool)
    members = components.members
    keeper = graph.before.keeper[members]
    dropped = keeper != members
    keepers = np.bincount(np.maximum(labels, 0)[~dropped], minlength=len(rank))
    doubtful = dropped & ((rank[keeper] > rank[members]) | (keepers[np.maximum(labels, 0)] > 1))
    return ~np.logical_or.reduceat(doubtful, components.offsets[:-1])


def facing_of(graph: Graph, keeper: np.ndarray, settings: Settings) -> np.ndarray:
    """int8 [n]: 2 where only the mirror image of a row is near its keeper, else 1."""
    facing = np.ones(len(keeper), np.int8)
    if settings.mirror is not None:
        dropped = np.flatnonzero(keeper != np.arange(len(keeper)))
        plain = pair_cosines(graph.space.stored, dropped, keeper[dropped], graph.space.inverse)
        facing[dropped[plain.astype(np.float64) < settings.threshold]] = 2
    return facing
