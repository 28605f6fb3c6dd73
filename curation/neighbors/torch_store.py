"""The rows of each cell, brought together: gathered where the vectors are at hand, or shuffled on disk first.

What does not fit is shuffled into groups of neighboring cells, each of which fits. A row that several
cells list is written once per group, not once per cell; within a group, cells are gathered.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from .torch_cells import Routing, group_cells

#: Pieces of a group read at the same time: one reader alone waits for the disk.
_READERS = 8


class Gathered:
    """Cells as lists of row numbers; the vectors stay where they are, on the device or in host memory.

    A cell holds its own rows first, and after them the rows only listed there.
    """

    def __init__(
        self, vectors: torch.Tensor, listed: torch.Tensor, cells: int, ids: torch.Tensor | None = None
    ) -> None:
        """
        Args:
            vectors: [n, d] as stored, on any device.
            listed: int16 or int32 [n, probes], see `listed_cells`, on the device that searches. The own
                cell is in the first column, -1 where it is not among these.
            ids: int64 [n] of the rows; None where they are the row numbers.
        """
        self._device = listed.device
        self._vectors, self._ids = vectors, ids
        row, rank = torch.nonzero(listed >= 0, as_tuple=True)
        key, order = torch.sort(listed[row, rank].int() * 2 + (rank > 0), stable=True)
        edges = torch.arange(2 * cells + 1, dtype=key.dtype, device=key.device)
        self._begins = torch.searchsorted(key, edges).cpu().numpy()
        self._rows = row[order]

    def sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [cells] each: own rows, and all rows listed."""
        return np.diff(self._begins)[::2], self._begins[2::2] - self._begins[:-2:2]

    def load(self, cell: int, first: int, last: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows first..last - 1 of a cell: stored vectors and int64 ids, on the device that searches."""
        begin = int(self._begins[2 * cell])
        at = self._rows[begin + first : begin + last]
        rows = self._vectors[at.to(self._vectors.device)]
        if self._device.type == "cuda" and rows.device.type == "cpu":
            rows = rows.pin_memory()
        return rows.to(self._device, non_blocking=True), at if self._ids is None else self._ids[at]


class Shuffled:
    """Groups of cells on disk: every block of rows is sorted by group and appended.

    A group is one piece of every block, so both directions move large pieces: blocks of a million rows
    in 100 groups make pieces of ten megabytes and more. One file each of vectors, ids and lists of
    cells; the caller removes the folder.

    Attributes:
        rows: rows written, copies included.
        written_bytes: of all files.
    """

    def __init__(
        self,
        blocks: Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
        group_of: torch.Tensor,
        folder: Path,
    ) -> None:
        """
        Args:
            blocks: (stored vectors [m, d], int64 ids [m], `listed_cells` of them), on the device.
            group_of: int64 [cells], the group of each cell, from 0 on; on the device.
            folder: an empty folder on a disk with room for the vectors times groups per row.
        """
        self._group_of, self._device = group_of, group_of.device
        self.groups = int(group_of.max()) + 1
        self.rows = self.written_bytes = 0
        self._paths = [folder / name for name in ("vectors", "ids", "cells")]
        files = [path.open("wb") for path in self._paths]
        begins, starts = [], []
        try:
            with ThreadPoolExecutor(1) as writer:
                waiting = None
                for arrays in blocks:
                    at, begin = _by_group(arrays[2], group_of, self.groups)
                    parts = [_to_host(array[at]) for array in arrays]
                    begins.append(begin)
                    starts.append(self.rows)
                    self.rows += len(at)
                    self.written_bytes += sum(part.nbytes for part in parts)
                    self._like = [(part.shape[1:], torch.from_numpy(part[:0]).dtype) for part in parts]
                    if waiting is not None:
                        waiting.result()
                    waiting = writer.submit(_append, files, parts)
                if waiting is not None:
                    waiting.result()
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        finally:
            for file in files:
                file.close()
        self._begins, self._starts = np.stack(begins), np.array(starts)  # [blocks, groups + 1], [blocks]

    def load(self, group: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A group's vectors [m, d], ids int64 [m] and [m, probes] lists of its cells, -1 for others."""
        sizes = self._begins[:, group + 1] - self._begins[:, group]
        pinned = self._device.type == "cuda"
        out = [
            torch.empty((int(sizes.sum()), *shape), dtype=dtype, device=self._device)
            for shape, dtype in self._like
        ]

        def read(path: Path, like: torch.Tensor, start: int, size: int) -> torch.Tensor:
            part = torch.empty((size, *like.shape[1:]), dtype=like.dtype, pin_memory=pinned)
            _read(path, part.numpy(), start)
            return part

        def land() -> None:
            target, at, job = waiting.popleft()
            part = job.result()
            target[at : at + len(part)].copy_(part, non_blocking=True)

        waiting, at = deque(), 0
        with ThreadPoolExecutor(_READERS) as readers:
            for start, size in zip(
                (self._starts + self._begins[:, group]).tolist(), sizes.tolist(), strict=True
            ):
                for path, target in zip(self._paths, out, strict=True):
                    waiting.append((target, at, readers.submit(read, path, target, start, size)))
                    if len(waiting) > 2 * _READERS:
                        land()
                at += size
            while waiting:
                land()
        vectors, ids, listed = out
        here = (listed >= 0) & (self._group_of[listed.clamp(min=0).long()] == group)
        return vectors, ids, torch.where(here, listed, -1)


def choose_groups(routing: Routing, listed: torch.Tensor, n: int, limit: int) -> torch.Tensor:
    """int64 [cells]: the fewest groups of neighboring cells (nearly) that hold at most `limit` rows each.

    Args:
        listed: `listed_cells` of a random sample, which tells how many rows each group of `n` rows has.
    """
    groups = -(-n // limit)
    while True:
        group_of = group_cells(routing, groups)
        count = int(group_of.max()) + 1
        rows = np.diff(_by_group(listed, group_of, count)[1]) * (n / len(listed))
        if rows.max() <= limit or groups >= len(routing):
            return group_of
        groups = min(len(routing), groups + 1 + groups // 4)


def _by_group(listed: torch.Tensor, group_of: torch.Tensor, groups: int) -> tuple[torch.Tensor, np.ndarray]:
    """Rows of a block by group, each row once per group; and where each group begins, int64 [groups + 1]."""
    group = torch.where(listed >= 0, group_of[listed.clamp(min=0).long()], -1).sort(dim=1).values
    new = group >= 0
    new[:, 1:] &= group[:, 1:] != group[:, :-1]
    row, column = torch.nonzero(new, as_tuple=True)
    key, order = torch.sort(group[row, column], stable=True)
    begins = torch.searchsorted(key, torch.arange(groups + 1, device=key.device))
    return row[order], begins.cpu().numpy()


def _to_host(x: torch.Tensor) -> np.ndarray:
    """A copy on the host; from a CUDA device through page-locked memory, several times faster."""
    if not x.is_cuda:
        return x.numpy()
    return torch.empty(x.shape, dtype=x.dtype, pin_memory=True).copy_(x).numpy()


def _append(files: list, parts: list[np.ndarray]) -> None:
    for file, part in zip(files, parts, strict=True):
        file.write(part.reshape(-1).view(np.uint8))


def _read(path: Path, out: np.ndarray, row: int) -> None:
    """Fill `out` from row number `row` of a file of such rows.

    Raises:
        OSError: the file ends early.
    """
    if not len(out):
        return
    view = memoryview(out.reshape(-1).view(np.uint8))
    with path.open("rb", 0) as file:
        file.seek(row * (out.nbytes // len(out)))
        while len(view):
            got = file.readinto(view)
            if not got:
                raise OSError(f"{path} ends early; it was cut while in use")
            view = view[got:]
