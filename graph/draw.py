"""Keeping samples by a hash of their ids: reproducible, independent of order, and nested.

    keep sample i  iff  u_i < P_i,    u_i = (hash64(id_i, seed) >> 11) * 2^-53,  uniform in [0, 1)

u_i depends on nothing but id and seed, so whatever raises P_i keeps every sample kept before, and the
outcome is the same on any number of machines. hash64 folds the two halves of the 16-byte id, each mixed
by the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
"""

from __future__ import annotations

import numba
import numpy as np
import pyarrow as pa


def id_halves(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """uint64 [n, 2], big-endian halves of fixed_size_binary(16) ids; they compare as the ids do.

    Raises ValueError where an id is null or of another length.
    """
    array = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], pa.binary(16))
    if array.null_count or array.type != pa.binary(16):
        raise ValueError(f"ids must be 16 bytes each, none null; this is {array.type}")
    if not len(array):
        return np.zeros((0, 2), np.uint64)
    raw = np.frombuffer(array.buffers()[1], ">u8", 2 * len(array), 16 * array.offset)
    return raw.reshape(-1, 2).astype(np.uint64)


@numba.njit(nogil=True, cache=True)
def _mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(nogil=True, cache=True)
def hash64(halves, seed):
    """uint64 [n] of uint64 [n, 2] and a seed (uint64)."""
    out = np.empty(len(halves), np.uint64)
    golden = np.uint64(0x9E3779B97F4A7C15)
    start = _mix(np.uint64(seed) + golden)
    for i in range(len(halves)):
        high = _mix(start ^ halves[i, 0])
        out[i] = _mix((high + golden) ^ halves[i, 1])
    return out


def uniform(halves: np.ndarray, seed: int) -> np.ndarray:
    """float64 [n] in [0, 1): the u of every sample."""
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must lie in 0..2^64-1, got {seed}")
    return (hash64(np.ascontiguousarray(halves), np.uint64(seed)) >> np.uint64(11)) * 2.0**-53


def keep(halves: np.ndarray, probability: np.ndarray, seed: int) -> np.ndarray:
    """bool [n]: u < P. P = 1 always keeps, P = 0 never does."""
    return uniform(halves, seed) < np.asarray(probability, np.float64)
