"""The log: tasks and decisions in one SQLite file (WAL). Decisions are only ever added; the state is folded from them.

A decision is on disk before anyone is told that it was taken (`synchronous=FULL`), so a killed server loses none. Columns of
`tasks` below the payload are a cache of the fold, made anew by `refold`.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...errors import ConfigError, DatasetError
from .states import HUMAN, RULES, SKIP, UNDO, VERDICTS, Decision, State, fold, standing
from .tasks import Task

FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tasks (
  task_id TEXT PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, source TEXT NOT NULL, rank REAL NOT NULL,
  aesthetic REAL, searchable TEXT NOT NULL, payload TEXT NOT NULL, current INTEGER NOT NULL,
  stage TEXT NOT NULL, outcome TEXT NOT NULL, ai TEXT, human TEXT, routed TEXT NOT NULL, last INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tasks_queue ON tasks (current, stage, rank, task_id);
CREATE INDEX IF NOT EXISTS tasks_counts ON tasks (current, kind, stage, outcome);
CREATE INDEX IF NOT EXISTS tasks_subject ON tasks (subject);
CREATE INDEX IF NOT EXISTS tasks_source ON tasks (current, source);
CREATE TABLE IF NOT EXISTS decisions (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, task_id TEXT NOT NULL, action TEXT NOT NULL,
  actor TEXT NOT NULL, actor_kind TEXT NOT NULL, time TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS decisions_task ON decisions (task_id, seq);
CREATE INDEX IF NOT EXISTS decisions_actor ON decisions (actor_kind, actor, seq);
CREATE TRIGGER IF NOT EXISTS decisions_stay BEFORE UPDATE ON decisions
  BEGIN SELECT RAISE(ABORT, 'decisions are only ever added'); END;
CREATE TRIGGER IF NOT EXISTS decisions_remain BEFORE DELETE ON decisions
  WHEN (SELECT value FROM meta WHERE name = 'forgetting') IS NOT OLD.task_id
  BEGIN SELECT RAISE(ABORT, 'decisions are only ever added'); END;
CREATE TABLE IF NOT EXISTS marks (
  task_id TEXT NOT NULL, reviewer TEXT NOT NULL, judged INTEGER NOT NULL, skipped INTEGER NOT NULL,
  PRIMARY KEY (task_id, reviewer)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (task_id TEXT PRIMARY KEY, reviewer TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attachments (task_id TEXT PRIMARY KEY, payload TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS leases_reviewer ON leases (reviewer);
"""
_CHUNK = 500


class ConflictError(DatasetError):
    """Two different decisions or tasks claim one id."""


class ReviewLog:
    """An opened log. One connection, to be shared by threads; other processes may have the file open as well.

    Args:
        path: file; made where there is none.
        rule: one of RULES; a file opened with another rule than before is folded anew. None: the file's own.
    """

    def __init__(self, path: Path, rule: str | None = None):
        if rule is not None and rule not in RULES:
            raise ConfigError(f"acceptance rule {rule!r}: choose {', '.join(RULES)}")
        self.path = path
        self._lock = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            with self.writing() as db:
                for statement in _statements(_SCHEMA):
                    db.execute(statement)
                known = dict(db.execute("SELECT name, value FROM meta"))
                db.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (str(FORMAT),))
        except sqlite3.DatabaseError as e:
            raise DatasetError(f"{path}: not a review log ({e}); move it away or name another file") from e
        if known.get("format", str(FORMAT)) != str(FORMAT):
            raise DatasetError(f"{path}: review log of format {known['format']}, this version reads {FORMAT}")
        self.rule = rule or known.get("rule", RULES[0])
        if known.get("rule", self.rule) != self.rule:
            self.refold()
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('rule', ?)", (self.rule,))

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def __enter__(self) -> ReviewLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing. Nested ones belong to the outermost."""
        with self._lock:
            if self._db.in_transaction:
                yield self._db
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """A query's rows, read at once."""
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    # -- tasks

    def sync_tasks(self, tasks: Iterable[Task], partial: bool = False) -> int:
        """Put tasks in; those no longer proposed leave the queue, and keep their decisions. Returns how many are new.

        Args:
            partial: the others stay as they are.
        """
        new = 0
        with self.writing() as db:
            if not partial:
                # What was discarded is not proposed again, but can still be looked at and taken back.
                db.execute("UPDATE tasks SET current = 0 WHERE outcome != 'discarded'")
            for task in tasks:
                row = _columns(task)
                known = db.execute("SELECT 1 FROM tasks WHERE task_id = ?", (task.id,)).fetchone()
                if known:
                    db.execute(
                        "UPDATE tasks SET source = ?, rank = ?, aesthetic = ?, searchable = ?, payload = ?, current = 1 "
                        "WHERE task_id = ?",
                        (*row[3:8], task.id),
                    )
                    continue
                new += 1
                db.execute(
                    "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 'verify', 'proposed', NULL, NULL, '[]', 0)",
                    row,
                )
        return new

    def task(self, task_id: str) -> Task | None:
        found = self.rows("SELECT payload FROM tasks WHERE task_id = ?", (task_id,))
        return Task.from_json(found[0][0]) if found else None

    def tasks(self, current: bool = True) -> Iterator[Task]:
        """Tasks by rank; the current ones, or all there ever were."""
        where = "current = 1" if current else "1 = 1"
        last: tuple[float, str] = (float("-inf"), "")
        while True:
            found = self.rows(
                f"SELECT rank, task_id, payload FROM tasks WHERE {where} AND (rank, task_id) > (?, ?) "  # noqa: S608
                f"ORDER BY rank, task_id LIMIT {_CHUNK}",
                last,
            )
            for rank, task_id, payload in found:
                last = (rank, task_id)
                yield Task.from_json(payload)
            if len(found) < _CHUNK:
                return

    def attach(self, task_id: str, payload: Mapping[str, Any]) -> None:
        """Keep what another tool knows of a task and nobody here reads, to hand it back."""
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO attachments VALUES (?, ?)", (task_id, json.dumps(payload)))

    def attachment(self, task_id: str) -> dict[str, Any]:
        found = self.rows("SELECT payload FROM attachments WHERE task_id = ?", (task_id,))
        return json.loads(found[0][0]) if found else {}

    # -- decisions

    def append(self, decisions: Iterable[Decision]) -> int:
        """Add decisions; one that is there already counts once. Returns how many are new.

        Raises:
            DatasetError: about a task that is not there. ConflictError: another decision has the id.
        """
        with self.writing() as db:
            touched: dict[str, None] = {}
            new = 0
            for d in decisions:
                row = (d.id, d.task_id, d.action, d.actor, d.actor_kind, d.time, _dump(d.body))
                known = db.execute(
                    "SELECT id, task_id, action, actor, actor_kind, time, body FROM decisions WHERE id = ?",
                    (d.id,),
                ).fetchone()
                if known is not None:
                    if known[1:5] + known[6:] != row[1:5] + row[6:]:
                        raise ConflictError(f"decision {d.id!r} is in the log with another content")
                    continue
                if not db.execute("SELECT 1 FROM tasks WHERE task_id = ?", (d.task_id,)).fetchone():
                    raise DatasetError(f"decision {d.id!r}: no task {d.task_id!r} in {self.path}")
                db.execute(
                    "INSERT INTO decisions (id, task_id, action, actor, actor_kind, time, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
                touched[d.task_id] = None
                new += 1
            for task_id in touched:
                self._refresh(task_id)
        return new

    def history(self, task_id: str) -> list[Decision]:
        """All decisions about a task, oldest first."""
        found = self.rows(f"{_SELECT} WHERE task_id = ? ORDER BY seq", (task_id,))
        return [_decision(row) for row in found]

    def decisions(self) -> Iterator[Decision]:
        """The whole log, oldest first."""
        last = 0
        while found := self.rows(f"{_SELECT} WHERE seq > ? ORDER BY seq LIMIT {_CHUNK}", (last,)):
            last = found[-1][7]
            yield from map(_decision, found)

    def judged_histories(self) -> dict[str, list[Decision]]:
        """Task id -> all its decisions, of tasks on which a person or an AI verifier has a verdict."""
        found: dict[str, list[Decision]] = {}
        judged = "SELECT DISTINCT task_id FROM decisions WHERE actor_kind IN ('human', 'ai')"
        for row in self.rows(f"{_SELECT} WHERE task_id IN ({judged}) ORDER BY seq"):
            found.setdefault(row[1], []).append(_decision(row))
        return found

    def last_of(self, reviewer: str) -> Decision | None:
        """A reviewer's newest standing verdict: what an undo takes back."""
        found = self.rows(
            f"{_SELECT} WHERE actor_kind = ? AND actor = ? AND action != ? ORDER BY seq DESC LIMIT 200",
            (HUMAN, reviewer, SKIP),
        )
        undone = {json.loads(r[6]).get("undoes") for r in found if r[2] == UNDO}
        verdicts = (r for r in found if r[2] in VERDICTS and r[0] not in undone)
        return next((_decision(r) for r in verdicts), None)

    def state(self, task_id: str) -> State:
        """Folded from the log now."""
        return fold(self.history(task_id), self.rule)

    def refold(self) -> None:
        """Make the cached states anew from the log."""
        with self.writing() as db:
            db.execute("DELETE FROM marks")
            for (task_id,) in db.execute("SELECT task_id FROM tasks").fetchall():
                self._refresh(task_id)

    def forget(self, subjects: Iterable[str]) -> int:
        """Remove tasks about samples or pairs that were taken down, with their decisions. Returns how many went."""
        gone = 0
        with self.writing() as db:
            for subject in set(subjects):
                for (task_id,) in db.execute(
                    "SELECT task_id FROM tasks WHERE subject = ?", (subject,)
                ).fetchall():
                    db.execute("INSERT OR REPLACE INTO meta VALUES ('forgetting', ?)", (task_id,))
                    for table in ("decisions", "marks", "leases", "attachments", "tasks"):
                        db.execute(f"DELETE FROM {table} WHERE task_id = ?", (task_id,))  # noqa: S608
                    gone += 1
            db.execute("DELETE FROM meta WHERE name = 'forgetting'")
        return gone

    def _refresh(self, task_id: str) -> None:
        """Bring the cached columns of a task, and who has judged it, in line with the log."""
        history = self.history(task_id)
        state = fold(history, self.rule)
        last = self._db.execute("SELECT max(seq) FROM decisions WHERE task_id = ?", (task_id,)).fetchone()[0]
        self._db.execute(
            "UPDATE tasks SET stage = ?, outcome = ?, ai = ?, human = ?, routed = ?, last = ? WHERE task_id = ?",
            (
                state.stage,
                state.outcome,
                state.ai,
                state.human,
                _dump(list(state.routed)),
                last or 0,
                task_id,
            ),
        )
        self._db.execute("DELETE FROM marks WHERE task_id = ?", (task_id,))
        marks: dict[str, list[int]] = {}
        for d in standing(history):
            if d.actor_kind == HUMAN:
                mark = marks.setdefault(d.actor, [0, 0])
                mark[0] |= d.action in VERDICTS
                mark[1] |= d.action == SKIP
        self._db.executemany(
            "INSERT INTO marks VALUES (?, ?, ?, ?)", [(task_id, who, *mark) for who, mark in marks.items()]
        )


_SELECT = "SELECT id, task_id, action, actor, actor_kind, time, body, seq FROM decisions"


def now_text(at: float | None = None) -> str:
    """A time of the log, UTC to the millisecond; now by default."""
    moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _statements(script: str) -> list[str]:
    """The script's statements; `executescript` would end the transaction."""
    found, buffer = [], ""
    for line in script.splitlines(keepends=True):
        buffer += line
        if sqlite3.complete_statement(buffer):
            found.append(buffer)
            buffer = ""
    return found


def _columns(task: Task) -> tuple[Any, ...]:
    score = (task.context.get("scores") or {}).get("aesthetic")
    source = str(task.context.get("source") or "")
    return (task.id, task.kind, task.subject, source, task.rank, score, task.searchable, task.to_json())


def _decision(row: Sequence[Any]) -> Decision:
    return Decision(*row[:6], body=json.loads(row[6]))


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
