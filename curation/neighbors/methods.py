"""Other rules for duplicates, on the same vectors and edges, to compare with communities.

`components`: everything connected by edges above the threshold is one group (clip-retrieval and others
do this). Chains go all the way: a dropped row may be far below the threshold from its keeper.

`semdedup` (Abbas et al. 2023): spherical k-means; in each cluster, rows in the order of their distance
from the centroid, the farthest ("hard") first; row j is dropped if its cosine to any row i < j of its
cluster is above the threshold (1 - eps). What follows from the rule as it stands:

- two copies on different sides of a cell boundary never meet, and both stay;
- row i counts even when it was dropped itself, so of a chain only the first in that order stays, and
  a dropped row may be below the threshold from what is kept in its stead;
- the outlying copy is kept, not the best one;
- the comparison is `>`, where the threshold of the other rules is `>=`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..embedding.encoder import Mirror
from .components import component_labels, members_of
from .exact import Edges
from .mirrored import halves
from .vectors import pair_cosines

#: Rows per k-means cluster on average; the paper's runs have about 9,000.
ROWS_PER_CLUSTER = 1_000
_ITERATIONS, _SEED = 100, 1234
_STEP = 1_024

Rule = Callable[
    [np.ndarray, np.ndarray, Edges, np.ndarray, float, Mirror | None], tuple[np.ndarray, np.ndarray]
]


def components(
    vectors: np.ndarray,
    inverse: np.ndarray,
    edges: Edges,
    rank: np.ndarray,
    threshold: float,
    mirror: Mirror | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Plain connected components; the best-ranked member of each is kept.

    Args:
        vectors: float16 or float32 [n, d]; inverse: float64 [n], see `vectors.inverse_norms`.
        edges: pairs; those below the threshold are passed over.
        rank: int64 [n], 0 for the row best kept, see `keeper.keeper_rank`.
        threshold: cosine from which two rows are near-duplicates.
        mirror: with it, cosines are the larger of those to the other vector and to its mirror image.

    Returns:
        int64 [n] keeper of every row, itself where kept; float32 [n] cosine to it, 1 where kept.
        The cosine of a dropped row may be below the threshold.
    """
    n = len(vectors)
    strong = edges.above(threshold)
    labels = component_labels(n, strong.src, strong.dst)
    best = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(best, labels, rank)
    row_of = np.empty(n, np.int64)
    row_of[rank] = np.arange(n)
    keeper_of = row_of[best[labels]] if n else np.zeros(0, np.int64)
    return keeper_of, _to_keeper(vectors, inverse, keeper_of, mirror)


def semdedup(
    vectors: np.ndarray,
    inverse: np.ndarray,
    edges: Edges,
    rank: np.ndarray,
    threshold: float,
    mirror: Mirror | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """SemDeDup's rule with eps = 1 - threshold and a cluster per `ROWS_PER_CLUSTER` rows.

    Args and returns as `components`. The rule has no use for edges and rank: what it keeps follows from the
    distances to centroids. A dropped row's keeper is the row most like it among those before it, or that
    row's own keeper where it was dropped too. A zero vector is like nothing, and stays.
    """
    n = len(vectors)
    keeper_of = np.arange(n)
    if n > 1:
        unit = (vectors.astype(np.float32) * inverse[:, None]).astype(np.float32)
        cluster, closeness = _spherical_kmeans(unit, max(1, round(n / ROWS_PER_CLUSTER)))
        for members in members_of(cluster, at_least=2):
            ordered = members[np.lexsort((members, closeness[members]))]
            keeper_of[ordered] = ordered[_dropped_for(unit[ordered], threshold, mirror)]
        # A row dropped for a dropped row goes on to the latter's keeper; nearer to the root each time.
        while (keeper_of[keeper_of] != keeper_of).any():
            keeper_of = keeper_of[keeper_of]
    return keeper_of, _to_keeper(vectors, inverse, keeper_of, mirror)


#: Rules by the name a recipe gives them.
RULES: dict[str, Rule] = {"components": components, "semdedup": semdedup}


def _to_keeper(
    vectors: np.ndarray, inverse: np.ndarray, keeper_of: np.ndarray, mirror: Mirror | None
) -> np.ndarray:
    rows = np.flatnonzero(keeper_of != np.arange(len(keeper_of)))
    sim = np.ones(len(keeper_of), np.float32)
    sim[rows] = pair_cosines(vectors, rows, keeper_of[rows], inverse, mirror)
    return sim


def _spherical_kmeans(unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n] cluster and float32 [n] cosine to its centroid; float32 [n, d] unit vectors."""
    import faiss

    kmeans = faiss.Kmeans(
        unit.shape[1], k, niter=_ITERATIONS if k > 1 else 1, spherical=True, seed=_SEED,
        min_points_per_centroid=1, max_points_per_centroid=max(256, ROWS_PER_CLUSTER),
    )  # fmt: skip
    kmeans.train(unit)
    closeness, cluster = kmeans.index.search(unit, 1)
    return cluster[:, 0].astype(np.int64), closeness[:, 0]


def _dropped_for(unit: np.ndarray, threshold: float, mirror: Mirror | None) -> np.ndarray:
    """int64 [m]: for every row the earlier row most like it, if above the threshold, else itself."""
    even, odd = halves(unit, mirror)
    m = len(unit)
    best, at = np.full(m, -np.inf, np.float32), np.arange(m)
    for start in range(0, m, _STEP):
        stop = min(m, start + _STEP)
        block = even[start:stop] @ even[start:].T
        if odd.shape[1]:
            block += np.abs(odd[start:stop] @ odd[start:].T)
        block[np.arange(start, stop)[:, None] >= np.arange(start, m)] = -np.inf
        found = block.argmax(axis=0)
        value = block[found, np.arange(m - start)]
        better = value > best[start:]
        best[start:][better] = value[better]
        at[start:][better] = found[better] + start
    return np.where(best > threshold, at, np.arange(m))
