"""The least KL divergence from a prior that any selection of a given size can have.

    minimize  f(P) = sum over t of q_t log(q_t / prior_t),   q = K / sum K,   K_t = sum over samples with t of P_i
    subject to  0 <= P_i <= 1,  sum P_i = size

The sets {P : f(P) <= tau} are convex: with T = sum K, T f - tau T is convex and homogeneous of degree one, its
gradient is c_i(tau) = sum over tags t of i of (log(q_t / prior_t) - tau). So if the `size` smallest c_i(tau) at any q
whatever sum to >= 0, no selection has f < tau: a certified lower bound. The q come from the method of Frank and Wolfe
("An algorithm for quadratic programming", 1956), whose steps go to the `size` samples of smallest c_i.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .baselines import divergence
from .tagged import Tagged


@dataclass(frozen=True)
class Least:
    """`bound`: no selection of the size has less, nats. `found`: the KL of `probability`, float64 [n]; NaN without tags."""

    bound: float
    found: float
    probability: np.ndarray


def least_divergence(
    data: Tagged, prior: np.ndarray, size: float, steps: int = 200, gap: float = 0.01
) -> Least:
    """Bound from below and a selection near it.

    Args:
        prior: float64 [m], wanted shares; concepts of share 0 do not count. size: samples, 1..n; rounded down.
        steps: at most. gap: relative distance of bound and selection at which it ends.

    Raises:
        ValueError: a size out of range, or a prior without any share above 0.
    """
    prior = np.asarray(prior, np.float64)
    take = int(size)
    if not 1 <= take <= data.n or not (prior > 0).any():
        raise ValueError(f"size must lie in 1..{data.n} and some concept needs a prior, got size {size}")
    counted = prior > 0
    prior = np.where(counted, prior / prior.sum(), 0.0)
    rows = np.repeat(np.arange(data.n), np.diff(data.indptr))
    tags = np.bincount(rows, counted[data.indices], data.n)
    log_prior = np.log(prior, out=np.zeros(len(prior)), where=counted)
    p = np.full(data.n, take / data.n)
    bound, best, best_p = 0.0, np.inf, p
    kept = np.where(counted, data.counts(p), 0.0)
    if not kept.any():
        return Least(0.0, float("nan"), p)
    for _ in range(steps):
        value = divergence(kept, prior)
        if value < best:
            best, best_p = value, p
        share = np.maximum(kept / kept.sum(), 1e-300)
        slope = np.where(counted, np.log(share) - log_prior, 0.0)
        pull = np.bincount(rows, slope[data.indices], data.n)
        bound = max(bound, _certified(pull, tags, take, value))
        if best - bound <= gap * best or best < 1e-9:
            break
        towards = np.zeros(data.n)
        towards[np.argpartition(pull - value * tags, take - 1)[:take]] = 1
        there = np.where(counted, data.counts(towards), 0.0)
        step = _line(kept, there, prior)
        p, kept = p + step * (towards - p), kept + step * (there - kept)
    return Least(bound, best, best_p)


def _certified(pull: np.ndarray, tags: np.ndarray, take: int, value: float) -> float:
    """The largest tau (to 1e-9) whose smallest c_i sum to >= 0."""
    low, high = 0.0, value
    for _ in range(30):
        middle = (low + high) / 2
        if np.partition(pull - middle * tags, take - 1)[:take].sum() >= 0:
            low = middle
        else:
            high = middle
    return low


def _line(kept: np.ndarray, there: np.ndarray, prior: np.ndarray) -> float:
    """The step in 0..1 of least divergence between two counts: golden section, f is quasi-convex."""
    low, high = 0.0, 1.0
    ratio = (5**0.5 - 1) / 2
    for _ in range(40):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if divergence(kept + a * (there - kept), prior) <= divergence(kept + b * (there - kept), prior):
            high = b
        else:
            low = a
    return (low + high) / 2
