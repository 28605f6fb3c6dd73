"""Compiled loops of completion and splitting. Importing this imports numba, so import it inside functions.

Cosines are rounded to millionths. A matrix product proposes each one; where its own error could turn
the rounding, the dot product is done again in one fixed order. So what comes out does not depend on the
BLAS, its threads or the blocks.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .kernels import best_dot, dot


@njit(nogil=True, cache=True)
def fixed_cosine(even, odd, i, j):
    """e_i · e_j + |o_i · o_j| of float64 rows, summed in one fixed order."""
    value = dot(even[i], even[j])
    if odd.shape[1] > 0:
        value += abs(dot(odd[i], odd[j]))
    return value


@njit(nogil=True, cache=True)
def dots_to(rows, one, out):
    """float64 [n]: dot product of every row with one vector, summed in one fixed order."""
    for i in range(rows.shape[0]):
        out[i] = dot(rows[i], one)


@njit(nogil=True, cache=True)
def sum_rows(rows, node_of, facing, out):
    """Add `facing[i] * rows[i]` to `out[node_of[i]]`, in the order of the rows."""
    for i in range(rows.shape[0]):
        target = out[node_of[i]]
        if facing[i] < 0:
            for k in range(rows.shape[1]):
                target[k] -= rows[i, k]
        else:
            for k in range(rows.shape[1]):
                target[k] += rows[i, k]


@njit(nogil=True, cache=True)
def lead(cosines, turned, leaders, columns, even, odd, near, tolerance, node_of, facing, node):
    """Leaders in turn take the free members with cosine >= near.

    Args:
        cosines, turned: float32 [b, c], similarity of leaders and columns, and its odd part.
        leaders: int64 [b], columns: int64 [c], members; even, odd: float64 [m, ...], of all members.
        tolerance: error of `cosines` and `turned`.
        node_of, facing: int64 [m], float64 [m], changed in place; -1 in node_of is free.
        node: nodes so far.

    Returns:
        Nodes so far.
    """
    for i in range(leaders.shape[0]):
        r = leaders[i]
        if node_of[r] >= 0:
            continue
        node_of[r] = node
        for j in range(columns.shape[0]):
            c = columns[j]
            if node_of[c] >= 0:
                continue
            value = np.float64(cosines[i, j])
            if abs(value - near) <= tolerance:
                value = fixed_cosine(even, odd, r, c)
            if value >= near:
                node_of[c] = node
                side = np.float64(turned[i, j])
                if odd.shape[1] > 0 and abs(side) <= tolerance:
                    side = dot(odd[r], odd[c])
                if side < 0:
                    facing[c] = -1.0
        node += 1
    return node


@njit(nogil=True, cache=True)
def count_near(cosines, sample, even, odd, threshold, tolerance, degree):
    """Add to `degree[j]` the members of a sample whose cosine to member j is >= threshold.

    Args:
        cosines: float32 [b, m], wrong by at most `tolerance`; sample: int64 [b].
    """
    for i in range(cosines.shape[0]):
        for j in range(cosines.shape[1]):
            value = np.float64(cosines[i, j])
            if abs(value - threshold) <= tolerance:
                value = fixed_cosine(even, odd, sample[i], j)
            if value >= threshold:
                degree[j] += 1


@njit(nogil=True, cache=True)
def scan_pairs(block, row0, even, odd, sizes, tolerance, floor, part, src, dst, micro, count, bins):
    """Go through the pairs (row0 + i, row0 + j), j > i, of a block of dot products of summed vectors.

    Args:
        block: float64 [r, p - row0], wrong by at most `tolerance` once divided by the pairs of two nodes.
        even, odd: float64 [p, ...], summed vectors of the nodes; sizes: int64 [p], their members.
        floor: mean cosine in millionths.
        part: int64 [p], pairs of different parts are passed over; empty for one part.
        src, dst, micro: int64, int64, int32 buffers for the pairs >= floor; only counted beyond their length.
        count: pairs >= floor so far.
        bins: int64 [2001], increased by one per pair at `micro // 1000 + 1000`.

    Returns:
        (pairs >= floor so far, least mean cosine in millionths of the pairs seen here).
    """
    lowest = np.int64(2_000_000)
    parts = part.shape[0] > 0
    for i in range(block.shape[0]):
        a = row0 + i
        for j in range(i + 1, block.shape[1]):
            b = row0 + j
            if parts and part[a] != part[b]:
                continue
            pairs = np.float64(sizes[a]) * np.float64(sizes[b])
            scaled = block[i, j] / pairs * 1e6
            rounded = np.rint(scaled)
            if 0.5 - abs(scaled - rounded) <= tolerance * 1e6:
                rounded = np.rint(fixed_cosine(even, odd, a, b) / pairs * 1e6)
            value = np.int64(min(max(rounded, -1e6), 1e6))
            lowest = min(lowest, value)
            bins[value // 1000 + 1000] += 1
            if value >= floor:
                if count < src.shape[0]:
                    src[count] = a
                    dst[count] = b
                    micro[count] = value
                count += 1
    return count, lowest


@njit(nogil=True, cache=True)
def best_partition(gain, out):
    """The partition of up to a dozen nodes with the largest sum of gains inside its parts, of all there are.

    By subsets: the part of the lowest node left, in every way, plus the best of the rest. Of equally good
    parts the one with the later nodes stays, so that a pair without gain or loss is together.

    Args:
        gain: float64 [p, p], symmetric.
        out: int64 [p], parts numbered by their first node, changed in place.
    """
    p = gain.shape[0]
    full = (1 << p) - 1
    inside, best = np.zeros(full + 1), np.zeros(full + 1)
    chosen = np.zeros(full + 1, np.int64)
    for s in range(1, full + 1):
        low = 0
        while not (s >> low) & 1:
            low += 1
        rest = s & (s - 1)
        total = inside[rest]
        for j in range(low + 1, p):
            if (rest >> j) & 1:
                total += gain[low, j]
        inside[s] = total
        best[s] = -np.inf
        sub = rest
        while True:
            taken = sub | (1 << low)
            value = inside[taken] + best[s ^ taken]
            if value > best[s]:
                best[s], chosen[s] = value, taken
            if sub == 0:
                break
            sub = (sub - 1) & rest
    left, number = full, 0
    while left:
        for j in range(p):
            if (chosen[left] >> j) & 1:
                out[j] = number
        left ^= chosen[left]
        number += 1


@njit(nogil=True, cache=True)
def inverse_norms_of(rows, out):
    """float64 [n]: 1 / L2 norm of float32 or float64 rows, 0 for a zero row."""
    for i in range(rows.shape[0]):
        square = dot(rows[i], rows[i])
        out[i] = 1.0 / np.sqrt(square) if square > 0 else 0.0


@njit(nogil=True, cache=True)
def label_small(rows, inverse, offsets, which, gamma, first, second, sign, labels):
    """Communities of small components, each the best partition there is.

    Args:
        rows: float32 or float64 [n, d]; inverse: float64 [n]; offsets: int64 [c + 1] into them.
        which: int64, components to do, each of at most a dozen members.
        first, second, sign: see `mirrored.Orbits`.
        labels: int64 [n], changed in place: numbered within the component, by first member.
    """
    for w in range(which.shape[0]):
        start, stop = offsets[which[w]], offsets[which[w] + 1]
        m = stop - start
        gain = np.zeros((m, m))
        lowest = np.inf
        for i in range(m):
            for j in range(i + 1, m):
                a, b = start + i, start + j
                cosine = best_dot(rows[a], rows[b], first, second, sign) * (inverse[a] * inverse[b])
                g = np.rint(cosine * 1e6) / 1e6 - gamma
                gain[i, j] = gain[j, i] = g
                lowest = min(lowest, g)
        if lowest >= 0:
            labels[start:stop] = 0
        else:
            best_partition(gain, labels[start:stop])


@njit(nogil=True, cache=True)
def _root(parent, x):
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@njit(nogil=True, cache=True)
def join_within(parent, load, src, dst, limit):
    """Join the ends of the pairs in turn, unless the parts together would exceed `limit`.

    Args:
        parent: int64 [n], forest whose roots are the smallest nodes of their trees, changed in place.
        load: int64 [n], of the roots, changed in place.
    """
    for e in range(src.shape[0]):
        a, b = _root(parent, src[e]), _root(parent, dst[e])
        if a != b and load[a] + load[b] <= limit:
            if b < a:
                a, b = b, a
            parent[b] = a
            load[a] += load[b]


@njit(nogil=True, cache=True)
def roots(parent):
    """int64 [n]: the root of every node, the smallest node of its tree."""
    out = np.empty_like(parent)
    for i in range(parent.shape[0]):
        out[i] = _root(parent, i)
    return out


@njit(nogil=True, cache=True)
def lead_along(starts, neighbors, cosines, near, node_of):
    """The first free node takes its free neighbors with cosine >= near, over a graph in CSR form.

    Args:
        starts: int64 [n + 1]; neighbors: int64 [2 e]; cosines: float32 [2 e].
        node_of: int64 [n] of -1, changed in place: the leader of every node.
    """
    for i in range(node_of.shape[0]):
        if node_of[i] >= 0:
            continue
        node_of[i] = i
        for e in range(starts[i], starts[i + 1]):
            if node_of[neighbors[e]] < 0 and np.float64(cosines[e]) >= near:
                node_of[neighbors[e]] = i
