"""One pass of matrix product and comparison, for CUDA: one bit per pair is all that leaves the chip.

A plain product writes every cosine to memory and reads it again to compare it with the row's bar,
2 bytes per pair each way. Here the comparison happens in registers and the result is packed into
words of 32 columns: 1/8 byte per pair, no atomics, so the same bits on every run.

Importing this imports triton, so import it inside functions.
"""

from __future__ import annotations

import functools
import subprocess
import time
from collections.abc import Callable

import torch
import triton
import triton.language as tl

from .torch_tiles import propose_plain
from .torch_vectors import proposal_margin

#: Rows, columns and depth of the tile of one program, its warps, and its stages of loads in flight:
#: 147 KB of shared memory.
_ROWS, _COLS, _DEPTH, _WARPS, _STAGES = 128, 256, 64, 8, 3

#: Words that are taken apart at once: 1 GB. Above, the plain path first raises the bars.
_MOST_WORDS = 1 << 23


@triton.jit
def _compare(
    rows,
    cols,
    bar,
    words,
    n_rows,
    n_cols,
    words_per_row,
    d: tl.constexpr,
    block_rows: tl.constexpr,
    block_cols: tl.constexpr,
    block_depth: tl.constexpr,
    group_rows: tl.constexpr,
):
    # Programs that run together share rows and columns, so that their loads hit the L2 cache.
    pid = tl.program_id(0)
    row_tiles = tl.cdiv(n_rows, block_rows)
    col_tiles = tl.cdiv(n_cols, block_cols)
    group = pid // (group_rows * col_tiles)
    first = group * group_rows
    size = min(row_tiles - first, group_rows)
    row_tile = first + (pid % (group_rows * col_tiles)) % size
    col_tile = (pid % (group_rows * col_tiles)) // size

    r = row_tile * block_rows + tl.arange(0, block_rows)
    c = col_tile * block_cols + tl.arange(0, block_cols)
    depth = tl.arange(0, block_depth)
    # Rows beyond the end wrap around: their results are masked, and the loads need no mask.
    row_at = rows + (r % n_rows)[:, None] * d + depth[None, :]
    col_at = cols + (c % n_cols)[None, :] * d + depth[:, None]
    total = tl.zeros((block_rows, block_cols), dtype=tl.float32)
    for _ in range(0, d, block_depth):
        total = tl.dot(tl.load(row_at), tl.load(col_at), total)
        row_at += block_depth
        col_at += block_depth

    low = tl.load(bar + r, mask=r < n_rows, other=float("inf"))
    passed = ((total >= low[:, None]) & (c < n_cols)[None, :]).to(tl.int32)
    packed = tl.reshape(passed, (block_rows, block_cols // 32, 32)) << tl.arange(0, 32)[None, None, :]
    word = tl.sum(packed, axis=2)
    w = col_tile * (block_cols // 32) + tl.arange(0, block_cols // 32)
    where = words + r.to(tl.int64)[:, None] * words_per_row + w[None, :]
    tl.store(where, word, mask=(r < n_rows)[:, None] & (w < words_per_row)[None, :])


def passing_words(rows: torch.Tensor, cols: torch.Tensor, bar: torch.Tensor) -> torch.Tensor:
    """int32 [r, ceil(c / 32)]: bit i of word w says whether column 32 w + i is at or above the row's bar.

    Args:
        rows: float16 [r, d]; cols: float16 [c, d], both contiguous, d a multiple of 64, r d and c d
            below 2^31.
        bar: float32 [r].

    Raises:
        ValueError: another depth.
    """
    (n_rows, d), n_cols = rows.shape, len(cols)
    if d % _DEPTH:
        raise ValueError(f"vectors of {d} dimensions; the kernel needs a multiple of {_DEPTH}")
    words = torch.empty((n_rows, triton.cdiv(n_cols, 32)), dtype=torch.int32, device=rows.device)
    grid = (triton.cdiv(n_rows, _ROWS) * triton.cdiv(n_cols, _COLS),)
    _compare[grid](
        rows, cols, bar, words, n_rows, n_cols, words.shape[1],
        d=d, block_rows=_ROWS, block_cols=_COLS, block_depth=_DEPTH, group_rows=8,
        num_warps=_WARPS, num_stages=_STAGES,
    )  # fmt: skip
    return words


def propose_fused(
    rows: torch.Tensor, cols: torch.Tensor, bar: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Pairs (row, column) of a tile at or above the rows' bars, int64 [m] each; None where most pass."""
    words = passing_words(rows, cols, bar)
    r, w = torch.nonzero(words, as_tuple=True)
    if len(r) > _MOST_WORDS:
        return None
    bits = (words[r, w, None] >> torch.arange(32, device=words.device, dtype=torch.int32)) & 1
    hit, bit = torch.nonzero(bits, as_tuple=True)
    return r[hit], w[hit] * 32 + bit


@functools.cache
def fused_speedup(device: str, d: int) -> float:
    """How many times faster than the plain path the kernel proposes a tile; 0 where it is not usable.

    It is usable when it compiles on this device and finds the planted pairs of a small problem, and
    those only.
    """
    if d % _DEPTH:
        return 0.0
    generator = torch.Generator(device).manual_seed(0)
    sizes = (300, 700), (8_192, 65_536)
    try:
        for rows, cols in sizes:
            a = torch.randn((rows, d), generator=generator, device=device)
            b = torch.randn((cols, d), generator=generator, device=device)
            planted = torch.arange(0, rows, 7, device=device)
            b[cols - 1 - planted] = a[planted]
            a, b = (torch.nn.functional.normalize(x).half() for x in (a, b))
            bar = torch.full((rows,), 0.98, device=device)
            r, c = propose_fused(a, b, bar)
            if not (torch.equal(r, planted) and torch.equal(c, cols - 1 - planted)):
                return 0.0
        margin = proposal_margin(torch.float16, d)
        fused = _seconds(lambda: propose_fused(a, b, bar))
        plain = _seconds(lambda: list(propose_plain(a, b, bar, 100, margin)))
    except (RuntimeError, OSError, subprocess.SubprocessError, triton.TritonError):
        return 0.0  # no compiler on this machine, another architecture, ...
    return plain / fused


def _seconds(work: Callable[[], object]) -> float:
    """Best of five, after one to warm up. Both paths end by reading a size, which waits for the device."""
    work()
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best
