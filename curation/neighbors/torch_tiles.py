"""Each row's nearest rows among many, in tiles: never more than one tile of cosines at a time.

A tile is proposed in low precision and leaves only the pairs that may pass; those are re-ranked with
the stored vectors. A row's bar is the floor, and rises once it has k neighbors; so exactness does not
depend on tile sizes, and memory is O(tile + rows k).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from .torch_vectors import Block, exact_cosines, proposal_margin

#: Columns whose largest cosine is taken before single cosines are looked at.
STRIP = 64
#: Columns of a tile with `Shortlist`'s rows: 4 GB of half-precision cosines on CUDA, 16 MB elsewhere.
_COLS = {"cuda": 65_536, "cpu": 8_192}
_ROWS = {"cuda": 32_768, "cpu": 512}
#: Most proposed pairs held before they are re-ranked, and most cosines looked at singly in one piece.
_PENDING = 1 << 24

#: (rows unit [r, d], cols unit [c, d], bar float32 [r]) -> pairs (row, column), int64 [m] each, or None
#: where so many pass that the bars should be raised first.
Proposer = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor] | None]


class Shortlist:
    """The k nearest of some rows, from blocks offered one after another.

    Attributes:
        rows: the rows that look for neighbors.
    """

    def __init__(
        self, rows: Block, k: int, floor: float, propose: Proposer | None = None, cols: int | None = None
    ) -> None:
        """
        Args:
            k: neighbors per row, at least 1.
            floor: smallest cosine kept, compared as float32.
            propose: see Proposer; None for `propose_plain`, which also copes with a low floor.
            cols: columns of a tile.
        """
        device = rows.unit.device
        self.rows = rows
        self._k, self._floor = k, torch.tensor(floor, dtype=torch.float32, device=device)
        self._propose = propose
        self._cols = cols or _COLS.get(device.type, _COLS["cpu"])
        self._margin = proposal_margin(rows.unit.dtype, rows.unit.shape[1])
        self._bar = torch.full((len(rows),), floor - self._margin, dtype=torch.float32, device=device)
        self._row = torch.zeros(0, dtype=torch.int64, device=device)
        self._id = torch.zeros(0, dtype=torch.int64, device=device)
        self._cos = torch.zeros(0, dtype=torch.float32, device=device)

    def offer(self, cols: Block) -> None:
        """Look through a block. A row never meets the row of its own id."""
        pending, count = [], 0
        enough = min(_PENDING, 4 * self._k * len(self.rows))
        for first in range(0, len(cols), self._cols):
            tile = cols.unit[first : first + self._cols]
            found = self._propose and self._propose(self.rows.unit, tile, self._bar)
            if found is None or len(found[0]) > enough:
                pieces = propose_plain(self.rows.unit, tile, self._bar, self._k, self._margin)
            else:
                pieces = iter([found])
            for r, c in pieces:
                pending.append((r, c + first))
                count += len(r)
                if count > enough:  # the bars of full rows rise, so that fewer pairs of the next tiles pass
                    self._take(cols, pending)
                    pending, count = [], 0
        if count:
            self._take(cols, pending)

    def pairs(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(row id int64 [m], neighbor id int64 [m], cosine float32 [m]), by row, nearest first."""
        return self.rows.ids[self._row], self._id, self._cos

    def _take(self, cols: Block, pending: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Re-rank pairs, keep each row's k best of old and new, and raise the bars of full rows."""
        r, c = (torch.cat(part) for part in zip(*pending, strict=True))
        other = (self.rows.ids[r] != cols.ids[c]) & (self.rows.inverse[r] > 0) & (cols.inverse[c] > 0)
        r, c = r[other], c[other]
        cos = exact_cosines(self.rows, r, cols, c)
        near = cos >= self._floor
        row = torch.cat([self._row, r[near]])
        ids = torch.cat([self._id, cols.ids[c[near]]])
        cos = torch.cat([self._cos, cos[near]])
        # Nearest first within each row, equal cosines by id: two sorts, of which the second is stable.
        order = torch.argsort(ids)
        order = order[torch.argsort(_row_and_cosine(row[order], cos[order]), stable=True)]
        row = row[order]
        size = torch.bincount(row, minlength=len(self.rows))
        rank = torch.arange(len(row), device=row.device) - (size.cumsum(0) - size)[row]
        best = rank < self._k
        self._row, self._id, self._cos = row[best], ids[order][best], cos[order][best]
        last = self._cos[(rank == self._k - 1)[best]]
        full = self._row[(rank == self._k - 1)[best]]
        self._bar[full] = torch.maximum(self._bar[full], last - self._margin)


def _row_and_cosine(row: torch.Tensor, cos: torch.Tensor) -> torch.Tensor:
    """int64 keys that sort by row, then by descending cosine."""
    # A float's bits, seen as an integer, rise with a positive number and fall with a negative one.
    # 0.0 is added because -0.0 has other bits than 0.0, which it equals.
    bits = (cos + 0.0).view(torch.int32).long()
    rising = torch.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))
    return (row << 32) - rising


def propose_plain(
    rows: torch.Tensor, cols: torch.Tensor, bar: torch.Tensor, k: int, margin: float
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Pairs of a tile at or above the rows' bars, in pieces of bounded size.

    The largest cosine of every STRIP columns is taken first: one pass over the tile, after which only
    the strips that pass are looked at. The k-th largest of a row's strips is at most its k-th
    largest cosine; where more than enough strips pass, the row's bar is raised to it, in place.

    Args:
        rows: [r, d] unit vectors; cols: [c, d], the same dtype.
        bar: float32 [r], smallest proposed cosine.
        k: neighbors per row.
        margin: `proposal_margin`.
    """
    cosines = rows @ cols.T  # [r, c]
    whole = cosines.shape[1] // STRIP * STRIP
    strips = cosines[:, :whole].unflatten(1, (-1, STRIP))  # [r, s, STRIP], a view
    tops = strips.amax(2) if whole else cosines[:, :0]
    passing = tops >= bar[:, None]
    per_row = passing.sum(1)
    # One more than k: the row itself may be among the columns. Zero vectors, which meet nobody, have a
    # proposed cosine of 0, so that only a bar above 0 says that there are k neighbors.
    heavy = torch.nonzero(per_row > k + 1).squeeze(1)
    if len(heavy):
        kth = tops[heavy].topk(k + 1, dim=1).values[:, -1].float() - 2 * margin
        bar[heavy] = torch.where(kth > 0, torch.maximum(bar[heavy], kth), bar[heavy])
        passing[heavy] = tops[heavy] >= bar[heavy, None]
        per_row = passing.sum(1)
    # Slices of rows such that no piece looks at more than about _PENDING cosines.
    cost = (per_row * STRIP + 1).cumsum(0)
    slices = torch.searchsorted(cost, torch.arange(_PENDING, int(cost[-1]) + _PENDING, _PENDING).to(cost))
    cuts = sorted({0, len(rows), *slices.clamp(max=len(rows)).tolist()})
    for first, last in zip(cuts[:-1], cuts[1:], strict=True):
        r, s = torch.nonzero(passing[first:last], as_tuple=True)
        r = r + first
        hit, w = torch.nonzero(strips[r, s] >= bar[r, None], as_tuple=True)
        yield r[hit], s[hit] * STRIP + w
    if whole < cosines.shape[1]:
        r, c = torch.nonzero(cosines[:, whole:] >= bar[:, None], as_tuple=True)
        yield r, c + whole


def nearest(
    load: Callable[[int, int], Block],
    queries: int,
    total: int,
    chunk: int,
    k: int,
    floor: float,
    propose: Proposer | None = None,
    tile: tuple[int, int] | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """The k nearest of rows 0..queries - 1 among rows 0..total - 1, which need not fit the device.

    Args:
        load: rows first..last - 1 as a block; asked for at most `chunk` rows at a time.
        queries: at most `total`.
        tile: rows and columns of a tile; None for what suits the device.

    Yields:
        `Shortlist.pairs` of successive rows.
    """
    for q0 in range(0, queries, chunk):
        q1 = min(q0 + chunk, queries)
        whole = load(0, total) if total <= chunk else None
        own = load(q0, q1) if whole is None else whole.part(q0, q1)
        step = tile[0] if tile else _ROWS.get(own.unit.device.type, _ROWS["cpu"])
        lists = [
            Shortlist(own.part(at, min(at + step, len(own))), k, floor, propose, tile[1] if tile else None)
            for at in range(0, len(own), step)
        ]
        if whole is not None:
            # One list at a time: the others hold nothing yet, which keeps the memory low.
            for shortlist in lists:
                shortlist.offer(whole)
                yield shortlist.pairs()
            continue
        for d0 in range(0, total, chunk):
            block = own if (d0, min(d0 + chunk, total)) == (q0, q1) else load(d0, min(d0 + chunk, total))
            for shortlist in lists:
                shortlist.offer(block)
        for shortlist in lists:
            yield shortlist.pairs()
