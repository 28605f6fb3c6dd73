"""Vectors as [n, d] arrays: stacking blocks, norms, and the cosine of given pairs."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np

from ..embedding.encoder import Mirror
from .mirrored import orbits

#: Rows converted to float32 at a time when norms or pair cosines are computed.
_STEP = 8_192


def stack(vectors: np.ndarray | Iterable[np.ndarray]) -> np.ndarray:
    """One [n, d] float16 or float32 array from an array (memory maps stay on disk) or from blocks.

    Raises:
        ValueError: not two-dimensional, blocks of different widths, or another dtype.
    """
    if not isinstance(vectors, np.ndarray):
        blocks = list(vectors)
        if len({b.shape[1:] for b in blocks}) > 1:
            raise ValueError(f"blocks of different widths: {sorted({b.shape[1:] for b in blocks})}")
        vectors = np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)
    if vectors.ndim != 2 or vectors.dtype not in (np.float16, np.float32):
        raise ValueError(f"vectors must be [n, d] of float16 or float32, got {vectors.shape} {vectors.dtype}")
    return vectors


def inverse_norms(vectors: np.ndarray, first_row: int = 0) -> np.ndarray:
    """float64 [n]: 1 / L2 norm; 0 for a zero vector, which is near to nothing.

    Args:
        first_row: number of the first vector, for the message.

    Raises:
        ValueError: a vector holds NaN or infinity; names the first row.
    """
    out = np.empty(len(vectors))
    for start in range(0, len(vectors), _STEP):
        block = np.asarray(vectors[start : start + _STEP], np.float32)
        out[start : start + _STEP] = row_dots(block, block)
    bad = np.flatnonzero(~np.isfinite(out))
    if bad.size:
        raise ValueError(
            f"vector of row {first_row + bad[0]} holds NaN or infinity; embed it again or leave it out"
        )
    norms = np.sqrt(out)
    return np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)


def row_dots(a: np.ndarray, b: np.ndarray, mirror: Mirror | None = None) -> np.ndarray:
    """float64 [n]: dot products of the rows of two float32 [n, d] arrays, each summed in one fixed order.

    With a mirror, the larger of dot(a, b) and dot(a, M b).
    """
    from .kernels import best_dots

    out = np.empty(len(a))
    o = orbits(mirror)
    best_dots(a, b, o.first, o.second, o.sign, out)
    return out


def pair_cosines(
    vectors: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    inverse: np.ndarray | None = None,
    mirror: Mirror | None = None,
) -> np.ndarray:
    """float32 [m]: cosine of `vectors[a[i]]` with `vectors[b[i]]`; the same bits whatever the order.

    Args:
        inverse: `inverse_norms(vectors)`, where already at hand.
        mirror: with it, the larger of the cosines to the other vector and to its mirror image.
    """
    from .cell_kernels import cosines_of_pairs

    inverse = inverse_norms(vectors) if inverse is None else inverse
    out = np.empty(len(a), np.float32)
    bits = vectors.view(np.uint16) if vectors.dtype == np.float16 else vectors
    o = orbits(mirror)
    a, b = np.asarray(a, np.int64), np.asarray(b, np.int64)
    cosines_of_pairs(bits, inverse, a, b, o.first, o.second, o.sign, out)
    return out


def thread_count() -> int:
    """Threads a stage may use: OMP_NUM_THREADS where set, else the CPUs this process may run on."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) > 0 else len(os.sched_getaffinity(0))
