"""Cells of similar vectors, and which rows belong to which, on a torch device.

Every row has one cell of its own, the nearest centroid's, where it looks for neighbors. It is also
listed, as somebody's possible neighbor, in further cells whose border it is close to: a pair is found
when either of the two is listed in the other's own cell. The distance to the border between the own
centroid c and another c' is x·(c - c') / |c - c'|; rows nearer than `slack` are listed there. The two
distances of a pair parted by a border add up to at most the length of its difference along one
direction, which is small in a space of many dimensions: so listing by distance needs far fewer
copies than a fixed number of cells per row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

#: Rows compared with all centroids at a time.
_STEP = 65_536
_LLOYD_ROUNDS = 8


@dataclass(frozen=True)
class Routing:
    """Which cells a row is listed in.

    Attributes:
        centroids: float16 or float32 [cells, d], unit vectors.
        probes: most cells a row is listed in, its own included.
        slack: largest distance to a border, see above; 0..1.
    """

    centroids: torch.Tensor
    probes: int
    slack: float

    def __len__(self) -> int:
        return len(self.centroids)


def default_slack(floor: float) -> float:
    """A slack where no pairs are at hand to measure one: a quarter of the chord at cosine `floor`.

    The chord's part along a given direction has a standard deviation of chord / sqrt(D) in D
    dimensions, a pair needs half of it, so this is above three of them from D = 40 on. Ours.
    """
    return 0.25 * float(np.sqrt(max(0.0, 2 - 2 * floor)))


def fit_centroids(sample: torch.Tensor, cells: int, seed: int, rounds: int = _LLOYD_ROUNDS) -> torch.Tensor:
    """Spherical k-means (Lloyd) from random rows; [cells, d] unit vectors of the sample's dtype.

    Sums are taken in integers, which have no rounding: they do not depend on the order of additions, so
    that the same machine finds the same cells again. Each round, a centroid with less than a
    quarter of the mean share moves to a random row of one of the largest cells, which keeps cells even.

    Args:
        sample: [s, d] unit vectors, at least `cells` of them.

    Raises:
        ValueError: fewer rows than cells.
    """
    s, d = sample.shape
    if s < cells:
        raise ValueError(f"{s} sampled rows for {cells} cells; give fewer cells")
    generator = np.random.default_rng(seed)
    centroids = sample[torch.from_numpy(generator.permutation(s)[:cells]).to(sample.device)].clone()
    for round_ in range(rounds):
        own = torch.cat([_closeness(p, centroids).argmax(1) for p in sample.split(_STEP)])
        sums = torch.zeros((cells, d), dtype=torch.int64, device=sample.device)
        for start in range(0, s, _STEP):
            fixed = (sample[start : start + _STEP].double() * 2.0**30).round().long()
            sums.index_add_(0, own[start : start + _STEP], fixed)
        means = torch.nn.functional.normalize(sums.double(), dim=1)
        sizes = torch.bincount(own, minlength=cells)
        kept = torch.where((sizes > 0)[:, None], means, centroids.double())
        centroids = kept.to(sample.dtype)
        small = torch.nonzero(sizes * 4 * cells < s).squeeze(1)
        if round_ < rounds - 1 and len(small):
            largest = torch.argsort(sizes, descending=True, stable=True)[: len(small)]
            crowded = torch.isin(own, largest).nonzero().squeeze(1)
            chosen = generator.integers(0, len(crowded), len(small))
            centroids[small] = sample[crowded[torch.from_numpy(chosen).to(crowded.device)]]
    return centroids


def group_cells(routing: Routing, groups: int) -> torch.Tensor:
    """int64 [cells]: group of each cell, from 0 on; cells of a group are neighbors."""
    if groups >= len(routing):
        return torch.arange(len(routing), device=routing.centroids.device)
    centers = fit_centroids(routing.centroids, groups, seed=0)
    return torch.unique(_closeness(routing.centroids, centers).argmax(1), return_inverse=True)[1]


def slack_at(needed: np.ndarray, share: float) -> float:
    """The smallest slack that finds a share of all pairs with 95% confidence.

    The order statistic above which a binomial says that it is so; the largest of too small a sample.

    Args:
        needed: `needed_slack` of a sample of the pairs, [m]; inf for those that no slack finds.
        share: 0..1.
    """
    from scipy.stats import binom

    within = np.sort(needed[np.isfinite(needed)])
    if not len(within):
        return 1.0
    return float(within[min(len(within) - 1, int(binom.ppf(0.95, len(needed), share)))])


def listed_cells(unit: torch.Tensor, routing: Routing) -> torch.Tensor:
    """int16 or int32 [m, probes]: cells that list each row, its own first, -1 where there are fewer."""
    probes = min(routing.probes, len(routing))
    gram = _closeness(routing.centroids, routing.centroids)
    dtype = torch.int16 if len(routing) < 2**15 else torch.int32
    out = torch.empty((len(unit), probes), dtype=dtype, device=unit.device)
    for start in range(0, len(unit), _STEP):
        close, cell = _closeness(unit[start : start + _STEP], routing.centroids).topk(probes, dim=1)
        border = _border_distance(close[:, :1] - close, gram, cell[:, :1], cell)
        out[start : start + _STEP] = torch.where(border <= routing.slack, cell, -1)
    return out


def needed_slack(routing: Routing, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """float32 [m]: slack from which each pair of unit vectors, [m, d] each, is found; or inf."""
    probes = min(routing.probes, len(routing))
    gram = _closeness(routing.centroids, routing.centroids)
    best = torch.full((len(a),), float("inf"), device=a.device)
    for start in range(0, len(a), _STEP):
        rows = slice(start, start + _STEP)
        close_a, cell_a = _closeness(a[rows], routing.centroids).topk(probes, dim=1)
        close_b, cell_b = _closeness(b[rows], routing.centroids).topk(probes, dim=1)
        for close, cell, other in ((close_a, cell_a, cell_b), (close_b, cell_b, cell_a)):
            border = _border_distance(close[:, :1] - close, gram, cell[:, :1], cell)
            meets = torch.where(cell == other[:, :1], border, float("inf")).amin(1)
            best[rows] = torch.minimum(best[rows], meets)
    return best


def _closeness(x: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """[m, cells] dot products."""
    return x @ centroids.T


def _border_distance(
    lead: torch.Tensor, gram: torch.Tensor, own: torch.Tensor, cell: torch.Tensor
) -> torch.Tensor:
    """float32 [m, p]: distance to the border with each cell, from the lead x·(c - c') of the own; own: 0."""
    apart = (2 - 2 * gram[own, cell].float()).clamp(min=1e-6).sqrt()
    return torch.where(cell == own, 0.0, lead.float() / apart)
