"""The audit of a search: random rows compared with all others by brute force, kept and grown with the graph.

The sample is the rows with the smallest hashes of their ids: a random one of whatever rows there are, the same whether the
rows came at once or little by little. What it was compared with is not compared again: rows of the sample meet rows added
since, and rows that enter it meet all. So every run measures its recall against all pairs of the whole sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..embedding.encoder import Mirror
from .cell_search import Found, joined
from .digests import marks
from .pairs import SearchSettings, brute_force
from .quantizer import Quantizer
from .workspace import FanOut, Workspace


@dataclass(frozen=True, eq=False)
class Audit:
    """The sample int64 [s], ascending; and of each of its rows the nearest others with cosine >= floor."""

    rows: np.ndarray
    pairs: Found


def audit_of(
    space: Workspace,
    ids: np.ndarray,
    alive: np.ndarray,
    first_new: int,
    old: Audit | None,
    settings: SearchSettings,
    mirror: Mirror | None,
    quantizer: Quantizer,
    fan_out: FanOut,
) -> Audit:
    """The audit of all rows that are alive, from that of the rows before `first_new`.

    Args:
        ids: S16 [n]; alive: bool [n], which the norms of `space` agree with.
    """
    rows = _sample(ids, alive, settings)
    known, before = _known(rows, alive, old, settings.k)
    fresh = np.setdiff1d(rows, known, assume_unique=True)
    parts = [before, brute_force(space, fresh, settings, mirror, quantizer, fan_out)]
    if space.rows > first_new:
        parts.append(brute_force(space, known, settings, mirror, quantizer, fan_out, first_new))
    return Audit(rows, _best(joined(parts), settings.k))


def _sample(ids: np.ndarray, alive: np.ndarray, settings: SearchSettings) -> np.ndarray:
    at = np.flatnonzero(alive)
    if len(at) > settings.audited:
        at = at[np.argpartition(marks(ids[at], settings.seed), settings.audited - 1)[: settings.audited]]
    return np.sort(at)


def _known(rows: np.ndarray, alive: np.ndarray, old: Audit | None, k: int) -> tuple[np.ndarray, Found]:
    """Rows of the sample whose neighbors before are still all known, and these neighbors."""
    if old is None:
        return np.zeros(0, np.int64), joined([])
    found = old.pairs
    here = alive[found.dst]
    had = np.bincount(found.src, minlength=len(alive))
    short = np.bincount(found.src[~here], minlength=len(alive)) > 0
    # a full list that lost some may have hidden others
    known = rows[np.isin(rows, old.rows) & ~(short & (had >= k))[rows]]
    of_known = np.zeros(len(alive), bool)
    of_known[known] = True
    chosen = here & of_known[found.src]
    return known, Found(found.src[chosen], found.dst[chosen], found.cos[chosen], 0)


def _best(found: Found, k: int) -> Found:
    """Each pair once, and the k nearest of each row; of equals the lower."""
    order = np.lexsort((found.dst, -found.cos, found.src))
    src, dst, cos = found.src[order], found.dst[order], found.cos[order]
    if len(src):  # lists of the row and of its mirror image may name the same, with the same cosine
        again = np.concatenate(([False], (src[1:] == src[:-1]) & (dst[1:] == dst[:-1])))
        src, dst, cos = src[~again], dst[~again], cos[~again]
        begins = np.flatnonzero(np.concatenate(([True], src[1:] != src[:-1])))
        place = np.arange(len(src)) - np.repeat(begins, np.diff(np.concatenate((begins, [len(src)]))))
        src, dst, cos = src[place < k], dst[place < k], cos[place < k]
    return Found(src, dst, cos, found.scored)
