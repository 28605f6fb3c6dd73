"""What runs inside a worker: build a stage once, then shard after shard."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.curation.errors import ShardInvalidError, StageStopError, ZcurateError
from zcurate.curation.neighbors.workspace import in_threads
from zcurate.curation.stage import ExpandStage
from zcurate.curation.store import Dataset
from zcurate.curation.store.digest import row_keys
from zcurate.curation.store.expand import pieces, run_expand_shard
from zcurate.curation.store.index import GroupIndex
from zcurate.curation.store.lineage import BoundStage
from zcurate.curation.store.rows import (
    ShardInput,
    ShardResult,
    commit_groups,
    read_input,
    run_map_shard,
    spread,
)
from zcurate.curation.store.selection import ShardBase
from zcurate.curation.store.tables import commit_table, read_parts

from ..planned import StageRef
from ..threads import limit_threads
from .fan_out import fan_out
from .rowclock import GLOBAL, IDLE, READING, SETUP, RowClock

_MAX_LOADED = 4
#: A bug met while so many rows were in progress is looked for row by row; with more the shard is simply tried again.
_MOST_SUSPECTS = 16


@dataclass(frozen=True)
class MapTask:
    """One shard of a map stage, or (with `probe_row`) one suspect row of it, alone and uncommitted."""

    number: int
    ref: StageRef
    bound: BoundStage
    shard: str
    base: ShardBase
    inputs: Mapping[str, str]
    quarantined: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    redo_errors: bool = False
    siblings: tuple[str, ...] = ()
    probe_row: int | None = None


@dataclass(frozen=True)
class GlobalTask:
    """A whole-dataset stage. `shard_inputs`: shard -> digest of what is read of it; `inputs`: of all."""

    number: int
    ref: StageRef
    bound: BoundStage
    bases: Mapping[str, ShardBase]
    inputs: str
    shard_inputs: Mapping[str, str]


@dataclass(frozen=True)
class TaskFailure:
    """Why a task did not end well.

    `kind`: input (a damaged shard), memory, stage (a bug or its environment), fault (the same, while `rows` were in
    progress), or stop (no shard of the stage can do better).
    """

    kind: str
    message: str
    shard_id: tuple[str, str] | None = None
    trace: str = ""
    rows: tuple[int, ...] = ()


class ShardWorker:
    """Runs tasks one at a time. Stages stay loaded between tasks."""

    def __init__(self, dataset_url: str, options: dict[str, Any], cpus: float, clock: RowClock):
        limit_threads(cpus)
        self.cpus = cpus
        self.dataset = Dataset.open(dataset_url, options)
        self.clock = clock
        self._loaded: dict[str, Any] = {}

    def run(self, task: MapTask | GlobalTask) -> list[ShardResult] | TaskFailure:
        """Never raises for what a task may meet; a TaskFailure says what it was."""
        self.clock.begin(task.number)
        try:
            stage = self._stage(task)
            if isinstance(task, GlobalTask):
                return self._run_global(task, stage)
            self.clock.phase(READING)
            if task.probe_row is not None:
                return self._probe(task, stage)
            if isinstance(stage, ExpandStage):
                place = (task.shard, task.base, task.inputs)
                return [
                    run_expand_shard(self.dataset, task.bound, stage, *place, self.clock, task.quarantined)
                ]
            return [
                run_map_shard(
                    self.dataset,
                    task.bound,
                    stage,
                    task.shard,
                    task.base,
                    task.inputs,
                    self.clock,
                    task.quarantined,
                    task.redo_errors,
                    task.siblings,
                )
            ]
        except ShardInvalidError as e:
            return TaskFailure("input", str(e), getattr(e, "shard_id", None))
        except MemoryError as e:
            return TaskFailure("memory", str(e) or "out of memory")
        except StageStopError as e:
            return TaskFailure("stop", str(e))
        except ZcurateError as e:
            return TaskFailure("stage", str(e))
        except Exception as e:  # noqa: BLE001 - a stage's own bug must fail its row or shard, not the run
            rows = tuple(self.clock.rows) if len(self.clock.rows) <= _MOST_SUSPECTS else ()
            kind = "fault" if rows and isinstance(task, MapTask) else "stage"
            return TaskFailure(
                kind, f"{type(e).__name__}: {e}", trace=traceback.format_exc(limit=20), rows=rows
            )
        finally:
            self.clock.phase(IDLE)

    def _stage(self, task: MapTask | GlobalTask) -> Any:
        key = task.bound.lineage
        if key not in self._loaded:
            self.clock.phase(SETUP)
            while len(self._loaded) >= _MAX_LOADED:
                self._loaded.pop(next(iter(self._loaded)))
            stage = task.ref.build()
            stage.setup_node()
            stage.setup()
            limit_threads(self.cpus)  # setup may have loaded libraries that were not there before
            self._loaded[key] = stage
        return self._loaded[key]

    def _probe(self, task: MapTask, stage: Any) -> list[ShardResult]:
        given = read_input(self.dataset, task.bound, task.shard, task.base)
        at = np.flatnonzero(given.positions == task.probe_row)
        if len(at):
            self.clock.start(task.probe_row, task.probe_row)
            row, clock = given.table.take(at), _Fixed(self.clock, task.probe_row)
            if isinstance(stage, ExpandStage):
                for _ in pieces(stage, row, clock):
                    pass
            else:
                stage(row, clock)
        return []

    def _run_global(self, task: GlobalTask, stage: Any) -> list[ShardResult]:
        self.clock.phase(GLOBAL)
        data = DatasetInput(self.dataset, task.bound, task.bases)
        result = stage.run(data)
        bound = task.bound
        for name in bound.spec.side_tables:
            commit_table(self.dataset, bound, name, result.tables[name], task.inputs, result.facts)
        out = []
        todo = set(task.bases)
        before = self.dataset.index(bound.paths[next(iter(bound.spec.outputs))])
        for shard, table in [*result.aligned]:
            out.append(self._commit_global(task, before, shard, table))
            todo.discard(shard)
        empty = pa.table([pa.array([], f.type) for f in bound.spec.schema], schema=bound.spec.schema)
        out += [self._commit_global(task, before, shard, empty) for shard in sorted(todo)]
        if out:
            out[0] = ShardResult(**{**out[0].__dict__, "facts": dict(result.facts)})
        return out

    def _commit_global(
        self, task: GlobalTask, before: GroupIndex, shard: str, table: pa.Table
    ) -> ShardResult:
        given = self._selected(task, before, shard)
        full = spread(
            task.bound, table, given.positions, given.table["_key"].combine_chunks(), len(given.ids)
        )
        facts = {"read": task.shard_inputs[shard]}
        commits = commit_groups(self.dataset, task.bound, shard, given.ids, full, {"all": task.inputs}, facts)
        return ShardResult(shard, commits, len(table), 0, 0.0)

    def _selected(self, task: GlobalTask, before: GroupIndex, shard: str) -> ShardInput:
        """The selected rows of a shard with their `_key`: those of the last run where the shard's inputs are the same.

        The keys of a stage that reads vectors take all of them: of shards that nothing happened to, they are not read again.
        """
        bound, meta = task.bound, before.metas.get(shard)
        if (
            meta is None
            or meta.lineage != bound.lineage
            or meta.facts.get("read") != task.shard_inputs[shard]
        ):
            given = read_input(self.dataset, bound, shard, task.bases[shard])
            keys = row_keys(given.table, [n for n in given.table.column_names if n != "sample_id"])
            return ShardInput(pa.table({"_key": keys}), given.positions, given.ids)
        known = self.dataset.read(before.path, shard, ["sample_id", "_key"])
        positions = np.flatnonzero(known["_key"].is_valid().to_numpy())
        return ShardInput(known.select(["_key"]).take(positions), positions, known["sample_id"])


class _Fixed:
    """A probe's monitor: whatever the stage says, the row is the suspect."""

    def __init__(self, clock: RowClock, row: int):
        self.clock, self.row = clock, row

    def start(self, first: int, last: int) -> None:
        self.clock.start(self.row, self.row)

    def finished(self, rows: int, of: int) -> None:
        pass


class DatasetInput:
    """`GlobalInput` over a dataset: selected rows, shard by shard, read when asked for."""

    def __init__(self, dataset: Dataset, bound: BoundStage, bases: Mapping[str, ShardBase]):
        self.dataset, self.bound, self.bases = dataset, bound, bases

    def shards(self) -> list[str]:
        return sorted(self.bases)

    def read(self, shard: str, columns: tuple[str, ...] | None = None) -> pa.Table:
        return read_input(self.dataset, self.bound, shard, self.bases[shard], columns).table

    def earlier(self, name: str) -> pa.Table | None:
        parts = list(read_parts(self.dataset, self.bound.table_path(name)))
        return pa.concat_tables(parts) if parts else None

    def cache(self) -> Path | None:
        return self.dataset.stage_cache(self.bound.spec.name, self.bound.folder)

    def fan_out(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterable[Any]:
        # Without files that other processes can map, every array would have to be shipped.
        return (fan_out if self.cache() else in_threads)(function, arguments)

    def __iter__(self) -> Iterator[tuple[str, pa.Table]]:
        for shard in self.shards():
            yield shard, self.read(shard)
