"""Random numbers by hash: what is drawn for a sample depends on its id, the seed and the epoch, on nothing else."""

from __future__ import annotations

import numpy as np

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_GOLDEN = 0x9E3779B97F4A7C15


def _mixed(x: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014), uint64 -> uint64."""
    x = (x ^ (x >> np.uint64(30))) * _MIX[0]
    x = (x ^ (x >> np.uint64(27))) * _MIX[1]
    return x ^ (x >> np.uint64(31))


def uniform(ids: np.ndarray, seed: int, epoch: int, salt: int, turns: np.ndarray | None = None) -> np.ndarray:
    """float64 [n] in [0, 1).

    Args:
        ids: uint64 [n, 2], the halves of 128-bit ids.
        salt: makes different draws about one sample independent.
        turns: int [n]: which of its repeats in the epoch a sample is; they draw anew.
    """
    with np.errstate(over="ignore"):
        key = _mixed(np.array([(seed * _GOLDEN + epoch * 0x632BE59BD9B4E019 + salt) % 2**64], np.uint64))
        x = _mixed(ids[:, 0] ^ key)
        x = _mixed(x ^ ids[:, 1])
        if turns is not None:
            x = _mixed(x + turns.astype(np.uint64) * np.uint64(_GOLDEN))
    return (x >> np.uint64(11)).astype(np.float64) / 2.0**53


def copies(weights: np.ndarray, total: int, seed: int, epoch: int, salt: int) -> np.ndarray:
    """int64 [n]: how often each sample comes in an epoch of `total` draws: its share of them, rounded down or up at
    random so that exactly `total` come (systematic sampling). Equal weights and total = n give exactly 1.

    Raises ValueError for weights that are negative, not finite, or all 0.
    """
    weights = np.asarray(weights, np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError("weights must be finite, >= 0, and not all 0")
    if total == len(weights) and (weights == weights[0]).all():
        return np.ones(len(weights), np.int64)
    rng = np.random.default_rng([seed % 2**63, epoch, salt])
    # In random order: else neighbors in a shard would exclude each other.
    order = rng.permutation(len(weights))
    edges = np.cumsum(weights[order])
    edges = edges / edges[-1] * total
    edges[-1] = total
    marks = np.floor(edges + rng.random())
    marks[-1] = max(total, marks[-2]) if len(marks) > 1 else total
    result = np.empty(len(weights), np.int64)
    result[order] = np.diff(marks, prepend=0.0).astype(np.int64)
    return result
