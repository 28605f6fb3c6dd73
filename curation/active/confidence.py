"""Intervals of a pass rate: one for a number of trials fixed beforehand, one that may be looked at after every trial."""

from __future__ import annotations

import math


def wilson(passed: int, tried: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval of a share, for a number of trials that was fixed beforehand; (0, 1) without trials.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
    """
    _check(passed, tried)
    if not tried:
        return 0.0, 1.0
    share, spread = passed / tried, z * z / tried
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / tried + spread / (4 * tried)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def anytime(passed: int, tried: int, alpha: float = 0.05) -> tuple[float, float]:
    """Interval of a pass rate that holds at every number of trials at once, with probability 1 - alpha.

    So trials may stop as soon as it says enough, which would make a fixed interval lie. It is the set of rates p with
    M(p) < 1 / alpha, where M(p) = B(s + 1, f + 1) / (p^s (1 - p)^f) for s passes and f failures: the mean over all
    rates of the likelihood, over the likelihood of p; a martingale under the true rate, so that Ville's inequality
    applies. Source: H. Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of
    Mathematical Statistics 41, 1970.
    """
    _check(passed, tried)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; it must be between 0 and 1")
    failed = tried - passed
    mixture = math.lgamma(passed + 1) + math.lgamma(failed + 1) - math.lgamma(tried + 2)
    bound = math.log(1 / alpha)

    def outside(p: float) -> bool:
        likelihood = (passed * math.log(p) if passed else 0.0) + (failed * math.log1p(-p) if failed else 0.0)
        return mixture - likelihood >= bound

    share = passed / tried if tried else 0.5
    low = 0.0 if not passed else _edge(outside, 0.0, share)
    high = 1.0 if not failed else _edge(outside, 1.0, share)
    return low, high


def _edge(outside, beyond: float, inside: float) -> float:
    """Between a rate that is outside and one that is not, by bisection; the outer end of what is left."""
    for _ in range(60):
        middle = (beyond + inside) / 2
        if 0 < middle < 1 and outside(middle):
            beyond = middle
        else:
            inside = middle
    return beyond


def _check(passed: int, tried: int) -> None:
    if not 0 <= passed <= tried:
        raise ValueError(f"{passed} of {tried} passed: impossible")
