"""What a stage is: a declaration of what it reads, writes and needs, and a function over Arrow tables.

The libraries know stages only through these few types; what runs them, and where, is
the business of `zcurate.pipelines`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from .errors import SampleError, ZcurateError

OK, ERROR, NOT_SELECTED = "ok", "error", "not_selected"

#: Longest `_error_message` stored, in characters. Messages may quote hostile input.
MAX_MESSAGE_CHARS = 500

_REDONE = b"zcurate.redone_rows"


@dataclass(frozen=True)
class Resources:
    """What one worker of a stage needs. `row_deadline_s` bounds one row; a batch gets its sum."""

    cpus: float = 1
    gpus: float = 0
    memory_bytes: int = 2 << 30
    row_deadline_s: float = 60.0


@dataclass(frozen=True)
class StageSpec:
    """The declaration of a stage.

    Attributes:
        name: also names the first output group, e.g. `profile` or `decisions/filter`.
        version: raised whenever the output of an unchanged input changes.
        reads: qualified input columns, `GROUP.COLUMN`, e.g. `samples.uri`, `profile.width_px`.
            A row whose status in any of these groups is not ok is not selected.
        outputs: group name -> Arrow schema of its columns (without the bookkeeping columns the
            store adds). Column names are unique over all outputs of one stage. Field metadata
            holds `unit` and `meaning`.
        config: JSON-able settings that change the output. Part of the fingerprint.
        models: role -> model identity (see `zcurate.pipelines.registry`). Part of the fingerprint.
        where: groups whose `keep` column must be true for a row to be processed.
        stills: rows of sources of clips are not selected. Not part of the fingerprint.
        corrected: groups of `reads` whose captions are read as people corrected them in a review. Not part of the
            fingerprint: a correction is another input.
        side_tables: name -> schema of whole-dataset tables written by a global stage.
        deterministic: same input, same bytes, in one locked environment.
        answers: folder in the dataset that holds what a model answered, for reuse across fingerprints
            (`store.answers.answers_folder`). Not part of the fingerprint; `gc` keeps what recipes name.
    """

    name: str
    version: int
    reads: tuple[str, ...]
    outputs: Mapping[str, pa.Schema]
    config: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    where: tuple[str, ...] = ()
    stills: bool = False
    corrected: tuple[str, ...] = ()
    side_tables: Mapping[str, pa.Schema] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    deterministic: bool = True
    answers: str | None = None

    @property
    def schema(self) -> pa.Schema:
        """All output columns in one schema, in the order of `outputs`."""
        return pa.schema([f for schema in self.outputs.values() for f in schema])


class RowMonitor(Protocol):
    """Told which rows are being worked on, so that a hang or a crash suspects only those."""

    def start(self, first: int, last: int) -> None:
        """Rows `first..last` (inclusive, positions in the table given to the stage) begin now.

        (-1, -1) says that no row is in progress.
        """

    def finished(self, rows: int, of: int) -> None:
        """So many rows of the table are done; told by stages whose rows take long."""


class NullMonitor:
    """A monitor that nobody reads."""

    def start(self, first: int, last: int) -> None:
        pass

    def finished(self, rows: int, of: int) -> None:
        pass


@runtime_checkable
class MapStage(Protocol):
    """Row-aligned stage: a table of selected rows in, a table of the same length out.

    Which rows ended in an error before and are to be tried anew, `redone_rows` says: for stages that keep answers.

    The output has the columns of `spec.schema`, and may add `_status`, `_error_class` and
    `_error_message` (see `map_rows`); without them every row is ok.
    """

    spec: StageSpec

    def setup_node(self) -> None:
        """Once per machine, before any worker of it runs (e.g. put model files in place)."""

    def setup(self) -> None:
        """Once per worker: load models."""

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table: ...


@dataclass(frozen=True)
class GlobalResult:
    """Output of a global stage.

    Attributes:
        aligned: (shard name, table) in any order, one per shard; table rows are the *selected*
            rows of that shard in order, as they were given by `GlobalInput.read`.
        tables: side table name -> table, or (name of a part, table) one at a time where it is large.
        facts: JSON-able figures for the run record (e.g. measured recall).
    """

    aligned: Iterable[tuple[str, pa.Table]]
    tables: Mapping[str, pa.Table | Iterable[tuple[str, pa.Table]]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class GlobalInput(Protocol):
    """A whole dataset as a global stage sees it: selected rows only, shard by shard."""

    def shards(self) -> list[str]: ...

    def read(self, shard: str, columns: tuple[str, ...] | None = None) -> pa.Table:
        """The selected rows of a shard; columns are qualified names, plus `sample_id`."""

    def earlier(self, name: str) -> pa.Table | None:
        """One of the stage's own side tables as its last run left it, if there was one."""

    def cache(self) -> Path | None:
        """A folder on local disk for what may be deleted at any time; None where the dataset is not local."""

    def fan_out(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterable[Any]:
        """`function` of every argument, results in order; wherever there are idle CPUs.

        Memory maps in `function` are opened again by path where it runs; other arrays are shipped once.
        """


@runtime_checkable
class GlobalStage(Protocol):
    """Whole-dataset stage: a barrier. Reads every shard, writes aligned groups and side tables."""

    spec: StageSpec

    def setup_node(self) -> None: ...

    def setup(self) -> None: ...

    def run(self, data: GlobalInput) -> GlobalResult: ...


@dataclass(frozen=True)
class Expansion:
    """Children of one shard: rows of a child dataset, and the files they point into.

    Attributes:
        samples: columns `parent_ids` (list of 16-byte ids, never empty), `key` (unique in the
            shard), `bytes` (the child's original bytes), `text`, `metadata` (JSON), `origin`, `license`.
        tables: name -> what is known about them together (e.g. pairs); put beside the children, shard by shard.
    """

    samples: pa.Table
    tables: Mapping[str, pa.Table] = field(default_factory=dict)


@runtime_checkable
class ExpandStage(Protocol):
    """A shard in, rows of a child dataset out (video frames, edit pairs)."""

    spec: StageSpec

    def setup_node(self) -> None: ...

    def setup(self) -> None: ...

    def expand(self, table: pa.Table, monitor: RowMonitor) -> Expansion | Iterator[Expansion]:
        """All at once, or in pieces one after the other, of which only one at a time is held in memory."""


def with_redone_rows(table: pa.Table, rows: Sequence[int]) -> pa.Table:
    """The table with a note, beside its columns, of rows that are to be tried anew."""
    return table.replace_schema_metadata({_REDONE: json.dumps(list(rows))}) if rows else table


def redone_rows(table: pa.Table) -> list[int]:
    """Positions of the rows that are to be tried anew, as `with_redone_rows` noted them."""
    return json.loads((table.schema.metadata or {}).get(_REDONE, b"[]"))


def error_row(error: BaseException) -> dict[str, Any]:
    """The bookkeeping values of a row that failed."""
    message = str(error) or repr(error)
    message = message.encode("utf-8", "replace").decode("utf-8")  # lone surrogates from hostile names
    return {
        "_status": ERROR,
        "_error_class": type(error).__name__,
        "_error_message": message[:MAX_MESSAGE_CHARS],
    }


#: Rows that are Python objects at a time: a wide table never is altogether.
_ROWS_AT_ONCE = 256


def map_rows(
    table: pa.Table,
    function: Callable[[dict[str, Any]], Mapping[str, Any]],
    schema: pa.Schema,
    monitor: RowMonitor,
    catch: tuple[type[BaseException], ...] = (ZcurateError, ValueError, OSError),
    finish: Callable[[], None] = lambda: None,
) -> pa.Table:
    """Apply `function` (row dict -> values) to each row; a row that raises becomes an error row.

    Args:
        finish: called before values are read, after some hundred rows and at the end. Until then `function` may
            still add to what it has returned, to do some work for several rows at once.
        catch: exceptions that belong to the row. `MemoryError` never does: the shard is retried.
    """
    names = schema.names
    columns: dict[str, list[Any]] = {n: [] for n in names}
    marks: dict[str, list[Any]] = {"_status": [], "_error_class": [], "_error_message": []}
    done = 0
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        rows: list[Mapping[str, Any]] = []
        for row in batch.to_pylist():
            monitor.start(done, done)
            done += 1
            try:
                values, mark = function(row), {"_status": OK, "_error_class": None, "_error_message": None}
            except catch as e:
                values, mark = {}, error_row(e)
            rows.append(values)
            for n, v in mark.items():
                marks[n].append(v)
        finish()
        for n in names:
            columns[n] += [values.get(n) for values in rows]
    arrays = [pa.array(columns[f.name], type=f.type) for f in schema]
    arrays += [pa.array(v, type=pa.string()) for v in marks.values()]
    return pa.table(arrays, names=[*names, *marks])


def iter_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows as dicts, a batch at a time, so that a wide table is never all Python objects at once."""
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield from batch.to_pylist()


def field_of(name: str, type_: pa.DataType, meaning: str, unit: str = "") -> pa.Field:
    """A schema field that carries its meaning and unit."""
    metadata = {"meaning": meaning}
    if unit:
        metadata["unit"] = unit
    return pa.field(name, type_, metadata=metadata)


__all__ = [
    "ERROR",
    "NOT_SELECTED",
    "OK",
    "ExpandStage",
    "Expansion",
    "GlobalInput",
    "GlobalResult",
    "GlobalStage",
    "MapStage",
    "NullMonitor",
    "Resources",
    "RowMonitor",
    "SampleError",
    "StageSpec",
    "error_row",
    "field_of",
    "iter_rows",
    "map_rows",
    "redone_rows",
    "with_redone_rows",
]
