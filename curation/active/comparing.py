"""Two diagnoses side by side: what a cycle gained, and what it cost concepts that were healthy before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .causes import ACTIONS, UNKNOWN
from .ranking import Finding
from .testing import PASSES

#: Points that a healthy concept may lose without being listed.
MAY_LOSE = 2.0
_REPAIRS = {action for cause, action in ACTIONS.items() if cause != UNKNOWN}


@dataclass(frozen=True)
class Rate:
    """A concept in one diagnosis: pictures that passed of those scored, the interval of the rate, and the status."""

    passed: int
    scored: int
    low: float
    high: float
    status: str

    @property
    def share(self) -> float:
        return self.passed / self.scored

    @classmethod
    def of(cls, finding: Finding) -> Rate:
        tally = finding.tally
        return cls(tally.passed, tally.scored, finding.low, finding.high, finding.status)


@dataclass(frozen=True)
class Change:
    """A concept that both diagnoses could score.

    Attributes:
        points: percentage points gained; below 0: lost.
        sure: the intervals of both rates, which hold at every number of pictures, do not overlap.
        action: what was done about it, else what the earlier diagnosis asked for; "" for neither.
    """

    concept: str
    before: Rate
    after: Rate
    points: float
    sure: bool
    action: str = ""

    @property
    def was_healthy(self) -> bool:
        return self.before.status == PASSES


@dataclass(frozen=True)
class Comparison:
    """What changed between two diagnoses.

    Attributes:
        changes: most gained first.
        only_before, only_after: concepts that one of them alone scored.
        healthy_points: mean change of concepts that passed before; None where none did.
        repaired_points: mean change of concepts about which something was done; None likewise.
        settings: names of settings in which the two differ, so that rates may not compare.
    """

    changes: tuple[Change, ...]
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()
    healthy_points: float | None = None
    repaired_points: float | None = None
    settings: tuple[str, ...] = ()

    @property
    def harmed(self) -> tuple[Change, ...]:
        """Concepts that passed before and lost more than MAY_LOSE points, worst first. Where `sure` is false, more
        pictures would tell."""
        found = [c for c in self.changes if c.was_healthy and c.points < -MAY_LOSE]
        return tuple(sorted(found, key=lambda c: (c.points, c.concept)))


def compared(
    before: Mapping[str, Rate],
    after: Mapping[str, Rate],
    asked: Mapping[str, str],
    done: Mapping[str, str],
    settings: Sequence[str] = (),
) -> Comparison:
    """Compare concept by concept, those of both that were scored.

    Args:
        asked: concept -> what the earlier diagnosis asked for.
        done: concept -> what was done about it since. Where nothing is noted at all, it is taken that what was asked for
            was done.
        settings: see `Comparison`.
    """
    repaired = done or {name: a for name, a in asked.items() if a in _REPAIRS}
    scored = [{n for n, r in rates.items() if r.scored} for rates in (before, after)]
    changes = []
    for name in scored[0] & scored[1]:
        old, new = before[name], after[name]
        sure = new.low > old.high or new.high < old.low
        points = 100 * (new.share - old.share)
        changes.append(Change(name, old, new, points, sure, done.get(name) or asked.get(name, "")))
    return Comparison(
        tuple(sorted(changes, key=lambda c: (-c.points, c.concept))),
        tuple(sorted(scored[0] - scored[1])),
        tuple(sorted(scored[1] - scored[0])),
        _mean([c.points for c in changes if c.was_healthy]),
        _mean([c.points for c in changes if c.concept in repaired]),
        tuple(settings),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
