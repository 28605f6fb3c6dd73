"""Copies that are turned or mirrored: their cosine under the operation, and components turned to face one way."""

from __future__ import annotations

import numpy as np

from ..embedding.symmetry import COMPOSITION, INVERSE, Symmetries
from .vectors import row_dots

_STEP = 8_192


def confirm(
    vectors: np.ndarray,
    inverse_norms: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    op: np.ndarray,
    symmetries: Symmetries,
) -> np.ndarray:
    """float32 [m]: cosine of `vectors[a[i]]` with `vectors[b[i]]` after operation `op[i]` on the latter.

    The same bits whatever the order or the blocks.

    Args:
        vectors: float16 or float32 [n, d].
        inverse_norms: float64 [n], of `vectors.inverse_norms`.
        a, b: int64 [m] positions; op: int8 [m], 0..7.

    Raises:
        ValueError: the symmetries are of another dimension.
    """
    if vectors.shape[1] != symmetries.dim:
        raise ValueError(f"vectors of {vectors.shape[1]} dimensions, but symmetries of {symmetries.dim}")
    out = np.empty(len(a), np.float32)
    for start in range(0, len(a), _STEP):
        part = slice(start, start + _STEP)
        turned = symmetries.apply(op[part], np.asarray(vectors[b[part]], np.float32))
        dots = row_dots(np.asarray(vectors[a[part]], np.float32), turned)
        out[part] = dots * (inverse_norms[a[part]] * inverse_norms[b[part]])
    return out


def align(
    unit: np.ndarray,
    src: np.ndarray,
    dst: np.ndarray,
    cos: np.ndarray,
    op: np.ndarray,
    symmetries: Symmetries,
) -> tuple[np.ndarray, np.ndarray]:
    """Turn the members of a component to the orientation of its leader, the member at position 0.

    Orientations are carried along a maximum spanning tree of the cosines, so that the surest pairs decide; of equal
    cosines the pair that sorts first. Members the edges do not reach follow the smallest position they do reach.

    Args:
        unit: float64 [m, d].
        src, dst: int64 [e] positions in `unit`; cos: float [e]; op: int8 [e], the operation on dst that makes it
            face as src does.

    Returns:
        [m, d] aligned vectors; int8 [m]: the operation each member went through, 0 for the leader.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    m = len(unit)
    order = np.lexsort((op, dst, src, -np.asarray(cos, np.float64)))
    first = np.unique(np.stack([src, dst], 1)[order], axis=0, return_index=True)[1] if len(src) else order
    kept = order[np.sort(first)]  # parallel edges would add up in a sparse matrix
    # Ranks in place of cosines: all different, so there is one tree.
    rank = np.arange(1, len(kept) + 1)
    tree = minimum_spanning_tree(coo_array((rank, (src[kept], dst[kept])), shape=(m, m)).tocsr()).tocoo()
    edge = kept[tree.data.astype(np.int64) - 1]
    neighbors: list[list[tuple[int, int]]] = [[] for _ in range(m)]
    for s, d, k in zip(src[edge].tolist(), dst[edge].tolist(), op[edge].tolist(), strict=True):
        neighbors[s].append((d, k))
        neighbors[d].append((s, int(INVERSE[k])))
    turned_by = np.full(m, -1, np.int8)
    for root in range(m):
        if turned_by[root] >= 0:
            continue
        turned_by[root] = 0
        stack = [root]
        while stack:
            here = stack.pop()
            for other, k in neighbors[here]:
                if turned_by[other] < 0:
                    turned_by[other] = COMPOSITION[turned_by[here], k]
                    stack.append(other)
    return symmetries.apply(turned_by, unit), turned_by
