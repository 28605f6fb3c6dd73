"""The append-only journal of a graph: who changed what, when and why. State is a fold over it.

`changes.jsonl` holds one event per line. Nothing in it is ever rewritten; undoing is an event of its own.
Nodes are named by their number within one build, and by Wikidata id or (language, name) across builds.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import GraphError

CHANGES = "changes.jsonl"
EVENTS = ("add", "weight", "rename", "prompts", "prune", "undo")


@dataclass(frozen=True)
class Author:
    """Who answers for a change. `date`: ISO 8601; empty = now (UTC)."""

    name: str
    reason: str
    date: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.reason.strip():
            raise GraphError("a change needs an author and a reason; give --author and --reason")
        if self.date:
            try:
                datetime.fromisoformat(self.date)
            except ValueError:
                raise GraphError(f"date {self.date!r} is not ISO 8601; write e.g. 2026-01-31") from None

    def stamp(self) -> dict[str, str]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {"author": self.name, "reason": self.reason, "date": self.date or now, "recorded": now}


def read(path: Path) -> list[dict[str, Any]]:
    """All events of a JSONL file in order; [] if there is none.

    A last line without a newline is what a crash left of an append, and is passed over.

    Raises:
        GraphError: a whole line is not a JSON object.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    events = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise GraphError(f"{path}, line {number}: not a JSON object; restore the file from a backup")
        events.append(event)
    return events


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time reads a journal to append to it. Waits for others; ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "wb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def append(path: Path, events: list[Mapping[str, Any]]) -> None:
    """Add lines and make them durable. What a crash left of an earlier append is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+") as f:
        end = f.seek(0, os.SEEK_END)
        if end:
            f.seek(0)
            whole = f.read().rfind(b"\n") + 1
            f.truncate(whole)
        f.write(b"".join(json.dumps(e, ensure_ascii=False).encode() + b"\n" for e in events))
        f.flush()
        os.fsync(f.fileno())


def standing_undos(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Undo events that were not themselves undone."""
    undone: set[int] = set()
    standing_ones = []
    for event in reversed(events):
        if event["event"] == "undo" and event["id"] not in undone:
            undone.add(event["of"])
            standing_ones.append(event)
    return standing_ones


def standing(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events that were not undone, undos left out. An undo can itself be undone."""
    gone = {e["of"] for e in standing_undos(events)}
    return [e for e in events if e["id"] not in gone and e["event"] != "undo"]
