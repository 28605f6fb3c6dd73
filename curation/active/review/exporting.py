"""What was decided, as Parquet: the log itself, and one row per task for training captioners and reward heads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...stage import field_of
from .decisions import ReviewLog
from .overlay import _latest
from .states import PASS, State
from .tasks import CAPTION, FIELDS, Task, fold, is_list

_TEXTS = pa.list_(pa.string())
_ROWS = 1000

DECISIONS = pa.schema(
    [
        field_of("id", pa.string(), "unique"),
        field_of("task_id", pa.string(), "hash of the proposal"),
        field_of("action", pa.string(), "pass, fail, correct, discard, undo, skip or route"),
        field_of("actor", pa.string(), "reviewer, or model and version"),
        field_of("actor_kind", pa.string(), "human, ai or router"),
        field_of("time", pa.string(), "UTC"),
        field_of("body", pa.string(), "JSON: what was clicked and typed"),
    ]
)
_ALL_FIELDS = tuple(dict.fromkeys(f for fields in FIELDS.values() for f in fields))
REVIEWED = pa.schema(
    [
        field_of("task_id", pa.string(), "hash of the proposal"),
        field_of("kind", pa.string(), "caption or pair"),
        field_of("subject", pa.string(), "sample id (hex) or pair id"),
        field_of("proposer", pa.string(), "who wrote the proposal"),
        field_of("outcome", pa.string(), "proposed, accepted, corrected or discarded"),
        field_of("stage", pa.string(), "verify, correct, wait or done"),
        field_of("ai", pa.string(), "verdict of the AI verifier: pass, fail or null"),
        field_of("human", pa.string(), "pass, fail, not_sent, or null where a verdict is awaited"),
        field_of("routed", _TEXTS, "why a person was asked"),
        field_of("reviewers", _TEXTS, "who judged"),
        field_of(
            "elements", pa.string(), "JSON: elements shown, with `satisfied` where a person judged, else null"
        ),
        field_of("satisfied_share", pa.float32(), "satisfied / shown; null unless a person judged", "0..1"),
        field_of("aesthetic", pa.float32(), "as a person left it; null unless one did", "1..10"),
        field_of("aesthetic_proposed", pa.float32(), "as proposed", "1..10"),
        field_of(
            "reward", pa.float32(), "satisfied share as a reward model guessed it; null without", "0..1"
        ),
        field_of("ai_look", pa.bool_(), "a person says that it looks AI-made"),
        field_of("reasons", _TEXTS, "reasons people gave"),
        *(
            field_of(f"{prefix}{f}", _TEXTS if is_list(f) else pa.string(), meaning)
            for prefix, meaning in (("", "final text"), ("proposed_", "text as proposed"))
            for f in _ALL_FIELDS
        ),
    ]
)
TAG_CHANGES = pa.schema(
    [
        field_of("task_id", pa.string(), "hash of the proposal"),
        field_of("sample_id", pa.string(), "hex"),
        field_of("language", pa.string(), "en or zh"),
        field_of("tag", pa.string(), "as written"),
        field_of("change", pa.string(), "added or removed"),
        field_of("by", pa.string(), "reviewer"),
    ]
)


def export_parquet(log: ReviewLog, folder: Path) -> dict[str, int]:
    """Write decisions.parquet, reviewed.parquet and tag_changes.parquet; file name -> rows."""
    folder.mkdir(parents=True, exist_ok=True)
    states = ((task, log.state(task.id)) for task in log.tasks(current=False))
    written = {
        "decisions.parquet": _write(
            folder / "decisions.parquet",
            DECISIONS,
            (vars(d) | {"body": json.dumps(dict(d.body), ensure_ascii=False)} for d in log.decisions()),
        ),
        "reviewed.parquet": _write(
            folder / "reviewed.parquet", REVIEWED, (reviewed_row(task, state) for task, state in states)
        ),
    }
    written["tag_changes.parquet"] = _write(folder / "tag_changes.parquet", TAG_CHANGES, tag_changes(log))
    return written


def decided(log: ReviewLog) -> dict[tuple[str, str], tuple[Task, State]]:
    """(kind, subject) -> the task that was decided last, and its state: what `apply_decisions` goes by as well."""
    return {(task.kind, task.subject): (task, state) for task, state in _latest(log)}


def reviewed_row(task: Task, state: State) -> dict[str, Any]:
    """A row of REVIEWED."""
    judged = bool(state.by)
    guess = task.context.get("reward")
    guessed = guess.get("instruction") if isinstance(guess, Mapping) else None
    off = set(state.unsatisfied)
    elements = [
        {**vars(e), "parents": list(e.parents), "satisfied": e.id not in off if judged else None}
        for e in task.elements
    ]
    reasons = dict.fromkeys(
        r for d in state.by.values() if d.action != PASS for r in d.body.get("reasons") or ()
    )
    row = {
        "task_id": task.id,
        **{"kind": task.kind, "subject": task.subject, "proposer": task.proposer},
        **{"outcome": state.outcome, "stage": state.stage, "ai": state.ai, "human": state.human},
        "routed": list(state.routed),
        "reviewers": list(state.by),
        "elements": json.dumps(elements, ensure_ascii=False),
        "satisfied_share": 1 - len(off) / len(elements) if judged and elements else None,
        "aesthetic": state.aesthetic,
        "aesthetic_proposed": (task.context.get("scores") or {}).get("aesthetic"),
        "reward": guessed if isinstance(guessed, int | float) else None,
        "ai_look": state.ai_look,
        "reasons": list(reasons),
    }
    for prefix, fields in (("proposed_", task.fields), ("", {**task.fields, **state.fields})):
        for name in _ALL_FIELDS:
            value = fields.get(name)
            row[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return row


def tag_changes(log: ReviewLog) -> Iterator[dict[str, Any]]:
    """Tags that corrections added and removed, for the graph: rows of TAG_CHANGES."""
    for task in log.tasks(current=False):
        if task.kind != CAPTION:
            continue
        state = log.state(task.id)
        by = list(state.by)[-1] if state.by else ""
        for name in (n for n in state.fields if is_list(n)):
            old, new = ({fold(t): t for t in fields.get(name, ())} for fields in (task.fields, state.fields))
            for change, here, there in (("added", new, old), ("removed", old, new)):
                for key, tag in here.items():
                    if key not in there:
                        yield {
                            **{"task_id": task.id, "sample_id": task.subject, "language": name[:2]},
                            **{"tag": tag, "change": change, "by": by},
                        }


def _write(path: Path, schema: pa.Schema, rows: Iterator[dict[str, Any]]) -> int:
    total, batch = 0, []
    temp = path.with_name(f".{path.name}.part")
    with pq.ParquetWriter(temp, schema, compression="zstd") as writer:
        for row in rows:
            batch.append(row)
            if len(batch) == _ROWS:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                total, batch = total + len(batch), []
        writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    temp.replace(path)
    return total + len(batch)
