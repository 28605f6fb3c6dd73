"""How far verdicts can be trusted: people with each other, and the AI verifier with people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from ..confidence import wilson
from .decisions import ReviewLog
from .routing import NO_AI, RANDOM
from .states import AI, FAIL, HUMAN, PASS, ROUTE, VERDICTS, Decision, standing


@dataclass(frozen=True)
class Agreement:
    """Attributes:
    judged: tasks that both judged. observed: share of equal verdicts. kappa: None where it is not defined (nothing
    judged, or both always say the same one thing).
    """

    judged: int
    observed: float | None
    kappa: float | None


def kappa(pairs: Sequence[tuple[Any, Any]], weights: Sequence[float] | None = None) -> Agreement:
    """Cohen's kappa of pairs of labels: (observed - chance) / (1 - chance).

    Args:
        weights: of pairs, for samples in which not all were equally likely to be drawn; default: all 1.

    Source: J. Cohen, "A coefficient of agreement for nominal scales", 1960.
    """
    weights = [1.0] * len(pairs) if weights is None else list(weights)
    total = sum(weights)
    if not total:
        return Agreement(0, None, None)
    observed = sum(w for (a, b), w in zip(pairs, weights, strict=True) if a == b) / total
    first: Counter[Any] = Counter()
    second: Counter[Any] = Counter()
    for (a, b), w in zip(pairs, weights, strict=True):
        first[a] += w
        second[b] += w
    chance = sum(first[label] * second[label] for label in first) / total**2
    return Agreement(len(pairs), observed, (observed - chance) / (1 - chance) if chance < 1 - 1e-12 else None)


@dataclass(frozen=True)
class Verifier:
    """One AI verifier against people.

    Attributes:
        passes, fails: its verdicts.
        audited, false_passes: of its passes, those people judged because they were drawn at random, and the wrong ones.
        false_pass_rate, false_pass_low, false_pass_high: share of wrong ones with Wilson's 95 % interval; None, 0 and 1
            while none was audited.
        fails_judged, right_fails: of its fails, those people judged, and those they failed too.
        precision: of its fails. recall: share it finds of all that people would fail, estimated from both samples.
        agreement: with people, audited passes weighted by how rarely they were drawn.
    """

    name: str
    passes: int
    fails: int
    audited: int
    false_passes: int
    false_pass_rate: float | None
    false_pass_low: float
    false_pass_high: float
    fails_judged: int
    right_fails: int
    precision: float | None
    recall: float | None
    agreement: Agreement


def verifier(name: str, judged: Iterable[tuple[str, str | None, bool]]) -> Verifier:
    """Compare a verifier with people.

    Args:
        judged: (its verdict, people's or None, drawn at random) per task. A pass that people
            saw for other reasons than the draw alone (lettering, rarity) tells nothing of the rest, unless drawn too.
    """
    rows = list(judged)
    passes = [r for r in rows if r[0] == PASS]
    fails = [r for r in rows if r[0] == FAIL]
    audit = [r for r in passes if r[1] is not None and r[2]]
    seen = [r for r in fails if r[1] is not None]
    wrong, right = sum(r[1] == FAIL for r in audit), sum(r[1] == FAIL for r in seen)
    low, high = wilson(wrong, len(audit))
    rate = wrong / len(audit) if audit else None
    precision = right / len(seen) if seen else None
    recall = None
    if rate is not None and precision is not None:
        found, missed = precision * len(fails), rate * len(passes)
        recall = found / (found + missed) if found + missed else None
    weights = [*(len(passes) / len(audit) for _ in audit), *(len(fails) / len(seen) for _ in seen)]
    both = kappa([(r[0], r[1]) for r in (*audit, *seen)], weights)
    return Verifier(
        *(name, len(passes), len(fails), len(audit), wrong, rate, low, high, len(seen), right),
        *(precision, recall, both),
    )


def report(log: ReviewLog) -> dict[str, Any]:
    """Agreement over a whole log, JSON-able: `verifiers`, `people` (pairs of reviewers), `reviewers` (counts)."""
    judged: dict[str, list[tuple[str, str | None, bool]]] = defaultdict(list)
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for history in log.judged_histories().values():
        ai: Decision | None = None
        sent: Decision | None = None
        people: dict[str, Decision] = {}
        for d in standing(history):
            if d.actor_kind == AI:
                ai = d
            elif d.action == ROUTE:
                sent = d
            elif d.actor_kind == HUMAN and d.action in VERDICTS:
                people[d.actor] = d
        verdicts = {who: verdict_of(d) for who, d in people.items()}
        for who, d in people.items():
            counts[who][d.action] += 1
        for one, other in combinations(sorted(verdicts), 2):
            pairs[one, other].append((verdicts[one], verdicts[other]))
        if ai is not None:
            human = None if not verdicts else FAIL if FAIL in verdicts.values() else PASS
            # Without a verdict to go by, a person looked whatever the verifier said later: as good as a draw.
            drawn = sent is not None and not {RANDOM, NO_AI}.isdisjoint(sent.body.get("reasons") or ())
            judged[ai.actor].append((ai.action, human, drawn))
    return {
        "verifiers": [asdict(verifier(name, rows)) for name, rows in sorted(judged.items())],
        "people": [
            {"reviewers": list(names), **asdict(kappa(found))} for names, found in sorted(pairs.items())
        ],
        "reviewers": {who: dict(c) for who, c in sorted(counts.items())},
    }


def verdict_of(decision: Decision) -> str:
    """PASS or FAIL of a person's decision: who corrects or discards a proposal fails it."""
    return PASS if decision.action == PASS else FAIL
