"""Is the region a query falls into a void, thin, normal, or poisoned?

The density at a query is the mean score of its nearest samples. What counts as little is asked of the dataset
itself: the same mean at its own samples, of queries of the same kind (images among images; alt texts among
images, whose cosines are much lower; or texts among texts, in shares of the best possible BM25).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError

VOID, THIN, NORMAL, POISONED, UNKNOWN = "void", "thin", "normal", "poisoned", "unknown"
VERDICTS = (VOID, THIN, POISONED, NORMAL, UNKNOWN)


@dataclass(frozen=True)
class DensityRules:
    """What the words mean. Ours, not measured on a task: set them for your data.

    Attributes:
        neighbors: nearest samples whose mean score is the density.
        void_below: a query less dense than this share of the dataset's own samples is in a void.
        thin_below: as `void_below`, for thin.
        poisoned_share: a region that is neither void nor thin is poisoned when at least this share of the
            neighbors is flagged (dropped, duplicate, low quality or misaligned); and more than chance would put
            there, see `poisoned_from`.
        references: own samples asked for the comparison, at most.
    """

    neighbors: int = 20
    void_below: float = 0.01
    thin_below: float = 0.10
    poisoned_share: float = 0.5
    references: int = 500

    def __post_init__(self) -> None:
        if self.neighbors < 1 or self.references < 1:
            raise ConfigError("density: neighbors and references must be at least 1")
        if not 0 <= self.void_below <= self.thin_below <= 1 or not 0 < self.poisoned_share <= 1:
            raise ConfigError(
                "density: write 0 <= void_below <= thin_below <= 1 and 0 < poisoned_share <= 1, got "
                f"{self.void_below}, {self.thin_below} and {self.poisoned_share}"
            )


def density_of(scores: np.ndarray, neighbors: int) -> float:
    """Mean of the `neighbors` best scores, missing ones counted as 0: few matches are not many."""
    best = np.sort(np.asarray(scores, np.float64))[::-1][:neighbors]
    return float(best.sum() / neighbors) if neighbors else 0.0


def percentile_of(density: float, reference: np.ndarray) -> float | None:
    """Share of the reference densities below this one, ties half; None without a reference."""
    if not len(reference):
        return None
    ordered = np.sort(reference)
    below, up_to = np.searchsorted(ordered, density, "left"), np.searchsorted(ordered, density, "right")
    return float((below + up_to) / (2 * len(ordered)))


def poisoned_from(base: float, rules: DensityRules) -> float:
    """Share of flagged neighbors from which a region is poisoned, where `base` of all samples are flagged.

    At least `poisoned_share`, and two standard errors above what neighbors drawn at random would have; but never
    more than 0.9: where nearly all is bad, all of it is poisoned.
    """
    chance = base + 2 * (base * (1 - base) / rules.neighbors) ** 0.5
    return max(rules.poisoned_share, min(0.9, chance))


def verdict_of(
    percentile: float | None, flagged_share: float, matches: int, base: float, rules: DensityRules
) -> str:
    """void | thin | poisoned | normal | unknown.

    Args:
        percentile: of `percentile_of`.
        flagged_share: of the neighbors; base: of all samples.
        matches: neighbors found; none is a void, whatever the rest.
    """
    if not matches:
        return VOID
    if percentile is None:
        return UNKNOWN
    if percentile < rules.void_below:
        return VOID
    if percentile < rules.thin_below:
        return THIN
    return POISONED if flagged_share >= poisoned_from(base, rules) else NORMAL
