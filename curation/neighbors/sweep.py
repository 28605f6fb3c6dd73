"""Few new rows among many old ones: one pass over the old rows' codes, while the few stay in cache.

The pairs compared are those of `cell_search`, the cells of new rows being listed instead of those of all: an old row meets
the new ones whose own cell it can be found in, and those that can be found in its own. Bounds by the first coordinates of
the codes leave few for those by all, and these for the vectors; so the lists are as exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ..embedding.encoder import Mirror
from .cell_search import Codes, Found, joined
from .exact import Edges, undirected
from .mirrored import orbits
from .pairs import SearchSettings
from .workspace import FanOut, ranges

#: Old rows of one task, and list entries of the new rows it may keep.
_TASK_ROWS, _TASK_ENTRIES = 262_144, 4_000_000


@dataclass(frozen=True, eq=False)
class _Few:
    """New rows in the order of one listing: rows int64 [m]; codes float32 [m, r + 1]; begins float32 [m, p] and
    rests float32 [m], see `sweep_kernels.rest_of`; starts int64 [cells + 1] and listed int64: who is found in each cell."""

    rows: np.ndarray
    codes: np.ndarray
    begins: np.ndarray
    rests: np.ndarray
    starts: np.ndarray
    listed: np.ndarray


@dataclass(frozen=True, eq=False)
class _Pass:
    """One way of meeting: codes and cells of the old rows, the new rows listed, and whose list a pair is offered to."""

    codes: np.ndarray
    cells: np.ndarray
    few: _Few
    theirs: bool


def swept(
    stored: np.ndarray,
    codes: Codes,
    first_new: int,
    settings: SearchSettings,
    mirror: Mirror | None,
    fan_out: FanOut,
) -> tuple[Edges, int]:
    """Pairs of an old and a new row among those compared, and how many cosines were computed.

    Each new row's k nearest old rows, and each old row's k nearest new ones.
    """
    parts = []
    most = max(1, _TASK_ENTRIES // settings.k)
    for start in range(first_new, len(codes.cells), most):
        new = np.arange(start, min(start + most, len(codes.cells)))
        for each in _passes(codes, new):
            task = partial(_sweep, stored, codes.inverse, codes.margin, each, settings, mirror)
            found = joined(list(fan_out(task, ranges(first_new, _TASK_ROWS))))
            parts.append(_nearest(found, settings.k) if each.theirs else found)
    found = joined(parts)
    return undirected(found.src, found.dst, found.cos), found.scored


def _passes(codes: Codes, new: np.ndarray) -> list[_Pass]:
    own = codes.cells[new, :1]
    upright, spread = _listed(codes, new, own, own), _listed(codes, new, codes.cells[new], own)
    found = [
        _Pass(codes.codes, codes.cells, upright, theirs=True),
        _Pass(codes.codes, np.ascontiguousarray(codes.cells[:, :1]), spread, theirs=False),
    ]
    if codes.turned_codes is not None and codes.turned_cells is not None:
        cells = codes.turned_cells[new]
        turned = _listed(codes, new, cells, cells, codes.turned_codes)
        found.append(_Pass(codes.codes, codes.cells, turned, theirs=True))
        found.append(_Pass(codes.turned_codes, codes.turned_cells, spread, theirs=False))
    return found


def _listed(
    codes: Codes, new: np.ndarray, cells: np.ndarray, order_by: np.ndarray, facing: np.ndarray | None = None
) -> _Few:
    """The new rows in the order of one cell each, so that those of a cell lie together.

    Args:
        cells: int32 [m, w], where each is found; order_by: int32 [m, 1].
        facing: codes of all rows as they face; default: upright.
    """
    from .cell_kernels import sort_by_cell
    from .sweep_kernels import PREFIX, rests_of

    order = np.argsort(order_by[:, 0], kind="stable")
    rows = new[order]
    own = np.array(codes.codes[rows] if facing is None else facing[rows])
    begins, rests = (
        np.ascontiguousarray(own[:, : min(PREFIX, own.shape[1] - 1)]),
        np.empty(len(rows), np.float32),
    )
    rests_of(begins, np.float32(codes.margin), rests)
    listed, starts = sort_by_cell(
        np.ascontiguousarray(cells[order]), np.ones(len(rows), bool), codes.cell_count
    )
    return _Few(rows, own, begins, rests, starts, listed)


def _sweep(
    stored: np.ndarray,
    inverse: np.ndarray,
    margin: float,
    way: _Pass,
    settings: SearchSettings,
    mirror: Mirror | None,
    rows: tuple[int, int],
) -> Found:
    from .sweep_kernels import sweep_rows

    few, lists = way.few, len(way.few.rows) if way.theirs else 1
    heap_cos = np.empty((lists, settings.k), np.float32)
    heap_id = np.empty((lists, settings.k), np.int64)
    fill = np.zeros(lists, np.int64)
    bits = stored.view(np.uint16) if stored.dtype == np.float16 else stored
    o = orbits(mirror)
    src, dst, cos, scored = sweep_rows(
        way.codes, way.cells, bits, inverse, *rows, few.rows, few.codes, few.begins, few.rests, few.starts, few.listed,
        way.theirs, o.first, o.second, o.sign, np.float32(settings.floor), np.float32(margin),
        np.float32(settings.saturation), heap_cos, heap_id, fill,
    )  # fmt: skip
    if not way.theirs:
        return Found(src, dst, cos, scored)
    filled = np.flatnonzero(fill)
    at = np.repeat(filled, fill[filled])
    ends = np.cumsum(fill[filled])
    place = np.arange(len(at)) - np.repeat(ends - fill[filled], fill[filled])
    return Found(few.rows[at], heap_id[at, place], heap_cos[at, place], scored)


def _nearest(found: Found, k: int) -> Found:
    """The k best of each `src`; of equals the lower row."""
    if not len(found.src) or np.bincount(found.src).max() <= k:
        return found
    order = np.lexsort((found.dst, -found.cos, found.src))
    src = found.src[order]
    begins = np.flatnonzero(np.concatenate(([True], src[1:] != src[:-1])))
    place = np.arange(len(src)) - np.repeat(begins, np.diff(np.concatenate((begins, [len(src)]))))
    chosen = order[place < k]
    return Found(found.src[chosen], found.dst[chosen], found.cos[chosen], found.scored)
