"""Similarity of two pictures, either of which may be mirrored: s(x, y) = max(cos(x, y), cos(x, M y)).

The vector's mirror M is a signed permutation and its own inverse, so space splits into the half M
keeps (even) and the half it negates (odd). There x = (e, o), M x = (e, -o), and therefore
s(x, y) |x||y| = e·e' + |o·o'|: symmetric, and no more work than one dot product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..embedding.encoder import Mirror


@dataclass(frozen=True)
class Orbits:
    """The components a mirror exchanges, as the compiled loops take them.

    Attributes:
        first, second: int64 [p], exchanged components, first <= second; equal where it stays in place.
        sign: float64 [p], 1 or -1.
    """

    first: np.ndarray
    second: np.ndarray
    sign: np.ndarray


def orbits(mirror: Mirror | None) -> Orbits:
    """The orbits of a mirror; none of them without a mirror."""
    if mirror is None:
        return Orbits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    first = np.flatnonzero(mirror.source >= np.arange(len(mirror.source)))
    return Orbits(first, mirror.source[first].astype(np.int64), mirror.sign[first].astype(np.float64))


def halves(x: np.ndarray, mirror: Mirror | None) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal coordinates of float [n, d] rows in the even and the odd half, [n, e] and [n, d - e].

    Without a mirror everything is even.
    """
    if mirror is None:
        return x, x[:, :0]
    o = orbits(mirror)
    sign = o.sign.astype(x.dtype)
    swap = o.first != o.second
    left, right = x[:, o.first[swap]], x[:, o.second[swap]] * sign[swap]
    root = np.sqrt(x.dtype.type(0.5))
    even = np.concatenate([x[:, o.first[~swap & (sign > 0)]], (left + right) * root], axis=1)
    odd = np.concatenate([x[:, o.first[~swap & (sign < 0)]], (left - right) * root], axis=1)
    return even, odd
