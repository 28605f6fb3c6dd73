"""Very close members of a component become one weighted node, so that large groups stay small graphs.

Angles between pictures, either of which may be mirrored, obey the triangle inequality, because
mirroring keeps lengths and is its own inverse. So what is within an angle of one direction is within twice
that angle of each other. All angles here are of a threshold one millionth higher than asked: no pair is
merged whose cosine, rounded to millionths, lies below the threshold.
"""

from __future__ import annotations

import numpy as np

#: Products of one block of leaders and members, float32.
_CELLS = 8_000_000
#: Balls tried at most, and the least members of one: each costs two passes over the members.
_BALLS, _BALL_MEMBERS = 128, 16
#: Members whose neighbors are counted to find dense places.
_SAMPLE = 1_024


def cosine_of_share(threshold: float, parts: int) -> float:
    """Cosine of the `parts`-th part of the threshold's angle, rounded up; at most 1 - 1e-11."""
    angle = np.arccos(np.clip(threshold + 1e-6, -1.0, 1.0))
    # Copies of one vector differ by rounding; their cosine is still 1.000000.
    return float(min(np.cos(angle / parts) + 1e-12, 1 - 1e-11))


def tolerance_of(dim: int, bits: int = 52) -> float:
    """Error of a dot product of unit vectors, summed in any order, by bits of the mantissa; a safe bound."""
    return 2 * (dim + 16) * 2.0**-bits


def in_one_ball(even: np.ndarray, odd: np.ndarray, threshold: float) -> bool:
    """Whether all members are within half of the threshold's angle of their mean: all pairs are near then.

    Sufficient, not necessary; one pass over the members.
    """
    _, cos = _around(even, odd, 0, np.ones(len(even), bool))
    return bool(cos.min() >= cosine_of_share(threshold, 2))


def leaders(even: np.ndarray, odd: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Leader clustering: the first free member takes the free members very near to it.

    Within a quarter of the threshold's angle of the leader: two members of a node are within half of
    the angle, so their cosine is at least sqrt((1 + threshold) / 2), and no merged pair is in doubt.

    Args:
        even, odd: float64 [m, ...], see `mirrored.halves`, of unit vectors.

    Returns:
        int64 [m] node of each member, numbered by first member; float64 [m], -1 for those that face the
        other way than their leader.
    """
    from .community_kernels import lead

    m = len(even)
    # float32 proposes, and the compiled loop looks again where its error could matter
    near, tolerance = cosine_of_share(threshold, 4), tolerance_of(even.shape[1] + odd.shape[1], 23)
    node_of, facing = np.full(m, -1, np.int64), np.ones(m)
    columns, even_columns, odd_columns = np.arange(m), even.astype(np.float32), odd.astype(np.float32)
    node, batch = 0, 1
    while True:
        open_ = node_of[columns] < 0
        free = columns[open_]
        if not len(free):
            return node_of, facing
        if len(free) < len(columns) / 2:
            columns, even_columns, odd_columns = free, even_columns[open_], odd_columns[open_]
            open_ = open_[open_]
        at = np.flatnonzero(open_)[: max(1, min(batch, _CELLS // len(columns)))]
        led = columns[at]
        turned = odd_columns[at] @ odd_columns.T
        cosines = even_columns[at] @ even_columns.T
        if odd.shape[1]:
            cosines += np.abs(turned)
        before = node
        node = lead(cosines, turned, led, columns, even, odd, near, tolerance, node_of, facing, node)
        # Many rows at once only pay while most of them become leaders themselves.
        batch = min(512, 2 * batch) if node - before > len(led) // 2 else max(1, batch // 2)


def balls(
    even: np.ndarray, odd: np.ndarray, threshold: float, node_of: np.ndarray, facing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coarser nodes for a component that leaders leave too large: balls about the means of dense places.

    From the member with the most near ones (in a sample) on: the mean of those near to it, and all free
    members within half of the threshold's angle of that mean. No pair in a ball is below the threshold.
    Unlike a leader's, such a node may join what the best communities would part.

    Args:
        node_of, facing: as `leaders` gave them; what no ball takes stays as it is.

    Returns:
        As `leaders`.
    """
    m = len(even)
    half = cosine_of_share(threshold, 2)
    degree = _degrees(even, odd, threshold)
    free, tried = np.ones(m, bool), np.zeros(m, bool)
    found, facing = np.full(m, -1, np.int64), facing.copy()
    for number in range(_BALLS):
        open_ = np.where(free & ~tried, degree, -1)
        center = int(open_.argmax())
        if open_[center] < 1:
            break
        tried[center] = True
        near, _ = _facing(even, odd, center)
        side, cos = _around(even, odd, center, free & (near >= threshold))
        ball = free & (cos >= half)
        if ball.sum() < _BALL_MEMBERS:
            continue
        found[ball] = number
        facing[ball] = side[ball]
        free &= ~ball
    taken = found >= 0
    _, first, inverse = np.unique(np.where(taken, m + found, node_of), return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse], facing


def _degrees(even: np.ndarray, odd: np.ndarray, threshold: float) -> np.ndarray:
    """int64 [m]: how many of an even sample of the members are near to each."""
    from .community_kernels import count_near

    m = len(even)
    degree = np.zeros(m, np.int64)
    tolerance = tolerance_of(even.shape[1] + odd.shape[1], 23)
    sample = np.unique(np.linspace(0, m - 1, _SAMPLE).astype(np.int64))
    columns = even.astype(np.float32), odd.astype(np.float32)
    step = max(1, _CELLS // m)
    for start in range(0, len(sample), step):
        some = sample[start : start + step]
        cosines = columns[0][some] @ columns[0].T
        if odd.shape[1]:
            cosines += np.abs(columns[1][some] @ columns[1].T)
        count_near(cosines, some, even, odd, threshold, tolerance, degree)
    return degree


def _facing(even: np.ndarray, odd: np.ndarray, one: int) -> tuple[np.ndarray, np.ndarray]:
    """Similarity of every member to one, and -1 where the mirror image is the nearer one."""
    from .community_kernels import dots_to

    near, turned = np.empty(len(even)), np.zeros(len(even))
    dots_to(even, even[one], near)
    if odd.shape[1]:
        dots_to(odd, odd[one], turned)
    return near + np.abs(turned), np.where(turned < 0, -1.0, 1.0)


def _around(even: np.ndarray, odd: np.ndarray, one: int, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Facing of every member as to `one`, and cosine of each, so turned, to the mean direction of `which`."""
    from .community_kernels import dots_to, sum_rows

    _, side = _facing(even, odd, one)
    group = np.where(which, 0, 1)
    means = np.zeros((2, even.shape[1])), np.zeros((2, odd.shape[1]))
    sum_rows(even, group, np.ones(len(even)), means[0])
    sum_rows(odd, group, side, means[1])
    length = np.sqrt((means[0][0] ** 2).sum() + (means[1][0] ** 2).sum())
    cos, turned = np.empty(len(even)), np.zeros(len(even))
    dots_to(even, means[0][0], cos)
    if odd.shape[1]:
        dots_to(odd, means[1][0], turned)
    return side, (cos + side * turned) / length if length > 0 else np.zeros(len(even))
