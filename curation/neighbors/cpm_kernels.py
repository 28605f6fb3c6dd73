"""Compiled steps of Leiden for the constant Potts model. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def symmetric(n, src, dst, weight):
    """CSR form of undirected pairs given in ascending order: starts [n + 1], neighbors, weights [2 e]."""
    starts = np.zeros(n + 1, np.int64)
    for e in range(src.shape[0]):
        starts[src[e] + 1] += 1
        starts[dst[e] + 1] += 1
    for i in range(n):
        starts[i + 1] += starts[i]
    at = starts[:n].copy()
    neighbors, weights = np.empty(2 * src.shape[0], np.int32), np.empty(2 * src.shape[0])
    for e in range(src.shape[0]):
        a, b = src[e], dst[e]
        neighbors[at[a]], weights[at[a]] = b, weight[e]
        neighbors[at[b]], weights[at[b]] = a, weight[e]
        at[a] += 1
        at[b] += 1
    return starts, neighbors, weights


@njit(nogil=True, cache=True)
def _shuffled(n, seed):
    """The numbers 0..n - 1 in an order that depends on the seed alone (Fisher-Yates over splitmix64)."""
    order = np.arange(n)
    state = np.uint64(seed)
    for i in range(n - 1, 0, -1):
        state += np.uint64(0x9E3779B97F4A7C15)
        z = state
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        j = np.int64(z % np.uint64(i + 1))
        order[i], order[j] = order[j], order[i]
    return order


@njit(nogil=True, cache=True)
def move_nodes(starts, neighbors, weights, sizes, gamma, least, seed, labels):
    """Move single nodes to the community of largest gain until none moves; a node may go alone.

    Nodes whose neighborhood changed are visited again, in the order of a queue.

    Args:
        sizes: float64 [n], members of the nodes.
        least: a move must gain more: sums are float64, and their rounding must not move anything.
        labels: int64 [n], below n, changed in place.

    Returns:
        Number of moves.
    """
    n = labels.shape[0]
    load, count = np.zeros(n), np.zeros(n, np.int64)
    for v in range(n):
        load[labels[v]] += sizes[v]
        count[labels[v]] += 1
    empty, n_empty = np.empty(n + 1, np.int64), 0
    for c in range(n - 1, -1, -1):
        if count[c] == 0:
            empty[n_empty] = c
            n_empty += 1
    queue, waiting = _shuffled(n, seed), np.ones(n, np.bool_)
    head, filled = 0, n
    to, touched = np.zeros(n), np.empty(n, np.int64)
    seen = np.zeros(n, np.bool_)
    moves = 0
    while filled > 0:
        v = queue[head]
        head = (head + 1) % n
        filled -= 1
        waiting[v] = False
        home, n_touched = labels[v], 0
        for e in range(starts[v], starts[v + 1]):
            c = labels[neighbors[e]]
            if not seen[c]:
                seen[c] = True
                touched[n_touched] = c
                n_touched += 1
            to[c] += weights[e]
        load[home] -= sizes[v]
        count[home] -= 1
        best, gain = home, to[home] - gamma * sizes[v] * load[home]
        if count[home] > 0 and gain < -least and n_empty > 0:
            best, gain = empty[n_empty - 1], 0.0
        for t in range(n_touched):
            c = touched[t]
            value = to[c] - gamma * sizes[v] * load[c]
            if value > gain + least:
                best, gain = c, value
            to[c] = 0.0
            seen[c] = False
        if best != home:
            if count[home] == 0:
                empty[n_empty] = home
                n_empty += 1
            if count[best] == 0:
                n_empty -= 1
            labels[v] = best
            moves += 1
            for e in range(starts[v], starts[v + 1]):
                u = neighbors[e]
                if labels[u] != best and not waiting[u]:
                    queue[(head + filled) % n] = u
                    filled += 1
                    waiting[u] = True
        load[best] += sizes[v]
        count[best] += 1
    return moves


@njit(nogil=True, cache=True)
def refine(starts, neighbors, weights, sizes, gamma, least, seed, labels, parts):
    """Well-connected parts of every community: lone nodes join the part of largest gain inside their own.

    Args:
        labels: int64 [n], communities.
        parts: int64 [n], changed in place: part of each node, named after one of its nodes.
    """
    n = labels.shape[0]
    load_of_community = np.zeros(n)
    for v in range(n):
        load_of_community[labels[v]] += sizes[v]
        parts[v] = v
    load, lone = sizes.copy(), np.ones(n, np.bool_)
    inside, outward = np.zeros(n), np.zeros(n)  # weight of a node, of a part, to the rest of its community
    for v in range(n):
        for e in range(starts[v], starts[v + 1]):
            if labels[neighbors[e]] == labels[v]:
                inside[v] += weights[e]
    outward[:] = inside
    to, touched = np.zeros(n), np.empty(n, np.int64)
    seen = np.zeros(n, np.bool_)
    for v in _shuffled(n, seed):
        rest = load_of_community[labels[v]] - sizes[v]
        if not lone[v] or inside[v] < gamma * sizes[v] * rest - least:
            continue
        n_touched = 0
        for e in range(starts[v], starts[v + 1]):
            u = neighbors[e]
            if labels[u] == labels[v]:
                c = parts[u]
                if not seen[c]:
                    seen[c] = True
                    touched[n_touched] = c
                    n_touched += 1
                to[c] += weights[e]
        best, gain, weight = v, 0.0, 0.0
        for t in range(n_touched):
            c = touched[t]
            value = to[c] - gamma * sizes[v] * load[c]
            connected = outward[c] >= gamma * load[c] * (load_of_community[labels[v]] - load[c]) - least
            if connected and value > gain + least:
                best, gain, weight = c, value, to[c]
            to[c] = 0.0
            seen[c] = False
        if best != v:
            parts[v] = best
            load[best] += sizes[v]
            lone[best] = False
            outward[best] += inside[v] - 2 * weight


@njit(nogil=True, cache=True)
def quality(starts, neighbors, weights, sizes, gamma, labels):
    """Sum of the weights inside communities less gamma per pair of members of different nodes."""
    n = labels.shape[0]
    load, square = np.zeros(n), np.zeros(n)
    total = 0.0
    for v in range(n):
        load[labels[v]] += sizes[v]
        square[labels[v]] += sizes[v] * sizes[v]
        for e in range(starts[v], starts[v + 1]):
            if neighbors[e] > v and labels[neighbors[e]] == labels[v]:
                total += weights[e]
    for c in range(n):
        total -= gamma * (load[c] * load[c] - square[c]) / 2
    return total
