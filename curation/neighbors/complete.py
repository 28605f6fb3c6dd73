"""A component with all its pair cosines, not only those among k neighbors.

In a group of more than k near-copies each row lists only k of the others, so the group looks sparse
and a community method cuts it up. Here every pair counts; very close members are merged into one
weighted node first, which keeps large groups small: the sum of cosines between two merged nodes
is the dot product of their summed unit vectors. The mean cosine of two nodes is rounded to millionths.

By size, so that memory stays bounded:

1. Up to MERGE_ABOVE members: all pairs.
2. Above, a component whose members are all within half of the threshold's angle of their mean is one node;
   otherwise leaders merge (see `merging`).
3. Up to DENSE_LIMIT nodes: all pairs. If all pairs turn out to reach the threshold: one node.
4. Above, the pairs of mean cosine >= floor; a pair that is not listed counts as one at the floor.
5. Where those are more than MAX_PAIRS, dense places merge into balls first.
6. Where they still are, the component is split at a higher threshold (see `split.capped_parts`) into
   parts small enough to be completed. Pairs in different parts are not listed.

Time is quadratic in the nodes. A component of very many nodes should be split along its edges
before it comes here: `split.bounded_components`.

With a mirror the members of a node are first turned the way its leader faces, and two nodes are
compared as wholes, as they are or one mirrored. The weight is then a lower bound of the sum over the
pairs, and misses it only by the pairs that are nearer the other way; those lie where both ways are
about equally near. Without merging it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..embedding.encoder import Mirror
from .merging import balls, in_one_ball, leaders, tolerance_of
from .mirrored import halves
from .split import capped_parts

#: Components up to this size are completed pair by pair; larger ones are merged first.
MERGE_ABOVE = 256
#: Weighted nodes up to this number get all their pairs; above, only pairs with mean cosine >= floor.
DENSE_LIMIT = 3_000
#: Pairs of a graph at most: with the community search, about 100 bytes each.
MAX_PAIRS = 5_000_000
#: A pair that is not listed counts as one at the floor, but at least this far below the threshold.
_LEAST_GAP = 0.1
#: Dot products of one block, float64.
_CELLS = 4_000_000


@dataclass(frozen=True)
class Completed:
    """Weighted graph of one component.

    Attributes:
        node_of: int64 [m], node of each member, nodes numbered by their first member.
        sizes: int64 [p], members per node.
        src, dst: int64 [e], node pairs, src < dst, in ascending order.
        weight: float64 [e], sum of the cosines over all member pairs of the two nodes: their mean in whole
            millionths, times the pairs.
        all_pairs: whether every node pair is present.
        absent: cosine that a member pair of two nodes counts as where the two are no pair here.
    """

    node_of: np.ndarray
    sizes: np.ndarray
    src: np.ndarray
    dst: np.ndarray
    weight: np.ndarray
    all_pairs: bool
    absent: float = 0.0

    def mean(self) -> np.ndarray:
        """float64 [e]: mean cosine of each node pair, in whole millionths."""
        return np.rint(self.weight / (self.sizes[self.src] * self.sizes[self.dst]) * 1e6) / 1e6


@dataclass(frozen=True)
class _Nodes:
    """Merged members: node_of int64 [m]; sizes int64 [p]; even, odd: float64 [p, ...], summed vectors."""

    node_of: np.ndarray
    sizes: np.ndarray
    even: np.ndarray
    odd: np.ndarray


@dataclass(frozen=True)
class _Scan:
    """Pairs >= floor (as far as there was room), their number, the least of all pairs, see `scan_pairs`."""

    src: np.ndarray
    dst: np.ndarray
    micro: np.ndarray
    count: int
    lowest: int
    bins: np.ndarray


def complete(unit: np.ndarray, threshold: float, floor: float, mirror: Mirror | None = None) -> Completed:
    """Complete one component.

    Args:
        unit: float64 [m, d], members' unit vectors in the order of their ids, m >= 1.
        threshold: cosine from which two samples count as near-duplicates; sets what is merged.
        floor: mean cosine of the pairs listed above DENSE_LIMIT nodes.
        mirror: with it, the similarity of two members is the larger of the cosines to the other and to
            its mirror image.
    """
    m = len(unit)
    even, odd = (np.ascontiguousarray(x) for x in halves(unit, mirror))
    facing = np.ones(m)
    if m <= MERGE_ABOVE:
        nodes = _Nodes(np.arange(m), np.ones(m, np.int64), even, odd)
    else:
        if in_one_ball(even, odd, threshold):
            return _one_node(m)
        node_of, facing = leaders(even, odd, threshold)
        nodes = _merged(even, odd, node_of, facing)
    p = len(nodes.sizes)
    if p > DENSE_LIMIT:
        return _sparse(even, odd, nodes, facing, threshold, floor)
    found = _scan(nodes, threshold, -1.0, p * (p - 1) // 2)
    return _graph(nodes, found, threshold, 0.0)


def _sparse(
    even: np.ndarray, odd: np.ndarray, nodes: _Nodes, facing: np.ndarray, threshold: float, floor: float
) -> Completed:
    """Steps 4 to 6 of the module's list."""
    absent = min(floor, threshold - _LEAST_GAP)
    found = _scan(nodes, threshold, floor, MAX_PAIRS, whole=False)
    if found.count <= MAX_PAIRS or found.lowest >= _micro(threshold):
        return _graph(nodes, found, threshold, absent)
    nodes = _merged(even, odd, *balls(even, odd, threshold, nodes.node_of, facing))
    p = len(nodes.sizes)
    if p <= DENSE_LIMIT:
        return _graph(nodes, _scan(nodes, threshold, -1.0, p * (p - 1) // 2), threshold, 0.0)
    found = _scan(nodes, threshold, floor, MAX_PAIRS)
    if found.count > MAX_PAIRS:
        raised = _strongest(found.bins, MAX_PAIRS)
        strong = _scan(nodes, threshold, raised, MAX_PAIRS)
        # parts of at most `limit` nodes have at most p * limit / 2 pairs together
        limit = max(2, 2 * MAX_PAIRS // p)
        part = capped_parts(p, strong.src, strong.dst, strong.micro, limit)
        found = replace(_scan(nodes, threshold, floor, MAX_PAIRS, part), lowest=found.lowest)
    return _graph(nodes, found, threshold, absent)


def _one_node(m: int) -> Completed:
    none = np.zeros(0, np.int64)
    return Completed(np.zeros(m, np.int64), np.array([m]), none, none, np.zeros(0), all_pairs=True)


def _merged(even: np.ndarray, odd: np.ndarray, node_of: np.ndarray, facing: np.ndarray) -> _Nodes:
    from .community_kernels import sum_rows

    sizes = np.bincount(node_of)
    sums = np.zeros((len(sizes), even.shape[1])), np.zeros((len(sizes), odd.shape[1]))
    sum_rows(even, node_of, np.ones(len(even)), sums[0])
    sum_rows(odd, node_of, facing, sums[1])
    return _Nodes(node_of, sizes, *sums)


def _micro(cosine: float) -> int:
    """The least whole millionths at or above a cosine."""
    return int(np.ceil(round(cosine * 1e6, 3)))


def _scan(
    nodes: _Nodes,
    threshold: float,
    floor: float,
    capacity: int,
    part: np.ndarray | None = None,
    whole: bool = True,
) -> _Scan:
    """Go through all node pairs in blocks: upper triangle, dot products by BLAS, settled in `scan_pairs`.

    Args:
        whole: go on when the pairs are too many to be kept.
    """
    from .community_kernels import scan_pairs

    p = len(nodes.sizes)
    src, dst = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    micro = np.empty(capacity, np.int32)
    bins = np.zeros(2_001, np.int64)
    part = np.zeros(0, np.int64) if part is None else part
    tolerance = tolerance_of(nodes.even.shape[1] + nodes.odd.shape[1])
    count, lowest, row0 = 0, 2_000_000, 0
    while row0 < p and (whole or count <= capacity or lowest >= _micro(threshold)):
        row1 = min(p, row0 + max(1, min(1_024, _CELLS // (p - row0))))
        block = nodes.even[row0:row1] @ nodes.even[row0:].T
        if nodes.odd.shape[1]:
            block += np.abs(nodes.odd[row0:row1] @ nodes.odd[row0:].T)
        count, least = scan_pairs(
            block, row0, nodes.even, nodes.odd, nodes.sizes, tolerance, _micro(floor),
            part, src, dst, micro, count, bins,
        )  # fmt: skip
        lowest, row0 = min(lowest, least), row1
    kept = min(count, capacity)
    return _Scan(src[:kept], dst[:kept], micro[:kept], count, lowest, bins)


def _strongest(bins: np.ndarray, most: int) -> float:
    """The lowest mean cosine, in thousandths, from which there are at most so many pairs."""
    above = np.cumsum(bins[::-1])[::-1]
    fits = np.flatnonzero(above <= most)
    return (int(fits[0]) - 1_000) / 1_000 if len(fits) else 1.0


def _graph(nodes: _Nodes, found: _Scan, threshold: float, absent: float) -> Completed:
    m, p = len(nodes.node_of), len(nodes.sizes)
    if p > 1 and m > MERGE_ABOVE and found.lowest >= _micro(threshold):
        return _one_node(m)
    pairs = nodes.sizes[found.src] * nodes.sizes[found.dst]
    weight = found.micro / 1e6 * pairs
    return Completed(
        nodes.node_of, nodes.sizes, found.src, found.dst, weight, found.count == p * (p - 1) // 2, absent
    )
