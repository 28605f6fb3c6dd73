"""Which concepts are worth probing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Concept:
    """A concept under test.

    Attributes:
        name: e.g. `squirrel fish`.
        prior: share of user demand, 0..1, of the graph; what a failure weighs.
        samples: kept training samples that have it.
        aliases: other names, any language.
        parts: concepts that its name is put together from, e.g. (`squirrel`, `fish`).
        added: ISO date of a concept added by hand, e.g. for a trend.
    """

    name: str
    prior: float = 0.0
    samples: int = 0
    aliases: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    added: str = ""


@dataclass(frozen=True)
class Choice:
    """How many concepts are probed for which reason; shares of the whole, the rest goes by prior.

    Attributes:
        count: concepts in all.
        low_data: share for those with fewest samples per prior.
        recent: share for those added latest.
        rare: share for those of least prior.
    """

    count: int = 100
    low_data: float = 0.4
    recent: float = 0.1
    rare: float = 0.1

    def __post_init__(self) -> None:
        shares = (self.low_data, self.recent, self.rare)
        if self.count < 1 or min(shares) < 0 or sum(shares) > 1:
            raise ValueError("write count >= 1 and shares that are 0 or more and sum to at most 1")


@dataclass(frozen=True)
class Chosen:
    """A concept and why it was chosen: `named`, or the rule of `Choice`."""

    concept: Concept
    reason: str


def choose(concepts: Sequence[Concept], choice: Choice, named: Iterable[str] = ()) -> list[Chosen]:
    """Concepts to probe, each once, with the reason.

    `named` ones come first and always; then the rules of `choice` in turn. Ties go by name.

    Raises:
        ValueError: a named concept is not among the concepts.
    """
    known = {c.name: c for c in concepts}
    missing = [n for n in named if n not in known]
    if missing:
        raise ValueError(f"no concept {missing[0]!r}; names are as `zcurate graph show` prints them")
    chosen = {n: Chosen(known[n], "named") for n in named}
    total = sum(c.samples for c in concepts)

    def shortage(c: Concept) -> float:
        """Samples wanted by the prior over those there are."""
        return c.prior * total / (c.samples + 1)

    rules = (
        ("low_data", choice.low_data, lambda c: -shortage(c), lambda c: c.prior > 0),
        ("recent", choice.recent, lambda c: tuple(-ord(x) for x in c.added), lambda c: bool(c.added)),
        ("rare", choice.rare, lambda c: c.prior, lambda c: c.prior > 0),
        ("prior", 1.0, lambda c: -c.prior, lambda c: True),
    )
    for reason, share, key, fits in rules:
        room = choice.count - len(chosen)
        wanted = room if reason == "prior" else min(room, round(share * choice.count))
        ranked = sorted(
            (c for c in concepts if c.name not in chosen and fits(c)), key=lambda c: (key(c), c.name)
        )
        for c in ranked[: max(0, wanted)]:
            chosen[c.name] = Chosen(c, reason)
    return list(chosen.values())
