"""The inline engine: the same stages, in this process, one shard at a time. No deadlines."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from .outcome import Outcome
from .rowclock import RowClock, clock_dir, read_clocks
from .worker import GlobalTask, MapTask, ShardWorker


class InlineEngine:
    """Runs each task when it is submitted."""

    name = "inline"

    def __init__(self, dataset_url: str, options: dict[str, Any], cpus: int = 1):
        self._path = clock_dir("inline") / uuid.uuid4().hex
        self._worker = ShardWorker(dataset_url, options, cpus, RowClock(self._path))
        self._ended: list[Outcome] = []
        self.peak_rss_bytes = 0

    def can_start(self, task: MapTask | GlobalTask) -> bool:
        return not self._ended

    def start(self, task: MapTask | GlobalTask) -> None:
        result = self._worker.run(task)
        reading = read_clocks("inline", [self._path.name]).get(self._path.name)
        self.peak_rss_bytes = max(self.peak_rss_bytes, reading.rss_bytes if reading else 0)
        self._ended.append(Outcome.of(task, result))

    def wait(self, seconds: float) -> Iterator[Outcome]:
        ended, self._ended = self._ended, []
        yield from ended

    def running(self) -> list[str]:
        return []

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
