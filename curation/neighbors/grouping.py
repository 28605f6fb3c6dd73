"""From edges to keepers: components, communities inside them, and one row kept of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ..embedding.encoder import Mirror
from .cluster import cluster_components
from .digests import halves, order_of
from .exact import Edges
from .mirrored import orbits
from .split import bounded_components
from .workspace import FanOut, in_threads

#: Work of one task in members of small components; a large one's work grows with the square of its members.
TASK_MEMBERS, _SQUARE_FROM = 16_384, 64


@dataclass(frozen=True, eq=False)
class Components:
    """Components of two and more rows.

    Attributes:
        members: int64 [sum m], rows, ascending within a component; components by their first row.
        offsets: int64 [c + 1].
    """

    members: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> np.ndarray:
        return np.diff(self.offsets)

    def select(self, chosen: np.ndarray) -> Components:
        """The components at the positions `chosen`, in that order."""
        sizes = self.sizes[chosen]
        offsets = np.concatenate(([0], np.cumsum(sizes)))
        at = np.repeat(self.offsets[:-1][chosen] - offsets[:-1], sizes) + np.arange(offsets[-1])
        return Components(self.members[at], offsets)


def components_of(n: int, edges: Edges, threshold: float) -> Components:
    """Connected components of two and more of `n` rows, by the edges at or above a cosine.

    One too large to complete is split at a higher cosine, see `split`.
    """
    edges = edges.above(threshold)
    labels = bounded_components(n, edges, threshold)
    touches = np.zeros(n, bool)
    touches[edges.src] = touches[edges.dst] = True
    touched = np.flatnonzero(touches)
    order = touched[np.argsort(labels[touched], kind="stable")]
    found = labels[order]
    starts = np.flatnonzero(np.concatenate(([True], found[1:] != found[:-1]))) if len(found) else []
    return Components(order, np.concatenate((starts, [len(order)])).astype(np.int64))


def communities_of(
    stored: np.ndarray,
    inverse: np.ndarray,
    components: Components,
    seeds: np.ndarray,
    threshold: float,
    floor: float,
    mirror: Mirror | None = None,
    fan_out: FanOut = in_threads,
) -> np.ndarray:
    """int64 [sum m]: community of each member, numbered within its component.

    Args:
        stored: float16 or float32 [n, d]; inverse: float64 [n], reciprocal norms.
        seeds: uint64 [c], e.g. the smallest member's id: same seed, same communities.
    """
    labels = np.zeros(len(components.members), np.int64)
    larger = np.flatnonzero(components.sizes > 2)  # two rows above the threshold are one community
    tasks = _batches(larger, components.sizes)
    work = partial(_cluster, stored, inverse, components, seeds, threshold, floor, mirror)
    for chosen, found in zip(tasks, fan_out(work, tasks), strict=True):
        starts = components.offsets[chosen]
        sizes = components.sizes[chosen]
        ends = np.cumsum(sizes)
        labels[np.repeat(starts - (ends - sizes), sizes) + np.arange(ends[-1])] = found
    return labels


def _batches(chosen: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    """Component numbers in tasks of about equal size."""
    if not len(chosen):
        return []
    work = sizes[chosen] * np.maximum(1, sizes[chosen] // _SQUARE_FROM)
    filled = np.cumsum(work) // TASK_MEMBERS
    return np.split(chosen, np.flatnonzero(np.diff(filled)) + 1)


def _cluster(
    stored: np.ndarray,
    inverse: np.ndarray,
    components: Components,
    seeds: np.ndarray,
    threshold: float,
    floor: float,
    mirror: Mirror | None,
    chosen: np.ndarray,
) -> np.ndarray:
    part = components.select(chosen)
    unit = np.asarray(stored[part.members], np.float32) * inverse[part.members, None].astype(np.float32)
    return cluster_components(unit, part.offsets, seeds[chosen], threshold, floor, mirror)


def keepers_of(
    stored: np.ndarray,
    inverse: np.ndarray,
    components: Components,
    labels: np.ndarray,
    rank: np.ndarray,
    threshold: float,
    mirror: Mirror | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Keeper row and cosine to it for every row of `rank`; rows outside components keep themselves.

    In each community the best-ranked row is kept, and drops those at least `threshold` near to it; the best of the rest is
    kept next, until none is left. So every dropped row is near its own keeper.

    Args:
        labels: see `communities_of`.
        rank: int64 [n], distinct, lower is better kept.

    Returns:
        int64 [n], float32 [n].
    """
    from .cell_kernels import settle_communities

    keeper, sim = np.arange(len(rank)), np.ones(len(rank), np.float32)
    if not len(components):
        return keeper, sim
    component = np.repeat(np.arange(len(components)), components.sizes)
    order = np.lexsort((rank[components.members], labels, component))
    members, component, labels = components.members[order], component[order], labels[order]
    new = (component[1:] != component[:-1]) | (labels[1:] != labels[:-1])
    starts = np.concatenate(([0], np.flatnonzero(new) + 1, [len(members)]))
    bits = stored.view(np.uint16) if stored.dtype == np.float16 else stored
    o = orbits(mirror)
    settle_communities(bits, inverse, o.first, o.second, o.sign, members, starts, threshold, keeper, sim)
    return keeper, sim


def seeds_of(ids: np.ndarray, components: Components) -> np.ndarray:
    """uint64 [c]: first bytes of each component's smallest id. `ids`: bytes S16 [n], ascending with rows or not."""
    if not len(components):
        return np.zeros(0, np.uint64)
    members = ids[components.members]
    high, low = halves(members)
    place = np.empty(len(members), np.int64)
    place[order_of(high, low)] = np.arange(len(members))
    smallest = np.minimum.reduceat(place, components.offsets[:-1])
    by_place = np.empty(len(members), np.int64)
    by_place[place] = np.arange(len(members))
    return high[by_place[smallest]] >> np.uint64(32)
