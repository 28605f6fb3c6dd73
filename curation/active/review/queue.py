"""The queue: who looks at which task now, and what they decide. Several reviewers never hold one task at once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import DatasetError
from .decisions import ReviewLog, now_text
from .states import DONE, HUMAN, TO_CORRECT, UNDO, VERDICTS, VERIFY, Decision
from .tasks import fold

#: Tasks held at once: the one on screen, and the next one, whose pictures are fetched ahead.
HELD = 2
STAGES = (VERIFY, TO_CORRECT, DONE)
PAGE = 50


class LostTaskError(DatasetError):
    """Somebody else holds or has changed the task; nothing was written."""


@dataclass(frozen=True)
class Filters:
    """Which tasks; empty means any.

    Attributes:
        stage: VERIFY, TO_CORRECT or DONE. kind, source, outcome: equal. why: a reason of routing.
        text: folded, anywhere in captions, key, source or id.
        aesthetic_from, aesthetic_to: bounds of the proposed score, inclusive.
    """

    stage: str = VERIFY
    kind: str = ""
    source: str = ""
    outcome: str = ""
    why: str = ""
    text: str = ""
    aesthetic_from: float | None = None
    aesthetic_to: float | None = None

    def sql(self) -> tuple[str, dict[str, Any]]:
        """(condition over `t`, its values)."""
        parts, values = ["t.current = 1 AND t.stage = :stage"], {"stage": self.stage}
        for name in ("kind", "source", "outcome"):
            if getattr(self, name):
                parts.append(f"t.{name} = :{name}")
                values[name] = getattr(self, name)
        if self.why:
            parts.append("instr(t.routed, :why) > 0")
            values["why"] = f'"{self.why}"'
        if fold(self.text):
            parts.append("instr(t.searchable, :text) > 0")
            values["text"] = fold(self.text)
        for name, sign in (("aesthetic_from", ">="), ("aesthetic_to", "<=")):
            if getattr(self, name) is not None:
                parts.append(f"t.aesthetic {sign} :{name}")
                values[name] = getattr(self, name)
        return " AND ".join(parts), values


class ReviewQueue:
    """Hands out tasks and takes decisions.

    Args:
        lease_s: after so long without a sign of life, a held task goes to somebody else.
        clock: seconds since the epoch.
    """

    def __init__(self, log: ReviewLog, lease_s: float = 600.0, clock: Callable[[], float] = time.time):
        self.log, self.lease_s, self._clock = log, lease_s, clock

    def next_tasks(self, reviewer: str, filters: Filters, count: int = HELD) -> list[str]:
        """Lease the first tasks for a reviewer and release what else they held; [] when there are none.

        Tasks they have judged are for others to judge again; what they skipped comes last.
        """
        where, values = filters.sql()
        values |= {"me": reviewer, "now": self._clock(), "count": count}
        if filters.stage == VERIFY:
            where += " AND coalesce(m.judged, 0) = 0"
        with self.log.writing() as db:
            db.execute("DELETE FROM leases WHERE reviewer = :me OR until <= :now", values)
            found: list[str] = []
            for skipped in ("coalesce(m.skipped, 0) = 0", "m.skipped = 1"):
                found += (
                    row[0]
                    for row in db.execute(
                        "SELECT t.task_id FROM tasks t LEFT JOIN leases l ON l.task_id = t.task_id "  # noqa: S608
                        "LEFT JOIN marks m ON m.task_id = t.task_id AND m.reviewer = :me "
                        f"WHERE l.task_id IS NULL AND {where} AND {skipped} ORDER BY t.rank, t.task_id LIMIT :count",
                        values,
                    )
                )
                if len(found) >= count:
                    break
            found = found[:count]
            until = self._clock() + self.lease_s
            db.executemany("INSERT INTO leases VALUES (?, ?, ?)", [(t, reviewer, until) for t in found])
        return found

    def hold(self, task_id: str, reviewer: str) -> bool:
        """Lease one task, or keep it; False when somebody else holds it."""
        with self.log.writing() as db:
            return self._hold(db, task_id, reviewer)

    def _hold(self, db: Any, task_id: str, reviewer: str) -> bool:
        now = self._clock()
        holder = self.holder(task_id)
        if holder not in (None, reviewer):
            return False
        db.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", (task_id, reviewer, now + self.lease_s))
        return True

    def holder(self, task_id: str) -> str | None:
        """Who holds a task now."""
        found = self.log.rows(
            "SELECT reviewer FROM leases WHERE task_id = ? AND until > ?", (task_id, self._clock())
        )
        return found[0][0] if found else None

    def version(self, task_id: str) -> int:
        """Number of the newest decision about a task: what a page was made from."""
        found = self.log.rows("SELECT last FROM tasks WHERE task_id = ?", (task_id,))
        if not found:
            raise DatasetError(f"no task {task_id!r}")
        return int(found[0][0])

    def decide(
        self,
        task_id: str,
        reviewer: str,
        action: str,
        body: Mapping[str, Any],
        version: int | None = None,
        decision_id: str | None = None,
    ) -> Decision:
        """Write a person's decision down and let the task go. On disk when this returns.

        Args:
            version: of the page; None: whatever was decided meanwhile.
            decision_id: of the page: sent twice (a retry, a double click), it counts once.

        Raises:
            LostTaskError: another reviewer holds the task, or it has another version.
            ConfigError: an action people do not have.
        """
        given = Decision(
            decision_id or uuid.uuid4().hex,
            task_id,
            action,
            reviewer,
            HUMAN,
            now_text(self._clock()),
            dict(body),
        )
        with self.log.writing() as db:
            if self.log.rows("SELECT 1 FROM decisions WHERE id = ? AND actor = ?", (given.id, reviewer)):
                return given
            holder = self.holder(task_id)
            if holder not in (None, reviewer):
                raise LostTaskError(f"{holder} has this task now")
            if version is not None and version != self.version(task_id):
                raise LostTaskError("this task was decided meanwhile")
            self.log.append([given])
            db.execute("DELETE FROM leases WHERE task_id = ?", (task_id,))
        return given

    def undo(self, reviewer: str) -> str | None:
        """Take a reviewer's last verdict back and hold its task for them; its id, or None without one.

        Raises:
            LostTaskError: somebody else is working on it.
        """
        with self.log.writing() as db:
            last = self.log.last_of(reviewer)
            if last is None:
                return None
            if not self._hold(db, last.task_id, reviewer):
                raise LostTaskError(f"{self.holder(last.task_id)} is working on it")
            undone = Decision(
                *(uuid.uuid4().hex, last.task_id, UNDO, reviewer, HUMAN, now_text(self._clock())),
                {"undoes": last.id},
            )
            self.log.append([undone])
        return last.task_id

    # -- looking

    def counts(self) -> dict[tuple[str, str, str], int]:
        """(kind, stage, outcome) -> current tasks."""
        found = self.log.rows(
            "SELECT kind, stage, outcome, count(*) FROM tasks WHERE current = 1 GROUP BY kind, stage, outcome"
        )
        return {row[:3]: row[3] for row in found}

    def listed(self, filters: Filters, page: int = 0) -> tuple[int, list[tuple[Any, ...]]]:
        """(how many match, one page of (task id, kind, source, outcome, ai, human, routed, payload))."""
        where, values = filters.sql()
        total = self.log.rows(f"SELECT count(*) FROM tasks t WHERE {where}", values)[0][0]  # noqa: S608
        rows = self.log.rows(
            "SELECT t.task_id, t.kind, t.source, t.outcome, t.ai, t.human, t.routed, t.payload FROM tasks t "  # noqa: S608
            f"WHERE {where} ORDER BY t.rank, t.task_id LIMIT {PAGE} OFFSET :offset",
            values | {"offset": max(0, page) * PAGE},
        )
        return total, rows

    def sources(self) -> list[str]:
        """Names of the sources of current tasks."""
        return [
            r[0] for r in self.log.rows("SELECT DISTINCT source FROM tasks WHERE current = 1 ORDER BY source")
        ]

    def pace(self, reviewer: str) -> tuple[int, float | None]:
        """(standing verdicts of a reviewer, verdicts an hour over their last hour of work; None below five)."""
        marks = "SELECT count(*) FROM marks WHERE reviewer = ? AND judged = 1"
        total = self.log.rows(marks, (reviewer,))[0][0]
        since = now_text(self._clock() - 3600)
        places = ", ".join("?" * len(VERDICTS))
        times = self.log.rows(
            "SELECT count(*), (julianday(max(time)) - julianday(min(time))) * 24 FROM decisions "  # noqa: S608
            f"WHERE actor_kind = ? AND actor = ? AND time > ? AND action IN ({places})",
            (HUMAN, reviewer, since, *VERDICTS),
        )[0]
        if times[0] < 5 or not times[1]:
            return total, None
        return total, (times[0] - 1) / times[1]
