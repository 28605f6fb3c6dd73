"""Boosted regression trees as they run: arrays of nodes, walked by a compiled loop. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from numba import njit

from ...errors import ConfigError
from .parameters import Parameters

#: Most nodes of a tree of 48 leaves, and number of trees.
NODES, TREES = 95, 400


class Trees:
    """The sum of the leaves that some numbers lead to, in every tree.

    Args:
        weights: `feature` [TREES, NODES], which number a node asks for, -1 at a leaf; `threshold`, of the same shape: up to it the
            way goes to the first of `children` [TREES, NODES, 2], beyond it to the second; `value`, of leaves; `base` [], added.

    Raises:
        ConfigError: they are not trees of so many numbers.
    """

    def __init__(self, weights: Parameters, numbers: int):
        feature, children = weights["feature"], weights["children"]
        later = np.arange(NODES)[None, :, None]
        inner = feature >= 0
        if not (
            np.isin(feature, np.arange(-1, numbers)).all()
            and np.isin(children, np.arange(NODES)).all()
            and (children > later)[inner].all()
        ):
            raise ConfigError("the trees of cast lead nowhere")
        self._feature, self._children = feature.astype(np.int16), children.astype(np.int16)
        self._threshold, self._value = weights["threshold"], weights["value"]
        self._base = float(weights["base"])

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """float32 [n], of float32 [n, numbers]."""
        out = np.full(len(numbers), self._base, np.float32)
        add_leaves(numbers, self._feature, self._threshold, self._children, self._value, out)
        return out


@njit(cache=True, nogil=True)
def add_leaves(
    numbers: np.ndarray,
    feature: np.ndarray,
    threshold: np.ndarray,
    children: np.ndarray,
    value: np.ndarray,
    out: np.ndarray,
) -> None:
    """out[n] += the sum over trees of the leaf that numbers[n] lead to; arrays as of `Trees`."""
    for tree in range(len(feature)):
        for n in range(len(numbers)):
            node = 0
            while feature[tree, node] >= 0:
                beyond = not numbers[n, feature[tree, node]] <= threshold[tree, node]
                node = children[tree, node, 1 if beyond else 0]
            out[n] += value[tree, node]
