"""`map_rows` for work that waits: many rows of a table under way at once in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from typing import Any

import pyarrow as pa

from .errors import StageStopError, ZcurateError
from .stage import OK, RowMonitor, error_row, iter_rows

#: How long rows under way may still finish once the stage is to stop, in seconds.
GRACE_S = 60.0


class RowTimeout(ZcurateError):  # noqa: N818 - as error rows name it, like the deadline of the runner
    """A row took longer than its deadline, alone too."""


async def map_rows_concurrently(
    table: pa.Table,
    function: Callable[[dict[str, Any]], Coroutine[Any, Any, Mapping[str, Any]]],
    schema: pa.Schema,
    monitor: RowMonitor,
    most: int,
    deadline_s: float,
    catch: tuple[type[BaseException], ...] = (ZcurateError, ValueError, OSError),
) -> pa.Table:
    """Apply `function` (row dict -> values) to each row; a row that raises becomes an error row.

    Rows are begun in order and may finish in any; the result has them in the order of the table. The monitor is told
    whose code runs, and the span of rows under way while all of them wait: a crash or a hang suspects the former,
    and at worst the latter.

    Args:
        most: rows under way at once.
        deadline_s: of one row. Waiting for other rows counts too, so a row that is late is run once more after all
            others, by itself, before it is held against it.
        catch: exceptions that belong to the row.

    Raises:
        StageStopError: as `function` raised it. No further rows are begun; those under way have had `GRACE_S` to finish.
    """
    if most < 1:
        raise ValueError(f"most is {most}; at least one row must be under way")
    columns: list[Mapping[str, Any]] = [{}] * len(table)
    marks: list[Mapping[str, Any]] = [{"_status": OK}] * len(table)
    flight = _Flight(monitor, len(table))
    late: list[int] = []
    stop: list[StageStopError] = []

    async def one(i: int, row: dict[str, Any], alone: bool) -> None:
        flight.begin(i)
        try:
            async with asyncio.timeout(deadline_s) as clock:
                columns[i] = await _Stepwise(function(row), i, flight)
        except StageStopError as e:
            stop.append(e)
        except TimeoutError as e:
            if not clock.expired():
                marks[i] = error_row(e)
            elif alone:
                marks[i] = error_row(RowTimeout(f"timeout: took longer than {deadline_s:g} s, by itself too"))
            else:
                late.append(i)
                return
        except catch as e:
            marks[i] = error_row(e)
        finally:
            flight.end(i)
        flight.count()

    tasks: set[asyncio.Task[None]] = set()
    try:
        for i, row in enumerate(iter_rows(table)):
            if len(tasks) >= most:
                tasks = await _some(tasks)
            if stop:
                break
            tasks.add(asyncio.create_task(one(i, row, False)))
        while tasks and not stop:
            tasks = await _some(tasks)
        for i in sorted(late):
            if not stop:
                await one(i, table.slice(i, 1).to_pylist()[0], True)
        if stop:
            if tasks:
                await asyncio.wait(tasks, timeout=GRACE_S)
            raise stop[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    arrays = [pa.array([c.get(f.name) for c in columns], type=f.type) for f in schema]
    names = ("_status", "_error_class", "_error_message")
    arrays += [pa.array([m.get(n) for m in marks], type=pa.string()) for n in names]
    return pa.table(arrays, names=[*schema.names, *names])


async def _some(tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Wait until at least one is done; returns the others. Raises what one of them did not expect."""
    done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    return left


class _Flight:
    """The rows under way, as the monitor is told of them."""

    def __init__(self, monitor: RowMonitor, of: int):
        self._monitor, self._of, self._done = monitor, of, 0
        self._rows: dict[int, None] = {}  # in the order begun, so the ends are the lowest and the highest

    def begin(self, i: int) -> None:
        self._rows[i] = None
        self.waiting()

    def end(self, i: int) -> None:
        del self._rows[i]
        self.waiting()

    def count(self) -> None:
        self._done += 1
        self._monitor.finished(self._done, self._of)

    def working(self, i: int) -> None:
        self._monitor.start(i, i)

    def waiting(self) -> None:
        if self._rows:
            self._monitor.start(next(iter(self._rows)), next(reversed(self._rows)))


class _Stepwise(Awaitable[Mapping[str, Any]]):
    """A coroutine whose every step is announced: between two waits only one row's code runs in an event loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, Mapping[str, Any]], row: int, flight: _Flight):
        self._coroutine, self._row, self._flight = coroutine, row, flight

    def __await__(self) -> Generator[Any, Any, Mapping[str, Any]]:
        step: Callable[[Any], Any] = self._coroutine.send
        value: Any = None
        while True:
            self._flight.working(self._row)
            try:
                waited_for = step(value)
            except StopIteration as e:
                return e.value
            finally:
                self._flight.waiting()
            try:
                value, step = (yield waited_for), self._coroutine.send
            except BaseException as e:  # noqa: BLE001 - whatever is thrown in (a cancellation) is the coroutine's
                value, step = e, self._coroutine.throw
