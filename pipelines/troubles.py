"""What becomes of a shard that did not go well: tried again, its suspects tried alone, or given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from zcurate.curation.stage import Resources

from .execution.outcome import Outcome
from .execution.worker import MapTask

#: How often one shard may fail before it is given up (kills from outside included).
MAX_ATTEMPTS = 20
#: Failures with an exception that belongs to no row: a bug, or a machine's fault.
MAX_STAGE_FAILURES = 3
#: Rows of one shard that may meet a bug of the stage, each for itself. More, and it is no odd file: the shard is given up.
MAX_FAULTY_ROWS = 5
MAX_MEMORY_FAILURES = 4
#: Longest part of an exception's text that a row keeps, in characters.
_MOST_TEXT = 400


@dataclass
class Trouble:
    """History of one shard of one stage.

    Attributes:
        to_probe: rows that were in progress when a worker died, hung or met a bug: each is tried alone before
            anything is held against it.
        faulty: of the quarantined ones those that met a bug, alone too.
        quarantined: row -> (error class, message) of rows that failed alone too.
    """

    attempts: int = 0
    kinds: Counter = field(default_factory=Counter)
    to_probe: list[int] = field(default_factory=list)
    quarantined: dict[int, tuple[str, str]] = field(default_factory=dict)
    faulty: int = 0

    def note(self, outcome: Outcome, resources: Resources) -> str | None:
        """Take in one failure. Returns why the shard is given up, or None when it is to be tried again.

        Memory, lost nodes and preemption never count against a row.
        """
        failure, task = outcome.failure, outcome.task
        self.attempts += 1
        self.kinds[failure.kind] += 1
        if failure.kind == "stop":
            return failure.message
        if failure.kind == "stage" and self.kinds["stage"] >= MAX_STAGE_FAILURES:
            return failure.message
        if failure.kind == "memory" and self.kinds["memory"] >= MAX_MEMORY_FAILURES:
            limit = f"limit {resources.memory_bytes / 2**30:g} GiB per worker"
            return f"out of memory {MAX_MEMORY_FAILURES} times, alone too ({limit})"
        if failure.kind == "fault":
            reason = self._note_fault(outcome)
            if reason is not None:
                return reason
        if self.attempts >= MAX_ATTEMPTS:
            return f"failed {MAX_ATTEMPTS} times, last: {failure.message}"
        if failure.kind in ("deadline", "died") and isinstance(task, MapTask):
            if task.probe_row is not None:
                self._quarantine(task.probe_row, failure.kind, resources)
            elif len(outcome.suspects) > 1 and self.kinds[failure.kind] == 1:
                pass  # many rows were under way: most likely it was killed from outside, which a second try shows
            else:
                self.to_probe += [r for r in outcome.suspects if r not in self.to_probe]
        return None

    def _note_fault(self, outcome: Outcome) -> str | None:
        """A bug met while rows were in progress: theirs if they meet it alone too, else the shard's."""
        row, message = outcome.task.probe_row, outcome.failure.message
        if row is not None:
            self.to_probe.remove(row)
            self.quarantined[row] = ("UnexpectedError", f"{message[:_MOST_TEXT]} (a bug, met alone too)")
            self.faulty += 1
            more = self.faulty > MAX_FAULTY_ROWS
            return f"more than {MAX_FAULTY_ROWS} rows meet a bug, the last: {message}" if more else None
        self.to_probe += [r for r in outcome.suspects if r not in self.to_probe]
        # A row that met it alone accounts for one failure of the whole shard and one of its own.
        unexplained = self.kinds["fault"] - 2 * self.faulty
        return message if unexplained >= MAX_STAGE_FAILURES else None

    def _quarantine(self, row: int, kind: str, resources: Resources) -> None:
        self.to_probe.remove(row)
        self.quarantined[row] = {
            "deadline": (
                "RowTimeout",
                f"took longer than {resources.row_deadline_s:g} s, alone on a healthy worker too",
            ),
            "died": ("WorkerCrash", "crashed its worker, alone on a healthy one too"),
        }[kind]


def rows_text(suspects: Sequence[int]) -> str:
    """Where in the shard, for messages."""
    return f" at row(s) {suspects[0]}-{suspects[-1]}" if suspects else ""
