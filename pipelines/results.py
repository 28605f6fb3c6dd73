"""What a run reports: counts per stage, rows given up, shards that failed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class StageTally:
    """Counts of one stage in one run. Seconds are summed over workers."""

    shards: int = 0
    shards_done_before: int = 0
    shards_run: int = 0
    rows_computed: int = 0
    rows_reused: int = 0
    rows_ok: int = 0
    rows_error: int = 0
    rows_not_selected: int = 0
    seconds: float = 0.0
    started: float | None = None
    ended: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def wall_seconds(self) -> float:
        return (self.ended or time.time()) - self.started if self.started else 0.0


@dataclass
class RunResult:
    """How a run ended.

    Attributes:
        tallies: stage name -> counts.
        quarantined: (stage, shard, row, class, message) of rows given up.
        failed: sentences naming every shard that could not be done.
        drained: a signal asked to stop before all was done.
        pending: stage name -> shards not done when the run ended.
    """

    tallies: dict[str, StageTally]
    quarantined: list[tuple[str, str, int, str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    drained: bool = False
    events: list[str] = field(default_factory=list)
    pending: dict[str, int] = field(default_factory=dict)
    peak_rss_bytes: int = 0

    @property
    def complete(self) -> bool:
        return not self.failed and not self.drained
