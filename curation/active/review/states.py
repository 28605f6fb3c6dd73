"""What became of a task: a fold over its decisions, and nothing else.

    proposed -> {ai_pass, ai_fail} x {human_pass, human_fail, not_sent} -> accepted | corrected | discarded

Verdicts of the AI verifier and of people stand side by side; a rule says what they mean together. What is rejected waits
for a correction by hand, or is discarded. Nothing is ever changed in place: an undo is a decision too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import ConfigError
from .tasks import Text

AI, HUMAN, ROUTER = "ai", "human", "router"
PASS, FAIL, CORRECT, DISCARD = "pass", "fail", "correct", "discard"
UNDO, SKIP, ROUTE = "undo", "skip", "route"
#: Who may do what.
ACTIONS: dict[str, tuple[str, ...]] = {
    HUMAN: (PASS, FAIL, CORRECT, DISCARD, UNDO, SKIP),
    AI: (PASS, FAIL),
    ROUTER: (ROUTE,),
}
VERDICTS = (PASS, FAIL, CORRECT, DISCARD)

#: How verdicts of the AI verifier and of people combine:
#: `any_fail`: one of them that fails rejects; `both_pass`: accepted only when both pass;
#: `human_overrides`: where a person looked, the person decides; elsewhere the AI.
RULES = ("human_overrides", "any_fail", "both_pass")

PROPOSED, ACCEPTED, CORRECTED, DISCARDED = "proposed", "accepted", "corrected", "discarded"
#: What a task waits for: a person's verdict, a correction, the AI verifier, or nothing.
VERIFY, TO_CORRECT, WAIT, DONE = "verify", "correct", "wait", "done"


@dataclass(frozen=True)
class Decision:
    """One line of the log.

    Attributes:
        id: unique; a repeated one is the same decision, given twice.
        actor: a reviewer's name, or the model and version of a verifier.
        actor_kind: HUMAN, AI or ROUTER.
        time: UTC, `2026-01-31T12:00:00.000Z`.
        body: JSON-able: `unsatisfied` and `shown` (element ids), `fields` (corrected texts), `aesthetic` (1..10),
            `ai_look` (bool), `reasons`, `note`; of a route `sent`, `reasons`, `share`, `people`; of an undo `undoes`.
    """

    id: str
    task_id: str
    action: str
    actor: str
    actor_kind: str
    time: str
    body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ConfigError naming the field."""
        if self.action not in ACTIONS.get(self.actor_kind, ()):
            raise ConfigError(f"decision {self.id!r}: {self.actor_kind!r} cannot {self.action!r}")
        for name in ("id", "task_id", "actor", "time"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ConfigError(f"decision {self.id!r}: {name} must be a text")
        if not isinstance(self.body, Mapping):
            raise ConfigError(f"decision {self.id!r}: body must be an object")


@dataclass(frozen=True)
class State:
    """A task as its decisions leave it.

    Attributes:
        ai: PASS, FAIL, or None without a verdict.
        human: PASS, FAIL, `not_sent`, or None while a verdict is awaited.
        outcome: PROPOSED, ACCEPTED, CORRECTED or DISCARDED.
        stage: VERIFY, TO_CORRECT, WAIT or DONE.
        routed: why a person was asked; empty where none was.
        people: verdicts of people that are wanted.
        fields: corrected texts.
        unsatisfied: element ids that people clicked; the corrector's or discarder's, else all of them.
        aesthetic, ai_look: of the last person who said so.
        by: reviewer -> their last standing decision.
    """

    ai: str | None = None
    human: str | None = None
    outcome: str = PROPOSED
    stage: str = VERIFY
    routed: tuple[str, ...] = ()
    people: int = 1
    fields: Mapping[str, Text] = field(default_factory=dict)
    unsatisfied: tuple[str, ...] = ()
    aesthetic: float | None = None
    ai_look: bool | None = None
    by: Mapping[str, Decision] = field(default_factory=dict)


def standing(decisions: Iterable[Decision]) -> list[Decision]:
    """Decisions in order, without undos and what they took back. Only one's own decisions can be undone."""
    kept: dict[str, Decision] = {}
    for d in decisions:
        if d.action != UNDO:
            kept[d.id] = d
            continue
        target = kept.get(str(d.body.get("undoes")))
        if target is not None and target.actor == d.actor and target.actor_kind == d.actor_kind:
            del kept[target.id]
    return list(kept.values())


def combine(ai: str | None, human: str | None, rule: str) -> str | None:
    """PASS, FAIL, or None while the rule cannot tell.

    Args:
        ai: PASS, FAIL or None. human: PASS, FAIL, `not_sent` or None (awaited).

    Raises:
        ConfigError: no such rule.
    """
    if rule not in RULES:
        raise ConfigError(f"acceptance rule {rule!r}: choose {', '.join(RULES)}")
    if rule == "human_overrides":
        return human if human in (PASS, FAIL) else ai if human == "not_sent" else None
    if FAIL in (ai, human):
        return FAIL
    if rule == "both_pass":
        return PASS if ai == human == PASS else None
    return PASS if human == PASS or (human == "not_sent" and ai == PASS) else None


def fold(decisions: Sequence[Decision], rule: str = "human_overrides") -> State:
    """The state of one task from all its decisions, oldest first. Raises ConfigError for an unknown rule."""
    ai: str | None = None
    route: Mapping[str, Any] = {}
    latest: dict[str, Decision] = {}
    for d in standing(decisions):
        if d.actor_kind == AI:
            ai = d.action
        elif d.action == ROUTE:
            route = d.body
        elif d.action in VERDICTS:
            latest.pop(d.actor, None)  # so that `latest` stays in the order of the last decisions
            latest[d.actor] = d
    sent = bool(route.get("sent", True))
    people = max(1, int(route.get("people", 1)))
    verdicts = [PASS if d.action == PASS else FAIL for d in latest.values()]
    human: str | None = None
    if FAIL in verdicts:
        human = FAIL
    elif len(verdicts) >= people or (verdicts and not sent):
        human = PASS
    elif not sent:
        human = "not_sent"
    # Second opinions are blind: they are asked for whatever the first was, else agreement would look better than it is.
    awaited = sent and len(verdicts) < people
    final = [d for d in latest.values() if d.action in (CORRECT, DISCARD)][-1:]
    fields: dict[str, Text] = {}
    if final:
        outcome = CORRECTED if final[0].action == CORRECT else DISCARDED
        stage = VERIFY if awaited else DONE
        given = final[0].body.get("fields") or {}
        fields = {k: v if isinstance(v, str) else tuple(v) for k, v in given.items()}
    else:
        together = combine(ai, human, rule)
        outcome = ACCEPTED if together == PASS and not awaited else PROPOSED
        stage = VERIFY if awaited else {PASS: DONE, FAIL: TO_CORRECT, None: WAIT}[together]
    marks = final or list(latest.values())
    unsatisfied = dict.fromkeys(i for d in marks for i in d.body.get("unsatisfied") or ())
    return State(
        ai=ai,
        human=human,
        outcome=outcome,
        stage=stage,
        routed=tuple(route.get("reasons") or ()) if sent else (),
        people=people,
        fields=fields,
        unsatisfied=tuple(unsatisfied),
        aesthetic=_last(latest.values(), "aesthetic"),
        ai_look=_last(latest.values(), "ai_look"),
        by=latest,
    )


def _last(decisions: Iterable[Decision], name: str) -> Any:
    said = [d.body[name] for d in decisions if d.body.get(name) is not None]
    return said[-1] if said else None
