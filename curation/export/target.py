"""Replacing an export directory in one step, and only when it is one of ours."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DatasetError
from .record import RECORD_NAME, load_record


def check_target(out_dir: Path) -> None:
    """Raise DatasetError unless `out_dir` is absent, empty, or holds an export of ours and nothing else."""
    if out_dir.is_symlink() or (out_dir.exists() and not out_dir.is_dir()):
        raise DatasetError(f"{out_dir} is not a plain directory; choose another output directory")
    if not out_dir.exists():
        return
    present = {p.name for p in out_dir.iterdir()}
    if not present:
        return
    record = load_record(out_dir)
    if record is None:
        raise DatasetError(
            f"{out_dir} is not empty and has no {RECORD_NAME} of an export; choose another output directory"
        )
    foreign = sorted(present - set(record.get("files", {})) - {RECORD_NAME})
    if foreign:
        raise DatasetError(
            f"{out_dir} holds {foreign[0]!r}, which the export did not write; move it away or choose "
            "another output directory"
        )


@contextmanager
def replacing(out_dir: Path) -> Iterator[Path]:
    """A working directory next to `out_dir` that takes its place when the block ends without error.

    An interrupted export leaves `out_dir` as it was; its working directory is reused by the next
    one. Two exports to one place at once: the second is refused.

    Raises:
        DatasetError: `out_dir` is not ours to replace, or somebody else is writing it.
    """
    work = out_dir.parent / f".{out_dir.name}.partial"
    old = out_dir.parent / f".{out_dir.name}.replaced"
    if not out_dir.exists() and load_record(old):  # killed between the two renames below
        os.rename(old, out_dir)
    check_target(out_dir)
    work.mkdir(parents=True, exist_ok=True)
    handle = os.open(work, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.fstat(handle).st_ino == work.stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            same = False
        if not same:
            raise DatasetError(f"another export is writing to {out_dir}; wait for it to end")
        for entry in work.iterdir():  # what an interrupted export left
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        try:
            yield work
            for entry in work.iterdir():
                _fsync(entry)
            check_target(out_dir)  # it may have changed in the hours since
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        shutil.rmtree(old, ignore_errors=True)
        if out_dir.exists():
            os.rename(out_dir, old)
        os.rename(work, out_dir)
        _fsync(out_dir.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        os.close(handle)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
