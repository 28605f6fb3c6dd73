"""Progress of a run: a live table on a terminal, plain lines in a log, JSON lines for scripts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from .results import RunResult
from .runner import Runner

_PLAIN_EVERY_S = 10.0


def stage_rows(result: RunResult, pending: Mapping[str, int]) -> list[dict[str, Any]]:
    """One record per stage: shards done of all, rows, errors, rate, seconds left (None when unknown)."""
    rows = []
    for name, t in result.tallies.items():
        left = pending.get(name, 0)
        done = t.shards - left
        wall = t.wall_seconds
        rate = t.rows_computed / wall if wall > 0 else 0.0
        eta = left * wall / t.shards_run if t.shards_run and left else (0.0 if not left else None)
        rows.append(
            {
                "stage": name,
                "shards_done": done,
                "shards": t.shards,
                "rows_ok": t.rows_ok,
                "rows_error": t.rows_error,
                "rows_not_selected": t.rows_not_selected,
                "rows_reused": t.rows_reused,
                "rows_per_s": round(rate, 1),
                "eta_s": None if eta is None else round(eta, 1),
            }
        )
    return rows


class PlainProgress:
    """A line per stage that moved, at most every ten seconds, and at the end."""

    def __init__(self, out: TextIO | None = None):
        self.out = out or sys.stderr
        self._at = time.monotonic()
        self._last: dict[str, int] = {}
        self._events = 0

    def __call__(self, runner: Runner) -> None:
        for event in runner.result.events[self._events :]:
            print(f"  ! {event.splitlines()[0][:300]}", file=self.out, flush=True)
        self._events = len(runner.result.events)
        finished = not any(runner.pending().values())
        if not finished and time.monotonic() - self._at < _PLAIN_EVERY_S:
            return
        self._at = time.monotonic()
        for row in stage_rows(runner.result, runner.pending()):
            if self._last.get(row["stage"]) != row["shards_done"]:
                self._last[row["stage"]] = row["shards_done"]
                eta = "" if not row["eta_s"] else f", {row['eta_s']:.0f} s left"
                errors = f", {row['rows_error']} errors" if row["rows_error"] else ""
                print(
                    f"  {row['stage']:<13} {row['shards_done']}/{row['shards']} shards, {row['rows_ok']} rows"
                    f"{errors}, {row['rows_per_s']:g} rows/s{eta}",
                    file=self.out,
                    flush=True,
                )

        for line in runner.engine.running():
            if (
                ", " in line
            ):  # rows that take long: how many are done, or one that a worker has been on for a while
                print(f"    on {line}", file=self.out, flush=True)

    def close(self) -> None:
        pass


class JsonProgress:
    """One JSON object per line on stderr, at most once a second."""

    def __init__(self, out: TextIO | None = None):
        self.out = out or sys.stderr
        self._at = 0.0

    def __call__(self, runner: Runner) -> None:
        if any(runner.pending().values()) and time.monotonic() - self._at < 1.0:
            return
        self._at = time.monotonic()
        print(
            json.dumps(
                {"stages": stage_rows(runner.result, runner.pending()), "running": runner.engine.running()}
            ),
            file=self.out,
            flush=True,
        )

    def close(self) -> None:
        pass


class LiveProgress:
    """A table that is drawn again in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True, file=sys.stderr)
        self._live = Live(console=self._console, refresh_per_second=4, transient=False)
        self._live.start()
        self._events = 0

    def __call__(self, runner: Runner) -> None:
        from rich.markup import escape

        for event in runner.result.events[self._events :]:
            self._console.print(f"[yellow]![/] {escape(event.splitlines()[0][:300])}")
        self._events = len(runner.result.events)
        table = self._table(runner)
        table.caption = escape("\n".join(line for line in runner.engine.running() if ", " in line)) or None
        table.caption_justify = "left"
        self._live.update(table)

    def _table(self, runner: Runner) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name, justify in (
            ("stage", "left"),
            ("", "left"),
            ("shards", "right"),
            ("ok", "right"),
            ("errors", "right"),
            ("rows/s", "right"),
            ("left", "right"),
        ):
            table.add_column(name, justify=justify, header_style="dim")
        for r in stage_rows(runner.result, runner.pending()):
            bar = ProgressBar(total=max(1, r["shards"]), completed=r["shards_done"], width=24)
            errors = f"[red]{r['rows_error']}[/]" if r["rows_error"] else ""
            eta = f"{r['eta_s']:.0f} s" if r["eta_s"] else ""
            rate = f"{r['rows_per_s']:,.0f}" if r["rows_per_s"] else ""
            table.add_row(
                r["stage"], bar, f"{r['shards_done']}/{r['shards']}", f"{r['rows_ok']:,}", errors, rate, eta
            )
        return table

    def close(self) -> None:
        self._live.stop()


def progress_for(as_json: bool) -> PlainProgress | JsonProgress | LiveProgress:
    if as_json:
        return JsonProgress()
    return LiveProgress() if sys.stderr.isatty() else PlainProgress()
