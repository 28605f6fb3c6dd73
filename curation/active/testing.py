"""Which concepts a generator fails: pictures are asked for where it is still uncertain, until it is not.

Whoever runs this draws and judges what `Plan.next_round` asks for and gives the outcomes to `Tally.add`; nothing here
knows generators or judges, and a tally is rebuilt from its outcomes alone, so that a stopped run goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .confidence import anytime

PASSES, FAILS, UNDECIDED, UNSCORED = "passes", "fails", "undecided", "unscored"


@dataclass
class Tally:
    """What came out for one concept. `unscored` pictures are those that no judge could decide: no part of the rate."""

    passed: int = 0
    failed: int = 0
    unscored: int = 0

    def add(self, passes: bool | None) -> None:
        if passes is None:
            self.unscored += 1
        elif passes:
            self.passed += 1
        else:
            self.failed += 1

    @property
    def scored(self) -> int:
        return self.passed + self.failed

    @property
    def drawn(self) -> int:
        return self.scored + self.unscored

    @property
    def rate(self) -> float | None:
        return self.passed / self.scored if self.scored else None


@dataclass(frozen=True)
class Plan:
    """How pictures are spent.

    Attributes:
        required: pass rate that a healthy concept has; a concept passes when its interval lies above, and fails when it
            lies below.
        least, most: pictures of every concept at first, and at most.
        step: more of an undecided concept in one round.
        alpha: chance, at most, that the interval of a concept ever misses its rate.
        hopeless: unscored pictures in a row, none scored, after which a concept is left as unscored.
    """

    required: float = 0.5
    least: int = 8
    most: int = 64
    step: int = 8
    alpha: float = 0.05
    hopeless: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.required < 1 or not 0 < self.alpha < 1:
            raise ValueError(f"required ({self.required}) and alpha ({self.alpha}) must be between 0 and 1")
        if not 1 <= self.least <= self.most or self.step < 1 or self.hopeless < 1:
            raise ValueError("write 1 <= least <= most, and step and hopeless of at least 1")

    def status(self, tally: Tally) -> str:
        """passes | fails | undecided | unscored."""
        if not tally.scored:
            return UNSCORED if tally.unscored >= self.hopeless else UNDECIDED
        low, high = anytime(tally.passed, tally.scored, self.alpha)
        if low > self.required:
            return PASSES
        return FAILS if high < self.required else UNDECIDED

    def next_round(self, tallies: Mapping[str, Tally], budget: int | None = None) -> dict[str, int]:
        """Pictures to draw now, by concept; empty when all is decided, given up, or the budget is spent.

        First everyone's `least`, then `step` for each that is undecided, those with the fewest pictures first.

        Args:
            tallies: concept -> what came out so far.
            budget: pictures that may still be drawn; None for no limit.
        """
        wanted = self.more_of({c: t for c, t in tallies.items() if self.status(t) == UNDECIDED}, budget)
        if any(tallies[c].drawn < self.least for c in wanted):
            return {c: n for c, n in wanted.items() if tallies[c].drawn < self.least}
        return wanted

    def more_of(self, tallies: Mapping[str, Tally], budget: int | None = None) -> dict[str, int]:
        """The next pictures of these concepts, whatever is known of them, as far as `most` and the budget go."""
        wanted: dict[str, int] = {}
        left = budget
        for concept in sorted(tallies, key=lambda c: (tallies[c].drawn, c)):
            tally = tallies[concept]
            if tally.drawn >= self.most:
                continue
            count = (
                self.least - tally.drawn
                if tally.drawn < self.least
                else min(self.step, self.most - tally.drawn)
            )
            if left is not None:
                count = min(count, left)
                left -= count
            if count > 0:
                wanted[concept] = count
        return wanted
