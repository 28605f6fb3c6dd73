"""The arrays of a search, and how its tasks are run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..embedding.encoder import Mirror
from .quantizer import BLOCK, Quantizer
from .vectors import inverse_norms, thread_count


class FanOut(Protocol):
    """Runs one function over many arguments, in any order and any place, and gives the results in order."""

    def __call__(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterable[Any]: ...


def in_threads(function: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[Any]:
    """The fan-out of one process: as many threads as it may use, the matrix library one in each."""
    from threadpoolctl import threadpool_limits

    threads = min(thread_count(), max(1, len(arguments)))
    if threads == 1:
        yield from map(function, arguments)
        return
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, arguments)


@dataclass(frozen=True, eq=False)
class Workspace:
    """Attributes:
    stored: float16 or float32 [n, d], may be a memory map.
    inverse: float64 [n]; codes: float32 [n, r + 1]; turned_codes: the same of mirrored rows, or None.
    """

    stored: np.ndarray
    inverse: np.ndarray
    codes: np.ndarray
    turned_codes: np.ndarray | None

    @property
    def rows(self) -> int:
        return len(self.inverse)


def make_workspace(stored: np.ndarray, code_length: int, mirror: Mirror | None) -> Workspace:
    """Room in memory for the arrays of `stored`, still unfilled."""
    n = len(stored)
    turned = np.empty((n, code_length), np.float32) if mirror else None
    return Workspace(stored, np.empty(n), np.empty((n, code_length), np.float32), turned)


def fill_codes(space: Workspace, quantizer: Quantizer, mirror: Mirror | None, first: int, last: int) -> None:
    """Norms and codes of rows `first..last - 1`; a zero vector gets the code of nothing.

    Raises:
        ValueError: a vector holds NaN or infinity; names the row.
    """
    for start in range(first, last, BLOCK):
        rows = slice(start, min(start + BLOCK, last))
        block = np.asarray(space.stored[rows], np.float32)
        inverse = inverse_norms(block, start)
        space.inverse[rows] = inverse
        unit = block * inverse[:, None].astype(np.float32)
        space.codes[rows] = quantizer.projection.codes(unit)
        if mirror is not None and space.turned_codes is not None:
            space.turned_codes[rows] = quantizer.projection.codes(mirror.apply(unit))


def ranges(count: int, length: int) -> list[tuple[int, int]]:
    """0..count cut into pieces of at most `length`."""
    return [(a, min(a + length, count)) for a in range(0, count, length)]
