"""Many rows under way at once: order, errors, deadlines, stopping, and what a watcher is told."""

import asyncio

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.concurrent_rows import map_rows_concurrently
from zcurate.curation.errors import StageStopError
from zcurate.curation.stage import NullMonitor, map_rows

SCHEMA = pa.schema([("double", pa.int64())])


class Watcher:
    """A monitor that remembers."""

    def __init__(self):
        self.spans, self.done = [], []

    def start(self, first, last):
        self.spans.append((first, last))

    def finished(self, rows, of):
        self.done.append((rows, of))


def run(table, function, most=4, deadline_s=30.0, monitor=None):
    work = map_rows_concurrently(table, function, SCHEMA, monitor or NullMonitor(), most, deadline_s)
    return asyncio.run(work)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-5, 5), max_size=40), st.integers(1, 9), st.randoms())
def test_the_same_as_one_after_the_other(values, most, random):
    """Whatever the order in which rows finish."""
    table = pa.table({"x": pa.array(values, pa.int64())})
    waits = {}

    def one(row):
        if row["x"] < 0:
            raise ValueError(f"negative: {row['x']}")
        return {"double": 2 * row["x"]}

    async def waiting(row):
        for _ in range(waits.setdefault(id(row), random.randrange(5))):
            await asyncio.sleep(0)
        return one(row)

    assert run(table, waiting, most).equals(map_rows(table, one, SCHEMA, NullMonitor()))


def test_as_many_rows_under_way_as_allowed_and_no_more():
    now, seen = 0, []

    async def one(row):
        nonlocal now
        now += 1
        seen.append(now)
        for _ in range(20 + 10 * (row["x"] % 7)):
            await asyncio.sleep(0)
        now -= 1
        return {"double": 0}

    run(pa.table({"x": list(range(50))}), one, most=7)
    assert max(seen) == 7
    assert seen.count(7) >= 20  # a row that is done makes room at once


def test_a_late_row_is_tried_alone_before_it_is_an_error():
    """Row 1 is late because of the others, row 3 always."""
    under_way, tries = set(), []

    async def one(row):
        x = row["x"]
        tries.append(x)
        under_way.add(x)
        try:
            if x == 3 or (x == 1 and len(under_way) > 1):
                await asyncio.Event().wait()
            await asyncio.sleep(0)
        finally:
            under_way.discard(x)
        return {"double": 2 * x}

    rows = run(pa.table({"x": [0, 1, 2, 3, 4]}), one, deadline_s=0.05).to_pylist()
    assert [r["double"] for r in rows] == [0, 2, 4, None, 8]
    assert [r["_error_class"] for r in rows] == [None, None, None, "RowTimeout", None]
    assert tries == [0, 1, 2, 3, 4, 1, 3]


def test_stopping_lets_finish_what_is_under_way_and_begins_nothing_more():
    begun, ended = [], []

    async def one(row):
        begun.append(row["x"])
        if row["x"] == 2:
            raise StageStopError("the purse is empty")
        await asyncio.sleep(0.01)
        ended.append(row["x"])
        return {"double": 0}

    with pytest.raises(StageStopError, match="purse"):
        run(pa.table({"x": list(range(100))}), one, most=5)
    assert begun == [0, 1, 2, 3, 4]
    assert ended == [0, 1, 3, 4]


def test_a_bug_is_not_the_row_s_fault():
    async def one(row):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run(pa.table({"x": [1, 2, 3]}), one)


def test_a_timeout_of_the_row_s_own_is_an_error_of_the_row():
    async def one(row):
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()

    rows = run(pa.table({"x": [1]}), one).to_pylist()
    assert rows[0]["_error_class"] == "TimeoutError"


def test_the_watcher_sees_whose_code_runs_and_else_who_is_under_way():
    watcher, during, waiting = Watcher(), [], []

    async def one(row):
        during.append((row["x"], watcher.spans[-1]))
        await asyncio.sleep(0.002 * (5 - row["x"]))  # later rows are done first
        during.append((row["x"], watcher.spans[-1]))
        return {"double": 0}

    async def look():
        while len(waiting) < 3:
            await asyncio.sleep(0.001)
            waiting.append(watcher.spans[-1])

    async def both():
        table = pa.table({"x": list(range(5))})
        rows = map_rows_concurrently(table, one, SCHEMA, watcher, 3, 30.0)
        await asyncio.gather(look(), rows)

    asyncio.run(both())
    assert len(during) == 10
    assert all(span == (x, x) for x, span in during)
    assert waiting[0] == (0, 2)
    assert all(first <= last for first, last in watcher.spans)


def test_the_watcher_is_told_how_many_rows_are_done():
    """Errors are done too; a row that is tried again counts once."""
    watcher = Watcher()

    async def one(row):
        if row["x"] == 1:
            raise ValueError("no")
        if row["x"] == 3:
            await asyncio.Event().wait()
        return {"double": 0}

    run(pa.table({"x": [0, 1, 2, 3, 4]}), one, deadline_s=0.05, monitor=watcher)
    assert watcher.done == [(i, 5) for i in range(1, 6)]
