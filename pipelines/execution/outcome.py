"""How a task ended, in terms the runner acts on."""

from __future__ import annotations

from dataclasses import dataclass

from zcurate.curation.store.rows import ShardResult

from .worker import GlobalTask, MapTask, TaskFailure


@dataclass(frozen=True)
class Outcome:
    """Attributes:
    task: what ran.
    results: one per shard committed; empty for a probe.
    failure: kind is input, memory, stage, fault, stop, deadline, died or lost; None when it went well.
    suspects: rows that were in progress when a worker was killed, died or met a bug; empty when unknown.
    """

    task: MapTask | GlobalTask
    results: tuple[ShardResult, ...] = ()
    failure: TaskFailure | None = None
    suspects: tuple[int, ...] = ()

    @classmethod
    def of(cls, task: MapTask | GlobalTask, result: list[ShardResult] | TaskFailure) -> Outcome:
        if isinstance(result, TaskFailure):
            return cls(task, failure=result, suspects=result.rows)
        return cls(task, tuple(result))
