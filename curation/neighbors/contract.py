"""Identical samples become one node before neighbors are searched.

More than k copies of one picture would fill each other's neighbor lists, and lose every edge to
their near variants.
"""

from __future__ import annotations

import numpy as np

from .components import component_labels
from .digests import halves, order_of, repeats


def contract_identical(*keys: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """int64 [n]: the first position of the node each row belongs to.

    Two rows are in one node when any key agrees, directly or through other rows.

    Args:
        keys: (values [n] S16 or of any sortable dtype, valid bool [n]) for each key, e.g. content ids and
            pixel hashes; invalid values agree with nothing.
    """
    n = len(keys[0][0])
    src, dst = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for values, valid in keys:
        rows = np.flatnonzero(valid)
        given = values[rows]
        if given.dtype == np.dtype("S16"):
            high, low = halves(given)
            order = order_of(high, low)
            again = repeats(high, low, order)
        else:
            order = np.argsort(given, kind="stable")
            again = np.flatnonzero(given[order][1:] == given[order][:-1]) + 1
        order = rows[order]
        src.append(order[again - 1])
        dst.append(order[again])
    return component_labels(n, np.concatenate(src), np.concatenate(dst))
