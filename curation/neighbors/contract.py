"""Identical samples become one node before neighbors are searched.

More than k copies of one picture would fill each other's neighbor lists, and lose every edge to
their near variants.
"""

from __future__ import annotations

import numpy as np

from .components import component_labels


def contract_identical(*keys: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """int64 [n]: the first position of the node each row belongs to.

    Two rows are in one node when any key agrees, directly or through other rows.

    Args:
        keys: (values [n] of any sortable dtype, valid bool [n]) for each key, e.g. content ids and
            pixel hashes; invalid values agree with nothing.
    """
    n = len(keys[0][0])
    src, dst = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for values, valid in keys:
        rows = np.flatnonzero(valid)
        order = rows[_sorting(values[rows])]  # equal values in the order of rows
        again = np.flatnonzero(values[order][1:] == values[order][:-1]) + 1
        src.append(order[again - 1])
        dst.append(order[again])
    return component_labels(n, np.concatenate(src), np.concatenate(dst))


def _sorting(values: np.ndarray) -> np.ndarray:
    """int64 [n]: a stable order in which equal values are neighbors; 16-byte digests as two numbers, which is faster."""
    if values.dtype != np.dtype("S16"):
        return np.argsort(values, kind="stable")
    halves = np.ascontiguousarray(values).view(np.uint64).reshape(-1, 2)
    return np.lexsort((halves[:, 1], halves[:, 0]))
