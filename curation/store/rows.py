"""Run a stage on one shard: select, reuse what is finished, compute the rest, put the shard."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DatasetError, ShardInvalidError
from ..stage import ERROR, NOT_SELECTED, OK, RowMonitor, StageSpec, with_redone_rows
from .corrections import with_corrections
from .dataset import Dataset
from .digest import row_keys
from .lineage import BOOKKEEPING, SAMPLES, BoundStage
from .selection import ShardBase, base_mask, keep_mask, media_mask
from .shard import ShardMeta
from .storage import ObjectInfo


@dataclass(frozen=True)
class ShardResult:
    """What a finished shard tells the runner.

    Attributes:
        commits: group path -> (object, footer) of every group written.
        computed: rows computed now; `reused`: rows copied.
        seconds: wall time in the worker, reading and writing included.
    """

    shard: str
    commits: Mapping[str, tuple[ObjectInfo, ShardMeta]]
    computed: int
    reused: int
    seconds: float
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardInput:
    """Input of one shard: `table` holds the selected rows, `positions` where they stand in the shard."""

    table: pa.Table
    positions: np.ndarray
    ids: pa.ChunkedArray


def read_input(
    dataset: Dataset, bound: BoundStage, shard: str, base: ShardBase, wanted: Sequence[str] | None = None
) -> ShardInput:
    """The selected rows, columns by qualified name, `sample_id` first; captions as people corrected them, where the stage
    reads them so.

    Args:
        wanted: qualified columns in their order, of those the stage reads; default: all of them.
    """
    chosen = {
        g: [c for c in bound.columns_of(g) if wanted is None or f"{g}.{c}" in wanted]
        for g in bound.input_groups
    }
    samples = dataset.read(SAMPLES, shard, ["sample_id", *chosen[SAMPLES]])
    ids = samples.column("sample_id")
    names, arrays = ["sample_id"], [ids]
    mask = base_mask(base, ids) & media_mask(dataset, bound, shard, len(ids))
    for group in bound.input_groups:
        columns = chosen[group]
        if group == SAMPLES:
            table = samples
        else:
            table = dataset.read(bound.paths[group], shard, [*columns, "_status"])
            mask &= pc.fill_null(pc.equal(table.column("_status"), OK), False).to_numpy()
        names += [f"{group}.{c}" for c in columns]
        arrays += [table.column(c) for c in columns]
    for group in bound.spec.where:
        mask &= keep_mask(base, dataset.read(bound.paths[group], shard, ["keep"]).column(0))
    positions = np.flatnonzero(mask)
    table = pa.table(arrays, names=names)
    for group in bound.spec.corrected:
        table = with_corrections(table, base.corrections, f"{group}.")
    if wanted is not None:
        table = table.select(["sample_id", *(c for c in wanted if c != "sample_id")])
    return ShardInput(table.take(positions), positions, ids)


def run_map_shard(
    dataset: Dataset,
    bound: BoundStage,
    stage: Callable[[pa.Table, RowMonitor], pa.Table],
    shard: str,
    base: ShardBase,
    inputs: Mapping[str, str],
    monitor: RowMonitor,
    quarantined: Mapping[int, tuple[str, str]] | None = None,
    redo_errors: bool = False,
    siblings: tuple[str, ...] = (),
) -> ShardResult:
    """Compute and commit one shard of a map stage.

    Args:
        inputs: digests of what is read, as `expected_inputs` gives them.
        quarantined: shard position -> (error class, message) of rows not to be run.
        redo_errors: do not reuse rows that ended in an error.
        siblings: lineage folders of the same fingerprint to reuse rows from.

    Raises:
        ShardInvalidError: an input shard is absent or damaged.
        DatasetError: the stage returned a table of the wrong length or columns.
    """
    started = time.perf_counter()
    quarantined = quarantined or {}
    given = read_input(dataset, bound, shard, base)
    columns = [n for n in given.table.column_names if n != "sample_id"]
    keys = row_keys(given.table, columns)
    finished, failed = (
        _reusable(dataset, bound, (shard, *base.previous), set(keys.to_pylist()), redo_errors, siblings)
        if len(keys)
        else ({}, set())
    )
    state = ["run"] * len(keys)
    for i, (position, key) in enumerate(zip(given.positions.tolist(), keys.to_pylist(), strict=True)):
        if position in quarantined:
            state[i] = "quarantined"
        elif key in finished:
            state[i] = "reuse"
    todo = [i for i, s in enumerate(state) if s == "run"]
    out_schema = _full_schema(bound.spec)
    fresh = empty = pa.table([pa.array([], f.type) for f in out_schema], schema=out_schema)
    if todo:
        shifted = ShardMonitor(monitor, given.positions[todo])
        again = [at for at, i in enumerate(todo) if keys[i].as_py() in failed]
        asked = with_redone_rows(given.table.take(todo), again)
        fresh = _checked(stage(asked, shifted), bound, len(todo), keys.take(todo))
        monitor.start(-1, -1)
    parts, source = [fresh], np.full(len(given.ids), -1, np.int64)
    source[given.positions[todo]] = np.arange(len(todo))
    offset = len(fresh)
    tables = {id(t): t for t, _ in finished.values()}
    starts = {}
    for tid, t in tables.items():
        starts[tid] = offset
        parts.append(t)
        offset += len(t)
    key_list = keys.to_pylist()
    for i, s in enumerate(state):
        if s == "reuse":
            t, row = finished[key_list[i]]
            source[given.positions[i]] = starts[id(t)] + row
    marks = [(NOT_SELECTED, None, None, None)]
    source[source < 0] = offset
    for i, s in enumerate(state):
        if s == "quarantined":
            p = int(given.positions[i])
            source[p] = offset + len(marks)
            marks.append((ERROR, *quarantined[p], key_list[i]))
    parts.append(_blank_rows(empty.schema, marks))
    full = pa.concat_tables(parts).combine_chunks().take(source)
    commits = commit_groups(dataset, bound, shard, given.ids, full, inputs)
    reused = sum(s == "reuse" for s in state)
    return ShardResult(shard, commits, len(todo), reused, time.perf_counter() - started)


def commit_groups(
    dataset: Dataset,
    bound: BoundStage,
    shard: str,
    ids: pa.ChunkedArray,
    full: pa.Table,
    inputs: Mapping[str, str],
    facts: Mapping[str, object] | None = None,
) -> dict[str, tuple[ObjectInfo, ShardMeta]]:
    """Put every output group of a stage for one shard; `full` has one row per sample of the shard."""
    commits = {}
    for group, schema in bound.spec.outputs.items():
        names = [*schema.names, *BOOKKEEPING.names]
        fields = [pa.field("sample_id", ids.type), *schema, *BOOKKEEPING]
        table = pa.table([ids, *(full.column(n) for n in names)], schema=pa.schema(fields))
        stage = (bound.stage_facts, bound.fingerprint, bound.lineage)
        meta = ShardMeta(group, shard, *stage, dict(inputs), facts=dict(facts or {}))
        commits[bound.paths[group]] = dataset.commit(bound.paths[group], table, meta)
    return commits


def spread(bound: BoundStage, table: pa.Table, positions: np.ndarray, keys: pa.Array, rows: int) -> pa.Table:
    """A stage's output for the selected rows, spread over all rows of the shard."""
    fresh = _checked(table, bound, len(positions), keys)
    source = np.full(rows, len(fresh), np.int64)
    source[positions] = np.arange(len(fresh))
    blank = _blank_rows(fresh.schema, [(NOT_SELECTED, None, None, None)])
    return pa.concat_tables([fresh, blank]).combine_chunks().take(source)


class ShardMonitor:
    """Translates positions in a stage's table to positions in the shard."""

    def __init__(self, monitor: RowMonitor, positions: np.ndarray):
        self._start, self.finished = monitor.start, monitor.finished
        self._positions = positions.tolist()

    def start(self, first: int, last: int) -> None:
        self._start(self._positions[first], self._positions[last])


def _full_schema(spec: StageSpec) -> pa.Schema:
    return pa.schema(
        [*(pa.field(f.name, f.type) for f in spec.schema), *(f.remove_metadata() for f in BOOKKEEPING)]
    )


def _checked(table: pa.Table, bound: BoundStage, rows: int, keys: pa.Array) -> pa.Table:
    """A stage's output in the declared columns and types, with bookkeeping added."""
    name = bound.spec.name
    if len(table) != rows:
        raise DatasetError(
            f"stage {name!r} returned {len(table)} rows for {rows}: an output row per input row is needed"
        )
    schema = _full_schema(bound.spec)
    missing = [n for n in bound.spec.schema.names if n not in table.column_names]
    if missing:
        raise DatasetError(f"stage {name!r} did not return its column(s) {', '.join(missing)}")
    if "_status" in table.column_names:
        wrong = set(table.column("_status").to_pylist()) - {OK, ERROR}
        if wrong:
            raise DatasetError(
                f"stage {name!r} returned the status {wrong.pop()!r}; a row is {OK!r} or {ERROR!r}"
            )
    defaults = {
        "_status": pa.array([OK] * rows, pa.string()),
        "_error_class": pa.nulls(rows, pa.string()),
        "_error_message": pa.nulls(rows, pa.string()),
    }
    arrays = []
    for f in schema:
        if f.name == "_key":
            arrays.append(keys)
        elif f.name in table.column_names:
            arrays.append(table.column(f.name).cast(f.type))
        else:
            arrays.append(defaults[f.name])
    return pa.table(arrays, schema=schema)


def _blank_rows(schema: pa.Schema, marks: list[tuple]) -> pa.Table:
    values = dict(zip(BOOKKEEPING.names, zip(*marks, strict=True), strict=True))
    arrays = [
        pa.array(list(values[f.name]), f.type) if f.name in values else pa.nulls(len(marks), f.type)
        for f in schema
    ]
    return pa.table(arrays, schema=schema)


def _reusable(
    dataset: Dataset,
    bound: BoundStage,
    shards: tuple[str, ...],
    wanted: set[bytes],
    redo_errors: bool,
    siblings: tuple[str, ...],
) -> tuple[dict[bytes, tuple[pa.Table, int]], set[bytes]]:
    """key -> (table, row) of finished rows in this folder and in folders of the same fingerprint, and the keys of
    errors that are not reused because of `redo_errors`.

    Rows never move between shards, so only shards of the same name are looked at, and those that
    hold the superseded rows of these samples.
    """
    schema = _full_schema(bound.spec)
    found: dict[bytes, tuple[pa.Table, int]] = {}
    failed: set[bytes] = set()
    for folder, shard in itertools.product(dict.fromkeys([bound.folder, *siblings]), shards):
        parts = []
        for group, group_schema in bound.spec.outputs.items():
            try:
                names = [*group_schema.names, *(BOOKKEEPING.names if not parts else ())]
                parts.append(dataset.read(f"{group}/{folder}", shard, names))
            except ShardInvalidError:
                break
        if len(parts) < len(bound.spec.outputs):
            continue
        arrays = {n: p.column(n) for p in parts for n in p.column_names}
        table = pa.table([arrays[f.name].cast(f.type) for f in schema], schema=schema)
        status = table.column("_status").to_pylist()
        for row, key in enumerate(table.column("_key").to_pylist()):
            if key is None or key not in wanted or key in found or status[row] == NOT_SELECTED:
                continue
            if status[row] == ERROR and redo_errors:
                failed.add(key)
                continue
            found[key] = (table, row)
        if len(found) == len(wanted):
            break
    return found, failed
