"""A component with all its pair cosines, not only those among k neighbors.

In a group of more than k near-copies each row lists only k of the others, so the group looks sparse
and a community method cuts it up. Here every pair counts; very close members are merged into one
weighted node first, which keeps large groups small: the sum of cosines between two merged nodes
is the dot product of their summed unit vectors.

With a mirror the members of a node are first turned the way its leader faces, and two nodes are
compared as wholes, as they are or one mirrored. The weight is then a lower bound of the sum over the
pairs, and misses it only by the pairs that are nearer the other way; those lie where both ways are
about equally near. Without merging it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..embedding.encoder import Mirror
from .mirrored import halves

#: Components up to this size are completed pair by pair; larger ones are merged first.
MERGE_ABOVE = 256
#: Weighted nodes up to this number get all their pairs; above, only pairs with mean cosine >= floor.
DENSE_LIMIT = 1_500


@dataclass(frozen=True)
class Completed:
    """Weighted graph of one component.

    Attributes:
        node_of: int64 [m], node of each member, nodes numbered by their first member.
        sizes: int64 [p], members per node.
        src, dst: int64 [e], node pairs, src < dst.
        weight: float64 [e], sum of the cosines over all member pairs of the two nodes.
        all_pairs: whether every node pair is present.
    """

    node_of: np.ndarray
    sizes: np.ndarray
    src: np.ndarray
    dst: np.ndarray
    weight: np.ndarray
    all_pairs: bool

    def mean(self) -> np.ndarray:
        """float64 [e]: mean cosine of each node pair."""
        return self.weight / (self.sizes[self.src] * self.sizes[self.dst])


def complete(unit: np.ndarray, threshold: float, floor: float, mirror: Mirror | None = None) -> Completed:
    """Complete one component.

    Args:
        unit: float64 [m, d], members' unit vectors in the order of their ids.
        threshold: cosine above which two samples count as near-duplicates; sets what is merged.
        floor: see DENSE_LIMIT.
        mirror: with it, the similarity of two members is the larger of the cosines to the other and to
            its mirror image.
    """
    m = len(unit)
    even, odd = halves(unit, mirror)
    node_of, facing = np.arange(m), np.ones(m)
    if m > MERGE_ABOVE:
        node_of, facing = _merge(even, odd, threshold)
    sizes = np.bincount(node_of)
    p = len(sizes)
    even_sums, odd_sums = np.zeros((p, even.shape[1])), np.zeros((p, odd.shape[1]))
    np.add.at(even_sums, node_of, even)
    np.add.at(odd_sums, node_of, odd * facing[:, None])
    src, dst, weight = [], [], []
    for start in range(0, p, 1_024):
        block = even_sums[start : start + 1_024] @ even_sums.T
        block += np.abs(odd_sums[start : start + 1_024] @ odd_sums.T)
        keep = np.arange(start, start + len(block))[:, None] < np.arange(p)
        if p > DENSE_LIMIT:
            keep &= block >= floor * np.outer(sizes[start : start + len(block)], sizes)
        i, j = np.nonzero(keep)
        src.append(i + start)
        dst.append(j)
        weight.append(block[i, j])
    i, j, w = (np.concatenate(x) for x in (src, dst, weight))
    return Completed(node_of, sizes, i, j, w, all_pairs=len(i) == p * (p - 1) // 2)


def _merge(even: np.ndarray, odd: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Leader clustering: the first free member takes the free members very near to it.

    Within a quarter of the threshold's angle to the leader: two members of a node are within half of
    that angle, their cosine at least 1 - (1 - threshold) / 4, so no merged pair is in doubt.

    Returns:
        int64 [m] node of each member; float64 [m], -1 for those that face the other way than its leader.
    """
    near = np.cos(np.arccos(min(threshold, 1.0)) / 4)
    node_of, facing = np.full(len(even), -1, np.int64), np.ones(len(even))
    node = 0
    for start in range(0, len(even), 512):
        if (node_of[start : start + 512] >= 0).all():
            continue
        turned = odd[start : start + 512] @ odd.T
        cosines = even[start : start + 512] @ even.T + np.abs(turned)
        for i, r in enumerate(range(start, start + len(cosines))):
            if node_of[r] >= 0:
                continue
            taken = (cosines[i] >= near) & (node_of < 0)
            taken[r] = True
            node_of[taken] = node
            facing[taken & (turned[i] < 0)] = -1.0
            node += 1
    return node_of, facing
