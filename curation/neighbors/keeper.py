"""Which sample of a group is kept, and who may be dropped for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

#: Measures a keeper is chosen by, the first that differs deciding.
KEEPER_ORDER = ("pixels", "quality", "aesthetic", "bytes_per_pixel", "caption_chars")


def keeper_rank(measures: Mapping[str, np.ndarray], order: Sequence[str] = KEEPER_ORDER) -> np.ndarray:
    """int64 [n]: 0 for the row best kept. Larger measures win; ties go to the lower position.

    Args:
        measures: name -> number per row; NaN counts as the smallest.
        order: names in `measures`, most important first.

    Raises:
        ValueError: an unknown measure.
    """
    unknown = [name for name in order if name not in measures]
    if unknown or not order:
        named = f"unknown keeper measure {unknown[0]!r}" if unknown else "no keeper measure"
        raise ValueError(f"{named}; there are {', '.join(sorted(measures))}")
    keys = [-np.nan_to_num(np.asarray(measures[name], np.float64), nan=-np.inf) for name in reversed(order)]
    rank = np.empty(len(keys[0]), np.int64)
    if not len(rank):
        return rank
    telling = [key for key in keys if key.min() != key.max()]
    rank[np.lexsort(telling) if telling else slice(None)] = np.arange(len(rank))
    return rank


def settle(
    members: np.ndarray,
    rank: np.ndarray,
    cosines_to: Callable[[int, np.ndarray], np.ndarray],
    threshold: float,
) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Split a community so that every member is within the threshold of its own keeper.

    The best-ranked member is the keeper; those not similar enough to it form the next group, with
    their own keeper, until none is left.

    Args:
        members: positions in one community.
        rank: see `keeper_rank`, over all positions.
        cosines_to: (position, positions) -> float32 cosines.

    Returns:
        (keeper, members with the keeper first, their cosine to it) per group.
    """
    groups = []
    rest = members[np.argsort(rank[members])]
    while len(rest):
        keeper = int(rest[0])
        cos = cosines_to(keeper, rest)
        cos[0] = 1.0
        near = cos.astype(np.float64) >= threshold
        near[0] = True
        groups.append((keeper, rest[near], cos[near]))
        rest = rest[~near]
    return groups
