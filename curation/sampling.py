"""Rates and quotas per source: which rows of a source stay, by a hash of their ids alone.

One number `u` per row decides both: a row stays where `u` is below the source's rate and among the
`quota` smallest of the rows that the rate left. So the outcome depends neither on order nor on the
number of workers; a larger rate or quota keeps every row that a smaller one kept; and a dataset that
grows keeps its sample, but for rows that newcomers with smaller hashes push over the quota.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pyarrow as pa
import xxhash

#: Kept apart from trial runs (`--sample`), which hash the same ids: a trial must not be all kept, or all dropped.
_SALT = b"decisions/sampling\0"

RATE, QUOTA = "rate", "quota"


@dataclass(frozen=True)
class Share:
    """How much of a source stays: a share of its rows, then at most so many.

    Attributes:
        rate: 0..1.
        quota: rows; None for no limit.
    """

    rate: float = 1.0
    quota: int | None = None


def share_of(source: str | None, shares: Sequence[tuple[str, Share]]) -> Share:
    """The share of a source: the last glob that matches its name decides, as a whole; none: all of it."""
    chosen = Share()
    for glob, share in shares:
        if fnmatchcase(source or "", glob):
            chosen = share
    return chosen


def ranks(ids: pa.Array | pa.ChunkedArray, seed: int) -> np.ndarray:
    """uint64 [n, 3]: what rows are ordered by.

    Column 0 is xxh3-64 of the sample id, uniform over ids and independent between seeds; columns 1
    and 2 are the id itself, so that no two rows are equal.
    """
    raw = ids.to_pylist()
    hashed = np.fromiter((xxhash.xxh3_64_intdigest(_SALT + i, seed=seed) for i in raw), np.uint64, len(raw))
    halves = np.frombuffer(b"".join(raw), ">u8").reshape(len(raw), 2)
    return np.column_stack([hashed, halves.astype(np.uint64)])


def unit(ranked: np.ndarray) -> np.ndarray:
    """float64 [n] in [0, 1): the upper 53 bits of each hash."""
    return (ranked[:, 0] >> np.uint64(11)) * 2.0**-53


def cut(ranked: np.ndarray, share: Share) -> tuple[int, int, int] | None:
    """Rank of the first row of a source that its quota leaves out; None where the quota suffices.

    Args:
        ranked: uint64 [n, 3], all rows of the source that may stay, in any order.
    """
    below = ranked[unit(ranked) < share.rate]
    if share.quota is None or len(below) <= share.quota:
        return None
    at = np.lexsort((below[:, 2], below[:, 1], below[:, 0]))[share.quota]
    first, high, low = below[at].tolist()
    return first, high, low


def decide(ranked: np.ndarray, share: Share, first_out: tuple[int, int, int] | None) -> list[str | None]:
    """Why each row of one source goes: RATE, QUOTA, or None where it stays."""
    by_rate = unit(ranked) >= share.rate
    by_quota = np.zeros(len(ranked), bool)
    if first_out is not None:
        h, high, low = (np.uint64(v) for v in first_out)
        after = (ranked[:, 1] > high) | ((ranked[:, 1] == high) & (ranked[:, 2] >= low))
        by_quota = (ranked[:, 0] > h) | ((ranked[:, 0] == h) & after)
    return [
        RATE if rate else QUOTA if quota else None
        for rate, quota in zip(by_rate.tolist(), by_quota.tolist(), strict=True)
    ]
