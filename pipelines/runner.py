"""The runner: works out which shards are stale and feeds them to an engine until none is.

Its state is what the dataset says. Kill it at any moment and start it again: it goes on.
"""

from __future__ import annotations

import heapq
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from zcurate.curation.store import Dataset, Limit, Selection, read_selection
from zcurate.curation.store.digest import json_digest
from zcurate.curation.store.index import GroupIndex
from zcurate.curation.store.lineage import SAMPLES
from zcurate.curation.store.selection import expected_inputs

from .execution.outcome import Outcome
from .execution.worker import GlobalTask, MapTask
from .planned import Plan, PlannedStage

#: How often one shard may fail before it is given up (kills from outside included).
MAX_ATTEMPTS = 20
#: Failures with an exception that belongs to no row: a bug, or a machine's fault.
MAX_STAGE_FAILURES = 3
MAX_MEMORY_FAILURES = 4

ALL = "*"


class Engine(Protocol):
    """What runs tasks."""

    name: str
    peak_rss_bytes: int

    def can_start(self, task: MapTask | GlobalTask) -> bool: ...

    def start(self, task: MapTask | GlobalTask) -> None: ...

    def wait(self, seconds: float) -> Iterator[Outcome]: ...

    def running(self) -> list[str]: ...

    def close(self) -> None: ...


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


@dataclass
class _Trouble:
    """History of one (stage, shard) that did not go well."""

    attempts: int = 0
    kinds: Counter = field(default_factory=Counter)
    to_probe: list[int] = field(default_factory=list)
    cleared: Counter = field(default_factory=Counter)
    quarantined: dict[int, tuple[str, str]] = field(default_factory=dict)


class Runner:
    """One run of a plan over a dataset."""

    def __init__(
        self,
        dataset: Dataset,
        plan: Plan,
        engine: Engine,
        limit: Limit | None = None,
        redo_errors: bool = False,
        progress: Callable[[Runner], None] | None = None,
    ):
        self.dataset, self.plan, self.engine = dataset, plan, engine
        self.limit = limit or Limit()
        self.redo_errors = redo_errors
        self.progress = progress
        self.result = RunResult({s.name: StageTally() for s in plan.stages})
        self.selection: Selection | None = None
        self._indexes: dict[str, GroupIndex] = {}
        self._done: list[set[str]] = [set() for _ in plan.stages]
        self._failed: list[set[str]] = [set() for _ in plan.stages]
        self._ready: list[tuple[int, str]] = []
        self._queued: set[tuple[int, str]] = set()
        self._running: dict[int, tuple[int, str]] = {}
        self._trouble: dict[tuple[int, str], _Trouble] = defaultdict(_Trouble)
        self._counted: dict[tuple[int, str], Mapping[str, int]] = {}
        self._successors: dict[str, set[str]] = {}
        self._redone: set[tuple[int, str]] = set()
        self._probes: dict[int, int] = {}
        self._number = 0
        self._siblings: dict[int, tuple[str, ...]] = {}
        self._stop = threading.Event()

    def run(self) -> RunResult:
        """Do all that is stale. Returns when nothing is left, nothing can go on, or a signal asked to stop."""
        self._look()
        with self._draining():
            while True:
                if not self._stop.is_set():
                    self._feed()
                if not self._running and (self._stop.is_set() or not self._ready):
                    break
                for outcome in self.engine.wait(0.5):
                    self._settle(outcome)
                if self.progress:
                    self.progress(self)
        self.result.drained = self._stop.is_set() and not self._everything_done()
        self.result.pending = dict(self.pending())
        self.result.peak_rss_bytes = self.engine.peak_rss_bytes
        self._blame_the_blocked()
        for index in self._indexes.values():
            index.save()
        if self.progress:
            self.progress(self)
        return self.result

    # --- looking -----------------------------------------------------------------------

    def _look(self) -> None:
        paths = {SAMPLES, *(p for s in self.plan.stages for p in (*s.bound.paths.values(), *s.output_paths))}
        self._indexes = {p: self.dataset.index(p) for p in sorted(paths)}
        for reason in self._indexes[SAMPLES].invalid.values():
            self.result.failed.append(f"{reason}; build again with its source: its samples are listed anew")
        self.selection = read_selection(self.dataset, self._indexes[SAMPLES], self.limit)
        for shard, base in self.selection.bases.items():
            for old in base.previous:
                self._successors.setdefault(old, set()).add(shard)
        groups = self.dataset.groups()
        for i, stage in enumerate(self.plan.stages):
            self.result.tallies[stage.name].shards = len(self.selection.shards)
            folders = (p.rsplit("/", 1)[1] for p in groups.get(stage.bound.spec.name, ()))
            mine = stage.bound
            self._siblings[i] = tuple(
                f for f in folders if f[:8] == mine.fingerprint[:8] and f != mine.folder
            )
        for i, stage in enumerate(self.plan.stages):
            for unit in self._units(stage):
                self._consider(i, unit)

    def _units(self, stage: PlannedStage) -> list[str]:
        return [ALL] if stage.kind == "global" else self.selection.shards

    def _upstream(self, i: int) -> list[int]:
        """Stages whose groups stage `i` reads or selects by."""
        spec = self.plan.stages[i].bound.spec
        needed = {p for g, p in self.plan.stages[i].bound.paths.items() if g not in spec.outputs}
        return [j for j in range(i) if needed & set(self.plan.stages[j].output_paths)]

    def _downstream(self, i: int) -> list[int]:
        return [k for k in range(i + 1, len(self.plan.stages)) if i in self._upstream(k)]

    def _is_done(self, i: int, unit: str) -> bool:
        if self.plan.stages[i].kind == "global":
            return ALL in self._done[i]
        return unit in self._done[i] if unit != ALL else len(self._done[i]) == len(self.selection.shards)

    def _consider(self, i: int, unit: str) -> None:
        """Queue a unit whose inputs are all there, or note that it is done already."""
        key = (i, unit)
        if key in self._queued or unit in self._done[i] or unit in self._failed[i]:
            return
        if not all(self._is_done(j, unit) for j in self._upstream(i)):
            return
        # Running again empties superseded rows: first let their successors take what they can reuse.
        if any(x not in self._done[i] and x not in self._failed[i] for x in self._successors.get(unit, ())):
            return
        if self._is_current(i, unit):
            self._finish(i, unit, ran=False)
            return
        self._queued.add(key)
        heapq.heappush(self._ready, (-i, unit))  # most-downstream first

    def _expected(self, i: int, unit: str) -> dict[str, str] | None:
        bound = self.plan.stages[i].bound
        if unit != ALL:
            return expected_inputs(bound, unit, self._indexes, self.selection.bases[unit])
        per_shard = {s: self._expected(i, s) for s in self.selection.shards}
        return None if None in per_shard.values() else {"all": json_digest(per_shard)}

    def _is_current(self, i: int, unit: str) -> bool:
        """Present, valid, and made from exactly today's inputs."""
        stage = self.plan.stages[i]
        inputs = self._expected(i, unit)
        shards = self.selection.shards if unit == ALL else [unit]
        for path in stage.output_paths:
            for shard in shards:
                meta = self._indexes[path].metas.get(shard)
                if meta is None or meta.lineage != stage.bound.lineage or dict(meta.inputs) != inputs:
                    return False
                if self.redo_errors and meta.counts.get("error") and (i, unit) not in self._redone:
                    return False
        if unit == ALL:
            for name in stage.bound.spec.side_tables:
                meta = self.dataset.index(stage.bound.table_path(name)).metas.get("all")
                if meta is None or dict(meta.inputs) != inputs:
                    return False
        return True

    def _finish(self, i: int, unit: str, ran: bool) -> None:
        self._done[i].add(unit)
        self._count(i, unit, 1)
        if not ran:
            tally = self.result.tallies[self.plan.stages[i].name]
            tally.shards_done_before += len(self.selection.shards) if unit == ALL else 1
        self._release(i, unit)
        for k in self._downstream(i):
            # Behind a barrier every shard becomes ready at once; in front of one, only the whole can.
            after_global = self.plan.stages[i].kind == "global" and self.plan.stages[k].kind != "global"
            units = self.selection.shards if after_global else [unit]
            for u in [ALL] if self.plan.stages[k].kind == "global" else units:
                self._consider(k, u)

    def _release(self, i: int, unit: str) -> None:
        """Shards that waited for this one at the same stage."""
        for old in self.selection.bases[unit].previous if unit != ALL else ():
            self._consider(i, old)

    def _count(self, i: int, unit: str, sign: int) -> None:
        """Add the rows of a finished unit to its stage's counts, or take them off again."""
        tally = self.result.tallies[self.plan.stages[i].name]
        for shard in self.selection.shards if unit == ALL else [unit]:
            counts = self._counted.pop((i, shard), None) if sign < 0 else None
            if sign > 0:
                meta = self._indexes[self.plan.stages[i].primary].metas[shard]
                counts = self._counted[i, shard] = meta.counts or {"ok": meta.rows}  # children have no status
            for name in ("ok", "error", "not_selected"):
                value = getattr(tally, f"rows_{name}") + sign * (counts or {}).get(name, 0)
                setattr(tally, f"rows_{name}", value)

    # --- feeding -----------------------------------------------------------------------

    def _feed(self) -> None:
        put_back = []
        while self._ready:
            entry = heapq.heappop(self._ready)
            i, unit = -entry[0], entry[1]
            task = self._task(i, unit)
            if task is None:
                # An input turned out damaged and is being made again.
                self._queued.discard((i, unit))
                continue
            trouble = self._trouble.get((i, unit))
            alone = trouble is not None and trouble.kinds["memory"] >= 2
            if (alone and self._running) or not self.engine.can_start(task):
                put_back.append(entry)
                if alone or len(put_back) > len(self.plan.stages):
                    break
                continue
            tally = self.result.tallies[self.plan.stages[i].name]
            tally.started = tally.started or time.time()
            self._running[task.number] = (i, unit)
            self.engine.start(task)
            if alone:
                break
        for entry in put_back:
            heapq.heappush(self._ready, entry)

    def _task(self, i: int, unit: str) -> MapTask | GlobalTask | None:
        stage = self.plan.stages[i]
        inputs = self._expected(i, unit)
        if inputs is None:
            return None
        self._number += 1
        if unit == ALL:
            bases = {s: self.selection.bases[s] for s in self.selection.shards}
            return GlobalTask(self._number, stage.ref, stage.bound, bases, inputs["all"])
        trouble = self._trouble.get((i, unit)) or _Trouble()
        redo = self.redo_errors and (i, unit) not in self._redone
        probe = trouble.to_probe[0] if trouble.to_probe else None
        return MapTask(
            self._number,
            stage.ref,
            stage.bound,
            unit,
            self.selection.bases[unit],
            inputs,
            dict(trouble.quarantined),
            redo,
            self._siblings[i],
            probe,
        )

    # --- settling ----------------------------------------------------------------------

    def _settle(self, outcome: Outcome) -> None:
        i, unit = self._running.pop(outcome.task.number)
        self._queued.discard((i, unit))
        task = outcome.task
        if outcome.failure is not None:
            self._after_failure(i, unit, outcome)
        elif isinstance(task, MapTask) and task.probe_row is not None:
            trouble = self._trouble[(i, unit)]
            trouble.to_probe.remove(task.probe_row)
            trouble.cleared[task.probe_row] += 1
            self._again(i, unit)
        else:
            self._record(i, unit, outcome)

    def _record(self, i: int, unit: str, outcome: Outcome) -> None:
        stage = self.plan.stages[i]
        tally = self.result.tallies[stage.name]
        for r in outcome.results:
            for path, (info, meta) in r.commits.items():
                self._indexes[path].add(r.shard, info, meta)
            tally.shards_run += 1
            tally.rows_computed += r.computed
            tally.rows_reused += r.reused
            tally.seconds += r.seconds
            tally.facts.update(r.facts)
        tally.ended = time.time()
        if isinstance(outcome.task, MapTask):
            self._redone.add((i, unit))
            for row, (cls, message) in outcome.task.quarantined.items():
                self.result.quarantined.append((stage.name, unit, row, cls, message))
        self._finish(i, unit, ran=True)

    def _again(self, i: int, unit: str) -> None:
        self._queued.add((i, unit))
        heapq.heappush(self._ready, (-i, unit))

    def _after_failure(self, i: int, unit: str, outcome: Outcome) -> None:
        failure, task, stage = outcome.failure, outcome.task, self.plan.stages[i]
        trouble = self._trouble[(i, unit)]
        trouble.attempts += 1
        trouble.kinds[failure.kind] += 1
        name = f"{stage.name} {'(whole dataset)' if unit == ALL else unit}"
        rows = f" at row(s) {outcome.suspects[0]}-{outcome.suspects[-1]}" if outcome.suspects else ""
        self.result.events.append(f"{name}: {failure.kind}{rows}: {failure.message}")
        if failure.kind == "input" and failure.shard_id:
            self._remake(failure.shard_id, failure.message)
            return
        if failure.kind == "stage" and trouble.kinds["stage"] >= MAX_STAGE_FAILURES:
            self._give_up(i, unit, f"{name}: {failure.message}", failure.trace)
            return
        if failure.kind == "memory" and trouble.kinds["memory"] >= MAX_MEMORY_FAILURES:
            limit = stage.bound.spec.resources.memory_bytes / 2**30
            message = f"{name}{rows}: out of memory {MAX_MEMORY_FAILURES} times, alone too (limit {limit:g} GiB per worker)"
            self._give_up(i, unit, message, "")
            return
        if trouble.attempts >= MAX_ATTEMPTS:
            self._give_up(
                i, unit, f"{name}: failed {MAX_ATTEMPTS} times, last: {failure.message}", failure.trace
            )
            return
        if failure.kind in ("deadline", "died") and isinstance(task, MapTask):
            if task.probe_row is not None:
                self._quarantine(i, unit, task.probe_row, failure.kind)
            else:
                # Each suspect is tried alone before anything is held against it.
                trouble.to_probe += [r for r in outcome.suspects if r not in trouble.to_probe]
        self._again(i, unit)

    def _quarantine(self, i: int, unit: str, row: int, kind: str) -> None:
        deadline = self.plan.stages[i].bound.spec.resources.row_deadline_s
        trouble = self._trouble[(i, unit)]
        trouble.to_probe.remove(row)
        trouble.quarantined[row] = {
            "deadline": ("RowTimeout", f"took longer than {deadline:g} s, alone on a healthy worker too"),
            "died": ("WorkerCrash", "crashed its worker, alone on a healthy one too"),
        }[kind]

    def _remake(self, shard_id: tuple[str, str], reason: str) -> None:
        """A damaged input counts as absent: whoever makes it runs again, and then those who wait for it."""
        path, shard = shard_id
        self._indexes[path].drop(shard, reason)
        if path == SAMPLES:
            for k in range(len(self.plan.stages)):
                self._failed[k].add(shard)
            self.result.failed.append(f"{reason}; ingest again: its samples are listed anew at the end")
            return
        for j, stage in enumerate(self.plan.stages):
            if path in stage.output_paths:
                unit = ALL if stage.kind == "global" else shard
                if unit in self._done[j]:
                    self._count(j, unit, -1)
                self._done[j].discard(unit)
                self._consider(j, unit)

    def _give_up(self, i: int, unit: str, message: str, trace: str) -> None:
        self._failed[i].add(unit)
        self.result.failed.append(message)
        self._release(i, unit)
        if trace:
            self.result.events.append(trace)

    def _everything_done(self) -> bool:
        return all(self._is_done(i, ALL) for i in range(len(self.plan.stages)))

    def _blame_the_blocked(self) -> None:
        if self.result.failed or self.result.drained:
            return
        for i, stage in enumerate(self.plan.stages):
            if not self._is_done(i, ALL):
                left = [u for u in self._units(stage) if u not in self._done[i]]
                self.result.failed.append(f"{stage.name}: not done: {', '.join(left[:5])}")

    @contextmanager
    def _draining(self) -> Iterator[None]:
        """SIGTERM and Ctrl-C finish the shards in flight; a second signal stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: Any) -> None:
            if self._stop.is_set():
                raise KeyboardInterrupt
            self._stop.set()
            self.result.events.append(f"{signal.Signals(number).name}: finishing the shards in flight")

        old = {s: signal.signal(s, handle) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for s, h in old.items():
                signal.signal(s, h)

    def stop(self) -> None:
        """Finish the shards in flight, start no more."""
        self._stop.set()

    def pending(self) -> Mapping[str, int]:
        """Stage name -> shards not done yet."""
        left = {}
        for i, stage in enumerate(self.plan.stages):
            total = len(self.selection.shards)
            done = total if ALL in self._done[i] else len(self._done[i])
            left[stage.name] = total - done
        return left
