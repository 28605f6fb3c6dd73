"""The most typical member of each community."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Rows held in float64 at a time.
_STEP = 8_192


@dataclass(frozen=True)
class Medoids:
    """Per community 0..c - 1.

    Attributes:
        size: int64 [c], members.
        medoid: int64 [c], row nearest by cosine to the mean of the members' unit vectors; ties to the first.
        mean_cos: float32 [c], mean cosine of the members to the medoid, itself included; 1 when alone.
    """

    size: np.ndarray
    medoid: np.ndarray
    mean_cos: np.ndarray


def medoids(vectors: np.ndarray, inverse: np.ndarray, labels: np.ndarray) -> Medoids:
    """Size, medoid and how tight it is, of every community.

    Args:
        vectors: float16 or float32 [n, d]; inverse: float64 [n], see `vectors.inverse_norms`. A zero
            vector has cosine 0 to everything.
        labels: int [n], every number 0..c - 1 in use.
    """
    size = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    starts = np.cumsum(size) - size
    medoid, mean_cos = np.empty(len(size), np.int64), np.empty(len(size), np.float32)
    first = 0
    while first < len(size):  # whole communities, as many as fit
        last = first + 1
        rows = int(size[first])
        while last < len(size) and rows + size[last] <= _STEP:
            rows += int(size[last])
            last += 1
        members = order[starts[first] : starts[first] + rows]
        local = np.repeat(np.arange(last - first), size[first:last])
        cut = starts[first:last] - starts[first]
        to_mean = _cosines_to(vectors, inverse, members, _sums(vectors, inverse, members, cut), local)
        # nearest first within each community, ties by position; the first of each is its medoid
        nearest = np.lexsort((members, -np.round(to_mean, 9), local))[cut]
        medoid[first:last] = members[nearest]
        chosen = _unit(vectors, inverse, medoid[first:last])
        to_medoid = _cosines_to(vectors, inverse, members, chosen, local)
        to_medoid[nearest] = 1.0
        mean_cos[first:last] = np.add.reduceat(to_medoid, cut) / size[first:last]
        first = last
    return Medoids(size, medoid, mean_cos)


def _unit(vectors: np.ndarray, inverse: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return vectors[rows].astype(np.float64) * inverse[rows, None]


def _sums(vectors: np.ndarray, inverse: np.ndarray, members: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """float64 [c, d]: direction of the mean of each run of members that begins at `cut`."""
    sums = np.zeros((len(cut), vectors.shape[1]))
    for start in range(0, len(members), _STEP):
        stop = min(start + _STEP, len(members))
        here = np.unique(np.concatenate([[start], cut[(cut > start) & (cut < stop)]]))
        owner = np.searchsorted(cut, here, side="right") - 1
        sums[owner] += np.add.reduceat(_unit(vectors, inverse, members[start:stop]), here - start)
    length = np.sqrt((sums**2).sum(axis=1, keepdims=True))
    return np.divide(sums, length, out=np.zeros_like(sums), where=length > 0)


def _cosines_to(
    vectors: np.ndarray, inverse: np.ndarray, members: np.ndarray, centers: np.ndarray, local: np.ndarray
) -> np.ndarray:
    """float64 [m]: cosine of each member to the center of its community."""
    out = np.empty(len(members))
    for start in range(0, len(members), _STEP):
        part = slice(start, start + _STEP)
        out[part] = np.einsum(
            "ij,ij->i", _unit(vectors, inverse, members[part]), centers[local[part]], optimize=False
        )
    return out
