"""The table of a diagnosis: what fails, worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .causes import Cause, Evidence
from .choosing import Concept
from .confidence import anytime
from .testing import FAILS, UNDECIDED, Plan, Tally


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    Attributes:
        status: fails | undecided | passes | unscored.
        low, high: interval of the pass rate, valid although pictures were added while it was looked at.
        severity: pass rate surely missing to what is required, times the weight of the concept; 0 where it may pass.
        cause: None for what does not fail. evidence: what it was named from, in numbers.
        pictures: names of failing pictures, as evidence.
        neighbors: sample ids, as hex, of the training data nearest to it.
    """

    concept: Concept
    status: str
    tally: Tally
    low: float
    high: float
    severity: float
    cause: Cause | None = None
    pictures: tuple[str, ...] = ()
    neighbors: tuple[str, ...] = ()
    evidence: Evidence | None = None


def ranked(
    concepts: Sequence[Concept],
    tallies: Mapping[str, Tally],
    plan: Plan,
    weights: Mapping[str, float] | None = None,
) -> list[Finding]:
    """Findings, worst first: by severity, then what is undecided, by its rate; then the rest.

    Args:
        weights: concept -> how much a failure of it matters, e.g. its prior over the mean prior; default: 1 each.
    """
    found = []
    for concept in concepts:
        tally = tallies.get(concept.name, Tally())
        low, high = anytime(tally.passed, tally.scored, plan.alpha) if tally.scored else (0.0, 1.0)
        weight = 1.0 if weights is None else weights.get(concept.name, 1.0)
        missing = max(0.0, plan.required - high)
        found.append(Finding(concept, plan.status(tally), tally, low, high, weight * missing))
    order = {FAILS: 0, UNDECIDED: 1}
    return sorted(
        found,
        key=lambda f: (
            order.get(f.status, 2),
            -f.severity,
            f.tally.rate if f.tally.rate is not None else 1.0,
            f.concept.name,
        ),
    )
