"""Which row a worker is on, readable from another process even after the worker is gone.

A worker writes two records of 64 bytes in all into a small memory-mapped file of its node; whoever watches
reads it there. A hang, a crash or a kill therefore suspects exactly the rows in progress.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import struct
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from zcurate.curation.errors import ConfigError

_RECORD = struct.Struct("<QqqqdQ")  # task number, phase, first, last, monotonic seconds, pid
_DONE = struct.Struct("<qq")  # rows finished, of how many
IDLE, SETUP, READING, ROWS, GLOBAL = range(5)


@dataclass(frozen=True)
class ClockReading:
    """One look at a worker: what it does, since when (seconds), and its memory.

    `done` of `of` rows of its table are finished; 0 of 0 where the stage does not say.
    """

    task: int
    phase: int
    first: int
    last: int
    seconds: float
    pid: int
    rss_bytes: int
    done: int = 0
    of: int = 0


def clock_dir(run_id: str) -> Path:
    """Folder of this run's records on this machine; private to the user."""
    top = Path(tempfile.gettempdir()) / f"zcurate-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        top.mkdir(mode=0o700)
    # The name can be guessed: a folder or link that somebody else put there is not ours to write in.
    st = os.lstat(top)
    if not stat.S_ISDIR(st.st_mode) or st.st_uid != os.getuid() or st.st_mode & 0o022:
        raise ConfigError(f"{top} belongs to somebody else or is open to all; remove it or set TMPDIR")
    path = top / run_id
    path.mkdir(exist_ok=True, mode=0o700)
    return path


class RowClock:
    """The writer's side; also the `RowMonitor` given to stages."""

    def __init__(self, path: Path):
        with open(path, "wb") as f:
            f.write(bytes(mmap.PAGESIZE))
        with open(path, "r+b") as f:
            self._map = mmap.mmap(f.fileno(), mmap.PAGESIZE)
        self._task = 0
        self._pid = os.getpid()
        self.phase(IDLE)

    def begin(self, task: int) -> None:
        self._task = task
        self.finished(0, 0)

    def phase(self, phase: int) -> None:
        _RECORD.pack_into(self._map, 0, self._task, phase, -1, -1, time.monotonic(), self._pid)

    def start(self, first: int, last: int) -> None:
        _RECORD.pack_into(self._map, 0, self._task, ROWS, first, last, time.monotonic(), self._pid)

    @property
    def rows(self) -> range:
        """Rows in progress; empty in any other phase."""
        _, phase, first, last, _, _ = _RECORD.unpack_from(self._map)
        return range(first, last + 1) if phase == ROWS else range(0)

    def finished(self, rows: int, of: int) -> None:
        _DONE.pack_into(self._map, _RECORD.size, rows, of)


def read_clocks(run_id: str, names: list[str]) -> dict[str, ClockReading]:
    """Look at workers of this machine, dead ones included. Names without a record are left out."""
    found = {}
    folder = clock_dir(run_id)
    now = time.monotonic()  # one clock for all processes of a machine
    for name in names:
        try:
            raw = (folder / name).read_bytes()[: _RECORD.size + _DONE.size]
        except OSError:
            continue
        if len(raw) < _RECORD.size + _DONE.size:
            continue
        task, phase, first, last, at, pid = _RECORD.unpack_from(raw)
        done, of = _DONE.unpack_from(raw, _RECORD.size)
        since_s, rss_bytes = max(0.0, now - at), _rss_bytes(pid)
        found[name] = ClockReading(task, phase, first, last, since_s, pid, rss_bytes, done, of)
    return found


def _rss_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as f:
            return int(f.read().split()[1]) * mmap.PAGESIZE
    except (OSError, IndexError, ValueError):
        return 0
