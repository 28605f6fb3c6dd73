"""What pages show: facts of the log put into templates. Every text is escaped; nothing here is ever marked as safe HTML."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .agreement import report
from .forms import CODES, query_of
from .queue import PAGE, STAGES, Filters, ReviewQueue
from .routing import REASONS
from .states import (
    ACCEPTED,
    CORRECT,
    CORRECTED,
    DISCARD,
    DISCARDED,
    DONE,
    FAIL,
    PASS,
    TO_CORRECT,
    VERIFY,
    WAIT,
    State,
)
from .tasks import CAPTION, PAIR, Element, Task, Text, hidden_characters, shown

#: Score from which a picture is blurred until asked for.
NSFW_FROM = 0.5
_STATIC = {
    "review.css": "text/css; charset=utf-8",
    "review.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_LANGUAGES = {"en": "English", "zh": "中文"}
_STAGE_NAMES = {VERIFY: "To verify", TO_CORRECT: "To correct", DONE: "Done"}
_DID = {PASS: "accepted", FAIL: "rejected", CORRECT: "corrected", DISCARD: "discarded"}
_SCORES = {
    "aesthetic": ("aesthetic", 1),
    "text_image": ("text and image", 2),
    "ai_generated": ("AI-made", 2),
    "nsfw": ("unsafe", 2),
    "reward": ("reward's guess", 2),
}
_PAIR_SCORES = {
    "changed_share": ("changed", 3),
    "outside_psnr_db": ("outside, dB", 1),
    "outside_ssim": ("outside, SSIM", 3),
    "shift_px": ("shift, px", 2),
}


class Pages:
    """Renders pages.

    Args:
        title: of the dataset, untrusted like everything else.
        suggested: reviewer's name that the first page proposes.
        show_ai: show the AI verifier's verdict before a person has given theirs. Off, because people then repeat it.
    """

    def __init__(self, title: str, suggested: str = "", show_ai: bool = False):
        folder = resources.files(__package__) / "templates"
        self._files = {name: (folder / name).read_bytes() for name in _STATIC}
        mark = hashlib.sha256(b"".join(self._files.values())).hexdigest()[:12]
        self._title, self._suggested, self._show_ai = title, suggested, show_ai
        self._environment = Environment(
            loader=FileSystemLoader(str(folder)),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"title": title, "static_mark": mark}

    def static(self, name: str) -> tuple[bytes, str] | None:
        """(content, media type) of the style sheet or the script."""
        return (self._files[name], _STATIC[name]) if name in _STATIC else None

    def _render(self, template: str, **values: Any) -> str:
        return self._environment.get_template(template).render(**values)

    def hello(self, token_asked: bool, token: str, problem: str) -> str:
        """Who are you?"""
        return self._render(
            "hello.html.j2", token_asked=token_asked, token=token, problem=problem, suggested=self._suggested
        )

    def lost(self, problem: str, typed: Mapping[str, str], query: str) -> str:
        """A decision that was not taken; what was typed is shown, so that it is not lost."""
        return self._render("lost.html.j2", problem=problem, typed=typed, query=query)

    def work(
        self, queue: ReviewQueue, reviewer: str, form_key: str, filters: Filters, held: list[str]
    ) -> str:
        """The task on screen, the first of those held; an empty page where there is none."""
        common = self._common(queue, reviewer, filters) | {"form_key": form_key}
        last = queue.log.last_of(reviewer)
        common["last"] = None if last is None else {"did": _DID[last.action], "task_id": last.task_id}
        task = queue.log.task(held[0]) if held else None
        if task is None:
            return self._render("empty.html.j2", **common)
        state = queue.log.state(task.id)
        ahead = queue.log.task(held[1]) if len(held) > 1 else None
        return self._render(
            "task.html.j2",
            **common,
            **self._task(task, state, reviewer),
            holder=next((h for h in [queue.holder(task.id)] if h != reviewer), None),
            version=queue.version(task.id),
            decision_id=uuid.uuid4().hex,
            ahead=[f"/media/{ahead.id}/{i}" for i in range(len(ahead.pictures))] if ahead else [],
        )

    def _common(self, queue: ReviewQueue, reviewer: str, filters: Filters, here: str = "/") -> dict[str, Any]:
        counts = queue.counts()
        total = sum(counts.values())
        settled = {
            outcome: sum(n for key, n in counts.items() if key[2] == outcome and key[1] == DONE)
            for outcome in (ACCEPTED, CORRECTED, DISCARDED)
        }
        stages = {s: sum(n for k, n in counts.items() if k[1] == s) for s in (*STAGES, WAIT)}
        mine, pace = queue.pace(reviewer)
        return {
            "reviewer": reviewer,
            "here": here,
            "filters": filters,
            "query": query_of(filters),
            "stages": [(s, _STAGE_NAMES[s], stages[s], query_of(_at(filters, s))) for s in STAGES],
            "waiting": stages[WAIT],
            "total": total,
            "settled": settled,
            "done": stages[DONE],
            "bars": [(name, 100 * n / total) for name, n in settled.items() if n],
            "mine": mine,
            "pace": None if pace is None else round(pace),
            "kinds": [k for k in (CAPTION, PAIR) if any(key[0] == k for key in counts)],
            "sources": queue.sources(),
            "reasons": REASONS,
            "filtered": query_of(_at(filters, VERIFY)) != "",
        }

    def _task(self, task: Task, state: State, reviewer: str) -> dict[str, Any]:
        mine = state.by.get(reviewer)
        # Until somebody has judged, or to the second of two who judge apart, others' verdicts are not shown.
        open_book = state.stage != VERIFY or mine is not None
        current: dict[str, Text] = {**task.fields, **(state.fields if open_book else {})}
        scores = task.context.get("scores") or {}
        aesthetic = state.aesthetic if open_book and state.aesthetic is not None else scores.get("aesthetic")
        verdict = state.ai if self._show_ai or open_book else None
        named = {e.id: e.text for e in task.elements}
        guess = task.context.get("reward") if self._show_ai or open_book else None
        guess = guess if isinstance(guess, Mapping) else {}
        guessed = guess.get("elements") if isinstance(guess.get("elements"), Mapping) else {}
        return {
            "task": task,
            "state": state,
            "columns": [
                (
                    lang,
                    _LANGUAGES[lang],
                    [self._field(task, f, current[f]) for f in task.fields if f[:2] == lang],
                )
                for lang in task.languages
            ],
            "elements": [
                {
                    **{"id": e.id, "text": _worded(e, named), "kind": e.kind},
                    # What an attribute belongs to.
                    "of": named.get(e.parents[0], "") if len(e.parents) == 1 else "",
                    "off": open_book and e.id in state.unsatisfied,
                    "guess": guessed.get(e.id) if isinstance(guessed.get(e.id), int | float) else None,
                }
                for e in task.elements
            ],
            "marked_by": [who for who, d in state.by.items() if d.action != PASS] if open_book else [],
            "verdict": verdict,
            "routed": [REASONS[r] for r in state.routed if r in REASONS]
            if self._show_ai or open_book
            else [],
            "scores": _figures(
                {**scores, "reward": guess.get("instruction")},
                _SCORES if task.kind == CAPTION else _PAIR_SCORES,
            ),
            "aesthetic": None if aesthetic is None else max(1, min(10, round(aesthetic))),
            "proposed_aesthetic": scores.get("aesthetic"),
            "ai_look": bool(state.ai_look) if open_book else False,
            "codes": CODES,
            "given_codes": [c for d in state.by.values() for c in d.body.get("reasons", ())]
            if open_book
            else [],
            "facts": _facts(task),
            "nsfw": (scores.get("nsfw") or 0) >= NSFW_FROM,
            "hidden": hidden_characters(list(task.fields.values())),
            "settled_as": state.outcome if state.stage == DONE else "",
        }

    def _field(self, task: Task, name: str, value: Text) -> dict[str, Any]:
        text = shown(value)
        wide = sum(2 if ord(c) > 0x2E7F else 1 for c in text)
        return {
            "name": name,
            "label": name[3:],
            "text": text,
            "proposed": shown(task.fields[name]),
            # For browsers that do not fit a text box to its text by themselves.
            "rows": max(1, min(24, wide // 44 + 1 + text.count("\n"))),
        }

    def listed(self, queue: ReviewQueue, reviewer: str, filters: Filters, page: int) -> str:
        """A page of tasks as a table."""
        total, rows = queue.listed(filters, page)
        shown_rows = []
        for task_id, _, source, outcome, ai, human, _, payload in rows:
            task = Task.from_json(payload)
            text = next((shown(v) for v in task.fields.values() if v), "")
            shown_rows.append(
                {
                    "id": task_id,
                    "text": text[:160],
                    "source": source,
                    "key": task.context.get("key", ""),
                    "outcome": outcome,
                    "ai": ai,
                    "human": human,
                    "pictures": range(min(2, len(task.pictures))),
                }
            )
        return self._render(
            "list.html.j2",
            **self._common(queue, reviewer, filters, "/list"),
            rows=shown_rows,
            matching=total,
            page=page,
            pages=max(1, -(-total // PAGE)),
        )

    def progress(self, queue: ReviewQueue, reviewer: str) -> str:
        """Counts, reviewers, agreement."""
        found = report(queue.log)
        paces = {who: queue.pace(who) for who in found["reviewers"]}
        return self._render(
            "progress.html.j2",
            **self._common(queue, reviewer, Filters(), "/progress"),
            report=found,
            paces=paces,
            did=_DID,
            names={ACCEPTED: "accepted", CORRECTED: "corrected", DISCARDED: "discarded"},
        )


def _worded(element: Element, named: Mapping[str, str]) -> str:
    """An element's words; of a relation that is a bare `on`, with what it relates."""
    ends = [named.get(p, "") for p in element.parents[:2]]
    if len(ends) < 2 or any(end and end in element.text for end in ends):
        return element.text
    return " ".join(filter(None, (ends[0], element.text, ends[1])))


def _at(filters: Filters, stage: str) -> Filters:
    return Filters(**{**vars(filters), "stage": stage, "outcome": filters.outcome if stage == DONE else ""})


def _figures(scores: Mapping[str, Any], names: Mapping[str, tuple[str, int]]) -> list[tuple[str, str]]:
    return [
        (label, f"{scores[name]:.{digits}f}")
        for name, (label, digits) in names.items()
        if isinstance(scores.get(name), int | float)
    ]


def _facts(task: Task) -> list[tuple[str, str]]:
    """What else is known, in words: (label, text)."""
    context = task.context
    size = next((f"{p.width_px} × {p.height_px} px" for p in task.pictures if p.width_px), "")
    facts = [
        ("from", "/".join(str(context[k]) for k in ("source", "key") if context.get(k))),
        ("size", size),
        ("alt text", str(context.get("alt") or "")),
        ("lettering read", " · ".join(context.get("lettering") or ())),
        ("concepts", ", ".join(context.get("concepts") or ())),
        ("kind of pair", ", ".join(context.get("types") or ())),
        ("written by", task.proposer + (" (placeholder, no model)" if context.get("placeholder") else "")),
        ("doubts", "; ".join(context.get("warnings") or ())),
    ]
    return [(label, text) for label, text in facts if text]
