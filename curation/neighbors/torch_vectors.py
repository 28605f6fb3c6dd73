"""Vectors on a torch device: exact cosines, operands of the matrix product, and reading ahead from disk.

Importing this imports torch, so import it inside functions.

A half-precision product proposes, a float64 dot product of fixed order decides (`exact_dots`): the
same bits on any device, and what the compiled CPU loops give but for the last bit of a sum.
`proposal_margin` bounds how far off the proposal can be, so no pair is lost to rounding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Block:
    """Rows of a dataset on one device.

    Attributes:
        original: float16 or float32 [m, d], as stored.
        unit: float16 or float32 [m, d], normalized and rounded: operands of the matrix product.
        inverse: float64 [m], 1 / norm, 0 for a zero vector.
        ids: int64 [m], row positions in the dataset.
    """

    original: torch.Tensor
    unit: torch.Tensor
    inverse: torch.Tensor
    ids: torch.Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, first: int, last: int) -> Block:
        """Rows first..last - 1, without a copy."""
        rows = slice(first, last)
        return Block(self.original[rows], self.unit[rows], self.inverse[rows], self.ids[rows])


def operand_dtype(device: torch.device) -> torch.dtype:
    """What the matrix product takes: half precision where there are tensor cores, else float32."""
    return torch.float16 if device.type == "cuda" else torch.float32


def make_block(original: torch.Tensor, ids: torch.Tensor, operand: torch.dtype) -> Block:
    """A block from stored vectors, float16 or float32 [m, d], and their row positions, int64 [m].

    Raises:
        ValueError: a vector holds NaN or infinity; names the lowest such row.
    """
    squares = exact_dots(original, original)
    bad = ~torch.isfinite(squares)
    if bool(bad.any()):
        row = int(ids[bad].min())
        raise ValueError(f"vector of row {row} holds NaN or infinity; embed it again or leave it out")
    norms = squares.sqrt()
    inverse = torch.where(norms > 0, 1.0 / norms, torch.zeros_like(norms))
    unit = torch.empty(original.shape, dtype=operand, device=original.device)
    for start in range(0, len(original), _PIECE):
        rows = slice(start, start + _PIECE)
        unit[rows] = original[rows].double() * inverse[rows, None]
    return Block(original, unit, inverse, ids)


#: Pairs whose products are held in float64 at a time: 268 MB each at 512 dimensions.
_PIECE = 65_536


def exact_dots(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """float64 [m]: dot products of the rows of two float16 or float32 [m, d] tensors.

    Four running sums in a fixed order. Products of float32 are exact in float64, so a fused
    multiply-add changes nothing, and every device gives the same bits.
    """
    m, d = a.shape
    whole = d - d % 4
    out = torch.empty(m, dtype=torch.float64, device=a.device)
    piece = _PIECE if a.is_cuda else _PIECE // 16  # of the size of a processor's cache
    for start in range(0, m, piece):
        product = a[start : start + piece].double() * b[start : start + piece].double()
        sums = torch.zeros((len(product), 4), dtype=torch.float64, device=a.device)
        for i in range(0, whole, 4):
            sums += product[:, i : i + 4]
        for i in range(whole, d):
            sums[:, 0] += product[:, i]
        out[start : start + piece] = (sums[:, 0] + sums[:, 1]) + (sums[:, 2] + sums[:, 3])
    return out


def exact_cosines(rows: Block, r: torch.Tensor, cols: Block, c: torch.Tensor) -> torch.Tensor:
    """float32 [m]: cosine of `rows[r[i]]` with `cols[c[i]]`, as `vectors.pair_cosines` has it."""
    out = torch.empty(len(r), dtype=torch.float32, device=r.device)
    for start in range(0, len(r), _PIECE):
        i, j = r[start : start + _PIECE], c[start : start + _PIECE]
        found = exact_dots(rows.original[i], cols.original[j])
        out[start : start + _PIECE] = found * (rows.inverse[i] * cols.inverse[j])
    return out


def proposal_margin(operand: torch.dtype, d: int) -> float:
    """Largest distance of a proposed cosine from the true one, with `full_precision` in force.

    With u the unit roundoff of the operand: both factors and the output are rounded (3 u, as
    sum |a_i b_i| <= 1 for unit vectors), a product is summed in float32 in any order, also by units
    that truncate (d 2^-23), and components below the smallest normal half are off by at most 2^-25.
    """
    rounding = 2.0**-11 if operand == torch.float16 else 2.0**-24
    underflow = 2.0**-24 * d**0.5 if operand == torch.float16 else 0.0
    return 3 * rounding * (1 + 2 * rounding) + underflow + (d + 16) * 2.0**-23


@contextmanager
def full_precision() -> Iterator[None]:
    """Matrix products accumulate in float32 and take float32 operands as they are, while this is open."""
    cuda = torch.backends.cuda.matmul
    before = torch.get_float32_matmul_precision(), cuda.allow_fp16_reduced_precision_reduction
    torch.set_float32_matmul_precision("highest")
    cuda.allow_fp16_reduced_precision_reduction = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cuda.allow_fp16_reduced_precision_reduction = before[1]


def read_ahead(
    vectors: np.ndarray, device: torch.device, rows: int = 262_144, ahead: int = 3
) -> Iterator[tuple[int, torch.Tensor]]:
    """(first row, [rows, d] on the device) block by block; threads read while the device works.

    Host memory: `ahead` + 1 blocks, page-locked for a CUDA device. Its allocator does not hand such a
    buffer out again before the copy from it has finished.
    """
    dtype = torch.float16 if vectors.dtype == np.float16 else torch.float32

    def load(first: int) -> torch.Tensor:
        part = vectors[first : first + rows]
        block = torch.empty(part.shape, dtype=dtype, pin_memory=device.type == "cuda")
        np.copyto(block.numpy(), part)
        return block

    with ThreadPoolExecutor(ahead) as pool:
        starts = iter(range(0, len(vectors), rows))
        waiting = deque()
        for first in starts:
            waiting.append((first, pool.submit(load, first)))
            if len(waiting) > ahead:
                at, job = waiting.popleft()
                yield at, job.result().to(device, non_blocking=True)
        while waiting:
            at, job = waiting.popleft()
            yield at, job.result().to(device, non_blocking=True)
