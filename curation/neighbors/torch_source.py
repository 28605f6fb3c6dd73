"""Where a search's vectors are, and how its device gets at them.

Importing this imports torch, so import it inside functions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import psutil
import torch

from .torch_vectors import Block, make_block, operand_dtype, read_ahead

PLACES = ("auto", "device", "host", "disk")
#: Rows read, assigned and shuffled at a time.
_BLOCK_ROWS = {"cuda": 1 << 20, "cpu": 1 << 16}
_CPU_CHUNK_ROWS = 262_144


class Source:
    """Vectors on the device, in host memory, or too many for both.

    Attributes:
        vectors: float16 or float32 [n, d] array or memory map.
        device, operand: what searches, and the dtype its matrix product takes.
        place: device, host or disk.
        resident: the vectors on the device, for place device.
    """

    def __init__(self, vectors: np.ndarray, device: torch.device, place: str) -> None:
        """
        Args:
            place: of PLACES; auto takes the nearest with room. Place device reads everything here.
        """
        self.vectors, self.device = vectors, device
        self.operand = operand_dtype(device)
        self.place = _place_for(vectors, device) if place == "auto" else place
        self._block_rows = _BLOCK_ROWS.get(device.type, _BLOCK_ROWS["cpu"])
        self.resident: torch.Tensor | None = None
        if self.place == "device":
            dtype = torch.float16 if vectors.dtype == np.float16 else torch.float32
            self.resident = torch.empty(vectors.shape, dtype=dtype, device=device)
            for first, block in read_ahead(vectors, device, self._block_rows):
                self.resident[first : first + len(block)] = block

    def __len__(self) -> int:
        return len(self.vectors)

    def blocks(self) -> Iterator[Block]:
        """All rows, a block at a time, with their row positions as ids."""
        if self.resident is None:
            pieces = read_ahead(self.vectors, self.device, self._block_rows)
        else:
            split = self.resident.split(self._block_rows)
            pieces = zip(range(0, len(self), self._block_rows), split, strict=True)
        for first, piece in pieces:
            yield self._block(piece, torch.arange(first, first + len(piece), device=self.device))

    def rows(self, positions: np.ndarray) -> Block:
        """Some rows, int64 [m] positions, as a block."""
        positions = np.asarray(positions, np.int64)
        ids = torch.from_numpy(positions).to(self.device)
        if self.resident is not None:
            return self._block(self.resident[ids], ids)
        picked = torch.from_numpy(np.ascontiguousarray(self.vectors[positions]))
        return self._block(picked.to(self.device), ids)

    def span(self, first: int, last: int) -> Block:
        """Rows first..last - 1 as a block."""
        ids = torch.arange(first, last, device=self.device)
        if self.resident is not None:
            return self._block(self.resident[first:last], ids)
        return self._block(torch.from_numpy(np.array(self.vectors[first:last])).to(self.device), ids)

    def tensor(self) -> torch.Tensor:
        """All vectors as one tensor: on the device, or over the memory they have on the host."""
        if self.resident is not None:
            return self.resident
        with warnings.catch_warnings():
            # torch has no read-only tensors; nothing here writes to this one.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(self.vectors)

    def chunk_rows(self) -> int:
        """Rows with operands that may be on the device at once: a quarter of what is free.

        The next cell, tiles and float64 pieces need room as well.
        """
        if self.device.type != "cuda":
            return _CPU_CHUNK_ROWS
        row_bytes = self.vectors.shape[1] * (self.vectors.itemsize + 2) + 16
        return max(1, int(torch.cuda.mem_get_info(self.device)[0] / 4 / row_bytes))

    def group_rows(self, probes: int) -> int:
        """Rows of a group, see `torch_store`, that may be on the device: half of what is free, as stored."""
        if self.device.type != "cuda":
            return 4 * _CPU_CHUNK_ROWS
        row_bytes = self.vectors.shape[1] * self.vectors.itemsize + 2 * probes + 8
        return max(1, int(torch.cuda.mem_get_info(self.device)[0] / 2 / row_bytes))

    def _block(self, original: torch.Tensor, ids: torch.Tensor) -> Block:
        return make_block(original, ids, self.operand)


def _place_for(vectors: np.ndarray, device: torch.device) -> str:
    """The nearest place with room for the vectors and for work beside them."""
    if device.type == "cuda" and vectors.nbytes < 0.6 * torch.cuda.mem_get_info(device)[0]:
        return "device"
    in_memory = not isinstance(vectors, np.memmap) or vectors.nbytes < 0.5 * psutil.virtual_memory().available
    return "host" if in_memory else "disk"
