"""Who looks at what: the AI verifier at everything, people where it says no, where it may be wrong, and at a random share.

The random share is what makes the AI verifier's errors measurable. It is drawn by a hash of the task, so it depends on
neither order nor time, and a larger share contains a smaller one.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...errors import ConfigError
from .decisions import ReviewLog, now_text
from .states import AI, FAIL, HUMAN, PASS, ROUTE, ROUTER, VERDICTS, Decision, standing
from .tasks import Task

NO_AI, AI_FAIL, RANDOM, LETTERING, RARE = "no_ai", "ai_fail", "random", "lettering", "rare"
#: What a reviewer is told.
REASONS = {
    NO_AI: "no AI verdict",
    AI_FAIL: "the AI verifier rejects it",
    RANDOM: "random check of an AI pass",
    LETTERING: "captioner and OCR read different lettering",
    RARE: "shows a rare concept",
}

BALANCED, MIXED, UNCERTAIN = "balanced", "mixed", "uncertain"
#: Orders of the queue, see `chosen_rank`.
ORDERS = (BALANCED, MIXED, UNCERTAIN)
#: Of `mixed`: factor of tasks whose uncertainty is not to count, and of what a model is sure of.
_TYPICAL, _LEAST = 0.5, 0.05


@dataclass(frozen=True)
class Routing:
    """What people are asked.

    Attributes:
        ai_fails: all that the AI verifier rejects.
        pass_share: of what it passes, drawn at random.
        without_ai: what has no AI verdict; False: it waits for one.
        lettering_below: agreement (0..1) of captioner and OCR below which a person looks; None: never.
        rare_below: samples of a concept below which a person looks; 0: never.
        second_share: of what people look at, shown to a second person too, who does not see the first one's verdict.
        seed: of the random shares.
    """

    ai_fails: bool = True
    pass_share: float = 0.05
    without_ai: bool = True
    lettering_below: float | None = 0.5
    rare_below: int = 5
    second_share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ConfigError naming the setting."""
        for name in ("pass_share", "second_share", "lettering_below"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"routing: {name} is {value}; it must be between 0 and 1")
        if self.rare_below < 0:
            raise ConfigError(f"routing: rare_below is {self.rare_below}; it must be 0 or more")


@dataclass(frozen=True)
class Route:
    """Attributes:
    sent: a person looks. reasons: why, of REASONS. people: how many of them.
    """

    sent: bool
    reasons: tuple[str, ...]
    people: int = 1


def route(task: Task, ai: str | None, routing: Routing) -> Route:
    """Where one task goes. `ai`: PASS, FAIL or None."""
    reasons = []
    if ai is None and routing.without_ai:
        reasons.append(NO_AI)
    if ai == FAIL and routing.ai_fails:
        reasons.append(AI_FAIL)
    if ai == PASS and unit(task.id, "pass", routing.seed) < routing.pass_share:
        reasons.append(RANDOM)
    if ai is not None or routing.without_ai:
        agreement = task.context.get("lettering_agreement")
        if None not in (agreement, routing.lettering_below) and agreement < routing.lettering_below:
            reasons.append(LETTERING)
        count = task.context.get("rarest_count")
        if count is not None and count < routing.rare_below:
            reasons.append(RARE)
    second = bool(reasons) and unit(task.id, "second", routing.seed) < routing.second_share
    return Route(bool(reasons), tuple(reasons), 2 if second else 1)


def apply_routing(log: ReviewLog, routing: Routing) -> int:
    """Route every current task of a log; only changed routes are written down. Returns how many.

    What a person has judged already stays with people, whatever the settings are now.
    """
    written = []
    for task in log.tasks():
        ai, last, judged = None, None, False
        for d in standing(log.history(task.id)):
            if d.actor_kind == AI:
                ai = d.action
            elif d.action == ROUTE:
                last = d
            judged |= d.actor_kind == HUMAN and d.action in VERDICTS
        if judged and last is not None:
            continue
        found = route(task, ai, routing)
        body = {
            **{"sent": found.sent or judged, "reasons": list(found.reasons), "people": found.people},
            **{"pass_share": routing.pass_share, "seed": routing.seed},
        }
        if last is None or dict(last.body) != body:
            written.append(Decision(uuid.uuid4().hex, task.id, ROUTE, "routing", ROUTER, now_text(), body))
    return log.append(written)


def unit(task_id: str, salt: str, seed: int) -> float:
    """A number in [0, 1) by hash, uniform over tasks and independent between salts and seeds."""
    digest = hashlib.sha256(f"{salt}|{seed}|{task_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def queue_rank(subject: str, weight: float = 1.0, seed: int = 0) -> float:
    """Order in which the first n tasks are a weighted random sample without replacement, for every n.

    -ln(u) / weight (P. Efraimidis, P. Spirakis, "Weighted random sampling with a reservoir", 2006). Raises ConfigError
    for a weight that is negative or not finite; 0 comes last.
    """
    if not math.isfinite(weight) or weight < 0:
        raise ConfigError(f"weight of {subject} is {weight}; it must be finite and at least 0")
    return -math.log(1.0 - unit(subject, "rank", seed)) / weight if weight else 1e308


def chosen_rank(
    task: Task, weight: float, order: str, uncertainty: float | None, routing: Routing, seed: int = 0
) -> float:
    """A task's place in the queue when a model has guessed its elements; smallest first.

    `balanced`: `queue_rank` by the weight alone. `mixed`: by weight times uncertainty, so that the first n tasks are still a
    random sample. `uncertain`: the most uncertain first, whatever the weight.

    What people would see as a random check of an AI pass keeps a place that knows nothing of uncertainty, so that the AI
    verifier's errors are measured without bias wherever people stop.

    Args:
        uncertainty: 0..1, see `uncertainty_of`; None without a guess.

    Raises:
        ConfigError: no such order, or as `queue_rank`.
    """
    if order not in ORDERS:
        raise ConfigError(f"order {order!r}: choose {', '.join(ORDERS)}")
    if order == BALANCED:
        return queue_rank(task.subject, weight, seed)
    blind = uncertainty is None or unit(task.id, "pass", routing.seed) < routing.pass_share
    if order == MIXED:
        factor = _TYPICAL if blind else _LEAST + (1 - _LEAST) * uncertainty
        return queue_rank(task.subject, weight * factor, seed)
    return unit(task.subject, "rank", seed) if blind else 1 - uncertainty


def uncertainty_of(probabilities: Iterable[float]) -> float | None:
    """Twice the share of elements that a model expects to get wrong, 0 (sure of all) to 1; None without elements."""
    found = [2 * min(p, 1 - p) for p in probabilities]
    return sum(found) / len(found) if found else None


def lettering_agreement(claimed: Sequence[str], read: Sequence[str]) -> float | None:
    """2 |A ∩ B| / (|A| + |B|) over letters and digits (NFKC, case-folded, as multisets); None where neither has any."""
    ours, theirs = _letters(claimed), _letters(read)
    total = sum(ours.values()) + sum(theirs.values())
    return 2 * sum((ours & theirs).values()) / total if total else None


def _letters(texts: Iterable[str]) -> Counter[str]:
    joined = unicodedata.normalize("NFKC", "".join(texts)).casefold()
    return Counter(c for c in joined if c.isalnum())
