"""The runner: works out which shards are stale and feeds them to an engine until none is.

Its state is what the dataset says. Kill it at any moment and start it again: it goes on.
"""

from __future__ import annotations

import heapq
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from zcurate.curation.active.review.overlay import read_corrections
from zcurate.curation.store import Dataset, Limit, Selection, read_selection
from zcurate.curation.store.digest import json_digest
from zcurate.curation.store.index import GroupIndex
from zcurate.curation.store.lineage import SAMPLES
from zcurate.curation.store.selection import expected_inputs
from zcurate.curation.store.tables import table_is_current

from .execution.outcome import Outcome
from .execution.worker import GlobalTask, MapTask
from .planned import Plan, PlannedStage
from .results import RunResult, StageTally
from .troubles import Trouble, rows_text

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
        self._trouble: dict[tuple[int, str], Trouble] = defaultdict(Trouble)
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
        corrections = read_corrections(self.dataset).samples
        self.selection = read_selection(self.dataset, self._indexes[SAMPLES], self.limit, corrections)
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
                if not table_is_current(self.dataset, stage.bound.table_path(name), inputs):
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
            read = {s: json_digest(self._expected(i, s)) for s in bases}
            return GlobalTask(self._number, stage.ref, stage.bound, bases, inputs["all"], read)
        trouble = self._trouble.get((i, unit)) or Trouble()
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
            self._trouble[(i, unit)].to_probe.remove(task.probe_row)  # it passed alone
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
        failure, stage = outcome.failure, self.plan.stages[i]
        trouble = self._trouble[(i, unit)]
        name = f"{stage.name} {'(whole dataset)' if unit == ALL else unit}"
        self.result.events.append(f"{name}: {failure.kind}{rows_text(outcome.suspects)}: {failure.message}")
        reason = trouble.note(outcome, stage.bound.spec.resources)
        if failure.kind == "fault" and outcome.task.probe_row is not None:
            self.result.events.append(failure.trace)
        if failure.kind == "input" and failure.shard_id:
            self._remake(failure.shard_id, failure.message)
        elif failure.kind == "stop":
            self._stop_stage(i, f"{stage.name}: {failure.message}")
        elif reason is not None:
            self._give_up(i, unit, f"{name}{rows_text(outcome.suspects)}: {reason}", failure.trace)
        else:
            self._again(i, unit)

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

    def _stop_stage(self, i: int, message: str) -> None:
        """No shard of the stage is begun any more; what other stages have ready goes on."""
        stage = self.plan.stages[i]
        for unit in self._units(stage):
            if unit not in self._done[i] and (i, unit) not in self._running.values():
                self._failed[i].add(unit)
        self._ready = [e for e in self._ready if e[0] != -i]
        heapq.heapify(self._ready)
        self._queued = {k for k in self._queued if k[0] != i or k in self._running.values()}
        if message not in self.result.failed:
            self.result.failed.append(message)

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
