"""Copies that are turned, or mirrored where the encoder does not show it: found by pHash, confirmed by a cosine.

They are looked for among the samples that are kept, once all else is grouped: a quarter turn is nothing to the vectors
of the other pictures, so it must not decide which of those belong together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..embedding.symmetry import COMPOSITION, INVERSE, MIRROR, Symmetries
from .exact import Edges
from .keeper import settle
from .oriented import confirm
from .phash import oriented_candidates
from .vectors import inverse_norms


@dataclass(frozen=True, eq=False)
class Turning:
    """How a turned copy is confirmed.

    Attributes:
        symmetries: what turning a picture does to a vector.
        threshold: cosine from which two vectors are copies.
        vectors_of: int64 [m] positions of rows -> float [m, d] vectors, where the dataset's own encoder has no symmetries:
            of another that has, e.g. `embedded` on the thumbnails. None for the dataset's own.
    """

    symmetries: Symmetries
    threshold: float
    vectors_of: Callable[[np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class Kept:
    """Who stands for whom: keeper int64 [n] row of each row; sim float32 [n]; facing int8 [n], Exif orientation in which a
    row is near its keeper, 1 as it is."""

    keeper: np.ndarray
    sim: np.ndarray
    facing: np.ndarray


@dataclass(frozen=True, eq=False)
class Turned:
    """The result: `kept`, and the pairs confirmed with the operation 1..7 on `edges.dst` that brings it to `edges.src`; how
    many candidates were looked at; and which rows were compared, bool [n]."""

    kept: Kept
    edges: Edges
    op: np.ndarray
    candidates: int
    compared: np.ndarray


@dataclass(frozen=True, eq=False)
class Earlier:
    """What an earlier run found, see `Turned`: pairs of rows `compared` then are not looked at again."""

    edges: Edges
    op: np.ndarray
    compared: np.ndarray


def earlier_of(turned: Turned | None, n: int) -> Earlier:
    """What to keep of a run over `n` rows for the next."""
    if turned is None:
        none = np.zeros(0, np.int64)
        return Earlier(Edges(none, none, np.zeros(0, np.float32)), np.zeros(0, np.int8), np.zeros(n, bool))
    return Earlier(turned.edges, turned.op, turned.compared)


def drop_turned(
    kept: Kept,
    phashes: np.ndarray,
    usable: np.ndarray,
    rank: np.ndarray,
    turning: Turning,
    radius: int,
    mirror_known: bool,
    stored: np.ndarray,
    inverse: np.ndarray,
    cosines_to: Callable[[int, np.ndarray], np.ndarray],
    threshold: float,
    earlier: Earlier | None = None,
) -> Turned:
    """Let kept rows stand for their turned copies, and for what those stood for where that is near enough too.

    Args:
        phashes: uint64 [n, 8]; usable: bool [n], rows with hashes, detailed enough, and not dropped for other reasons.
        rank: int64 [n], lower is better kept.
        radius: bits two hashes may differ in.
        mirror_known: mirrored copies were found already, by the vectors.
        stored, inverse: vectors and reciprocal norms of the dataset's own encoder.
        cosines_to, threshold: similarity of rows that face the same way, see `keeper.settle`.
    """
    every = np.arange(len(rank))
    compared = usable & (kept.keeper == every)
    fresh = ~earlier.compared if earlier is not None and earlier.compared.any() else None
    a, b, op = oriented_candidates(phashes, np.flatnonzero(compared), radius, fresh)
    least = MIRROR + 1 if mirror_known else MIRROR
    turned = op >= least
    a, b, op = a[turned], b[turned], op[turned]
    similar = _similarity(turning, stored, inverse)
    cos = similar(a, b, op)
    near = cos.astype(np.float64) >= turning.threshold
    found = (a[near], b[near], op[near], cos[near])
    if earlier is not None and fresh is not None:
        old = compared[earlier.edges.src] & compared[earlier.edges.dst]
        old &= ~fresh[earlier.edges.src] & ~fresh[earlier.edges.dst]
        parts = (earlier.edges.src, earlier.edges.dst, earlier.op, earlier.edges.cos)
        found = tuple(np.concatenate([new, part[old]]) for new, part in zip(found, parts, strict=True))
        order = np.lexsort((found[1], found[0]))
        found = tuple(part[order] for part in found)
    a, b, op, cos = found
    keeper, sim, facing = kept.keeper.copy(), kept.sim.copy(), kept.facing.copy()
    better = rank[a] < rank[b]
    # (winner, loser, operation on the loser); an operation undone is the other way round
    winner, loser = np.where(better, a, b), np.where(better, b, a)
    way = np.where(better, op, INVERSE[op])
    stands_for: dict[int, list[int]] = {}
    for row in np.flatnonzero(kept.keeper != every):
        stands_for.setdefault(int(kept.keeper[row]), []).append(int(row))
    for i in np.lexsort((rank[loser], rank[winner])):
        first, other = int(winner[i]), int(loser[i])
        if keeper[first] != first or keeper[other] != other:
            continue
        keeper[other], sim[other], facing[other] = first, cos[i], way[i] + 1
        members = np.array(stands_for.pop(other, []), np.int64)
        if not len(members):
            continue
        ways = COMPOSITION[way[i], kept.facing[members] - 1].astype(np.int8)
        found = similar(np.full(len(members), first), members, ways)
        same = found.astype(np.float64) >= turning.threshold
        moved = members[same]
        keeper[moved], sim[moved], facing[moved] = first, found[same], ways[same] + 1
        stands_for.setdefault(first, []).extend(moved.tolist())
        if not same.all():  # near the dropped one, not near enough to what stands for it
            for own, group, cosines in settle(members[~same], rank, cosines_to, threshold):
                keeper[group], sim[group], facing[group] = own, cosines, 1
    return Turned(Kept(keeper, sim, facing), Edges(a, b, cos), op, int(turned.sum()), compared)


def _similarity(
    turning: Turning, stored: np.ndarray, inverse: np.ndarray
) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """(rows, rows, operations on the second) -> float32 cosines."""

    def similar(a: np.ndarray, b: np.ndarray, op: np.ndarray) -> np.ndarray:
        if not len(a):
            return np.zeros(0, np.float32)
        if turning.vectors_of is None:
            return confirm(stored, inverse, a, b, op, turning.symmetries)
        rows, at = np.unique(np.concatenate([a, b]), return_inverse=True)
        vectors = np.asarray(turning.vectors_of(rows), np.float32)
        return confirm(vectors, inverse_norms(vectors), at[: len(a)], at[len(a) :], op, turning.symmetries)

    return similar
