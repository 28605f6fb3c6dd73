"""What a reviewer's form says: untrusted text in, an action and its body out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ...errors import DatasetError
from .queue import STAGES, Filters
from .routing import REASONS
from .states import CORRECT, DISCARD, FAIL, PASS, SKIP, TO_CORRECT, VERIFY
from .tasks import FIELDS, Task, changed_fields

MAX_BYTES = 512 << 10
MAX_FIELDS = 1000
MAX_NOTE_CHARS = 2000
#: Reasons a reviewer may give -> (key that toggles it, what it means).
CODES: dict[str, tuple[str, str]] = {
    "invented": ("i", "says what is not there"),
    "missing": ("m", "leaves out what matters"),
    "lettering": ("t", "lettering is wrong"),
    "language": ("l", "reads badly"),
    "quality": ("q", "picture is poor"),
    "unsafe": ("u", "unsafe or private"),
}
SUBMIT = "submit"


class FormError(DatasetError):
    """A form that no page of ours sends."""


def parse(body: bytes) -> dict[str, list[str]]:
    """Names -> values of a form as browsers send it. Raises FormError."""
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=MAX_FIELDS,
            errors="strict",
        )  # fmt: skip
    except ValueError as e:
        raise FormError(f"not a form: {e}") from e
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def one(form: Mapping[str, Sequence[str]], name: str) -> str:
    """The single value of a name, "" where it is absent. Raises FormError for several."""
    values = form.get(name, ())
    if len(values) > 1:
        raise FormError(f"{name} is given twice")
    return values[0] if values else ""


def decision_of(task: Task, stage: str, form: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, Any]]:
    """(action, body) of a form about a task.

    The page's main button says what it will do: changed texts are a correction, clicked elements or reasons a rejection,
    else the proposal passes. What waits for a correction is settled by it, changed or not.

    Raises:
        FormError: naming the value that no page sends.
    """
    action = one(form, "action")
    if action not in (SUBMIT, FAIL, DISCARD, SKIP):
        raise FormError(f"action {action[:40]!r} is unknown")
    if action == SKIP:
        return SKIP, {}
    known = [e.id for e in task.elements]
    clicked = set(form.get("unsatisfied", ()))
    if not clicked <= set(known):
        raise FormError("unsatisfied: no element of this task")
    codes = list(form.get("reason", ()))
    if not set(codes) <= set(CODES):
        raise FormError("reason: unknown")
    typed = {f: one(form, f"field.{f}") for f in FIELDS[task.kind] if f"field.{f}" in form}
    changed = changed_fields(task.fields, typed)
    empty = [f for f, value in changed.items() if not value]
    if empty and action == SUBMIT:
        raise FormError(f"{', '.join(empty)}: empty; discard the task instead")
    body: dict[str, Any] = {"shown": known, "unsatisfied": [i for i in known if i in clicked]}
    score = one(form, "aesthetic")
    if score:
        if score not in map(str, range(1, 11)):
            raise FormError("aesthetic: 1 to 10")
        body["aesthetic"] = float(score)
    if "ai_look_asked" in form:
        body["ai_look"] = bool(one(form, "ai_look"))
    if codes:
        body["reasons"] = [c for c in CODES if c in codes]
    note = one(form, "note").strip()
    if note:
        body["note"] = note[:MAX_NOTE_CHARS]
    if action == SUBMIT:
        action = CORRECT if changed or stage == TO_CORRECT else FAIL if clicked or codes else PASS
    if action == CORRECT:
        body["fields"] = {f: v if isinstance(v, str) else list(v) for f, v in changed.items()}
    return action, body


def filters_of(query: Mapping[str, str]) -> Filters:
    """Filters of an address; what makes no sense is left out, as an address may be typed by hand."""

    def number(name: str) -> float | None:
        try:
            value = float(query.get(name, ""))
        except ValueError:
            return None
        return value if 0 <= value <= 10 else None

    stage, kind, why = (query.get(n, "") for n in ("stage", "kind", "why"))
    outcome = query.get("outcome", "")
    return Filters(
        stage=stage if stage in STAGES else VERIFY,
        kind=kind if kind in FIELDS else "",
        source=query.get("source", "")[:200],
        outcome=outcome if outcome in ("accepted", "corrected", "discarded") else "",
        why=why if why in REASONS else "",
        text=query.get("text", "")[:200],
        aesthetic_from=number("aesthetic_from"),
        aesthetic_to=number("aesthetic_to"),
    )


def query_of(filters: Filters) -> str:
    """The address of filters, without those that stand at their default; `filters_of` gives them back."""
    given = {k: v for k, v in vars(filters).items() if v not in ("", None)}
    if filters.stage == VERIFY:
        given.pop("stage")
    return urlencode({k: f"{v:g}" if isinstance(v, float) else v for k, v in given.items()})
