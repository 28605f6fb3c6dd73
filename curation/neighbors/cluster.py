"""Communities of many components at once: what a worker does with its batch.

Most components of a dataset are pairs and triples, so nothing here may cost much per component: all of
up to a dozen members are done in one compiled loop, which finds their best partition by trying all. The
rest are completed and cut by Leiden one by one. A component's result depends on its own vectors, seed and
settings alone, never on the batch it came in.
"""

from __future__ import annotations

import numpy as np

from ..embedding.encoder import Mirror
from .complete import complete
from .leiden import EXACT_LIMIT, communities
from .mirrored import orbits


def cluster_components(
    vectors: np.ndarray,
    offsets: np.ndarray,
    seeds: np.ndarray,
    threshold: float,
    floor: float,
    mirror: Mirror | None = None,
) -> np.ndarray:
    """CPM communities of components, see `complete` and `leiden`.

    Args:
        vectors: float32 or float64 [m, d], members of one component after the other, each in the order of
            their ids. Need not be unit vectors: cosines are of their float64 values. A zero vector has
            cosine 0 to everything.
        offsets: int64 [c + 1], component i has rows offsets[i]..offsets[i + 1] - 1; none is empty.
        seeds: int64 or uint64 [c], for Leiden; e.g. a hash of the smallest member id.
        threshold: cosine from which two samples are near-duplicates.
        floor: see `complete.complete`.
        mirror: with it, the similarity is the larger of the cosines to the other and to its mirror image.

    Returns:
        int64 [m]: community of each row, numbered within its component by first member.

    Raises:
        ValueError: offsets that do not cut the rows into components, or not one seed per component.
    """
    from .community_kernels import inverse_norms_of, label_small

    offsets = np.asarray(offsets, np.int64)
    sizes = np.diff(offsets)
    if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(vectors) or (sizes < 1).any():
        raise ValueError(f"offsets must rise from 0 to {len(vectors)}, the number of rows")
    if len(seeds) != len(sizes):
        raise ValueError(f"{len(sizes)} components but {len(seeds)} seeds")
    if vectors.dtype not in (np.float32, np.float64):
        raise ValueError(f"vectors must be float32 or float64, got {vectors.dtype}")
    vectors = np.ascontiguousarray(vectors)
    inverse = np.empty(len(vectors))
    inverse_norms_of(vectors, inverse)
    labels = np.zeros(len(vectors), np.int64)
    o = orbits(mirror)
    small = np.flatnonzero(sizes <= EXACT_LIMIT)
    label_small(vectors, inverse, offsets, small, threshold, o.first, o.second, o.sign, labels)
    for c in np.flatnonzero(sizes > EXACT_LIMIT):
        rows = slice(offsets[c], offsets[c + 1])
        unit = vectors[rows].astype(np.float64) * inverse[rows, None]
        labels[rows] = communities(complete(unit, threshold, floor, mirror), threshold, int(seeds[c]))
    return labels
