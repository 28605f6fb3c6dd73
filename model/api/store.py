"""Finished pictures on disk, under names nobody can guess, for a while and up to a size."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_PREFIX, _LOCK = "zcurate-serve-", "lock"
_NAME = re.compile(r"[A-Za-z0-9_-]{32}\.png", re.ASCII)


@dataclass
class _Kept:
    size_bytes: int
    expires: float
    fetched: bool = False


class ImageStore:
    """A private temporary folder of pictures. Safe to use from several threads.

    When it is full, pictures that were fetched go first, then the oldest. The folder is locked while the store is open;
    a new store removes the folders that killed processes of the same user left behind.

    Args:
        max_bytes: of all pictures together.
        ttl_s: how long a picture can be fetched, seconds.
        on_evict: called with whether a picture dropped for want of room had been fetched.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        max_bytes: int,
        ttl_s: float,
        on_evict: Callable[[bool], None] = lambda fetched: None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._max_bytes, self._ttl_s = max_bytes, ttl_s
        self._on_evict, self._clock = on_evict, clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}  # in order of age
        _remove_left_behind()
        self._folder, self._locked = _locked_folder()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, data: bytes) -> str:
        """Keep a picture; returns its name. Raises OSError when the disk is full."""
        name = f"{secrets.token_urlsafe(24)}.png"
        path = self._folder / name
        try:
            path.write_bytes(data)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        with self._lock:
            self._kept[name] = _Kept(len(data), self._clock() + self._ttl_s)
            self.size_bytes += len(data)
            self._drop_expired()
            self._make_room(name)
        return name

    def open(self, name: str) -> BinaryIO | None:
        """The open file of a picture that was kept and has not expired; counts as fetched. The caller closes it.

        Open, since a picture that was fetched may be dropped at once, and a reader keeps what it has open.
        """
        if not _NAME.fullmatch(name):
            return None
        with self._lock:
            self._drop_expired()
            kept = self._kept.get(name)
            if kept is None:
                return None
            try:
                file = (self._folder / name).open("rb")
            except FileNotFoundError:  # somebody cleans temporary folders
                self._drop(name)
                return None
            kept.fetched = True
            return file

    def unfetched(self, within_s: float) -> int:
        """Pictures of the last `within_s` seconds that nobody has fetched yet."""
        with self._lock:
            self._drop_expired()
            return sum(1 for _ in self._waiting(within_s))

    def unfetched_bytes(self, within_s: float) -> int:
        """Bytes of the pictures of the last `within_s` seconds that nobody has fetched yet."""
        with self._lock:
            self._drop_expired()
            return sum(k.size_bytes for k in self._waiting(within_s))

    def close(self) -> None:
        """Remove all pictures."""
        with self._lock:
            self._kept.clear()
            self.size_bytes = 0
            shutil.rmtree(self._folder, ignore_errors=True)
            self._locked.close()

    def _waiting(self, within_s: float) -> Iterator[_Kept]:
        since = self._clock() - within_s + self._ttl_s
        return (k for k in self._kept.values() if not k.fetched and k.expires > since)

    def _drop_expired(self) -> None:
        now = self._clock()
        for name in [n for n, k in self._kept.items() if k.expires <= now]:
            self._drop(name)

    def _make_room(self, newest: str) -> None:
        for fetched in (True, False):
            for name in [n for n, k in self._kept.items() if k.fetched is fetched and n != newest]:
                if self.size_bytes <= self._max_bytes:
                    return
                self._drop(name)
                self._on_evict(fetched)

    def _drop(self, name: str) -> None:
        self.size_bytes -= self._kept.pop(name).size_bytes
        (self._folder / name).unlink(missing_ok=True)


def _locked_folder() -> tuple[Path, BinaryIO]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))  # mode 0700
        lock = (folder / _LOCK).open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another store may have taken it for left behind before it was locked.
        if (folder / _LOCK).exists():
            return folder, lock
        lock.close()


def _remove_left_behind() -> None:
    """Folders whose process is gone: nobody holds their lock. Others' folders and links are left alone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            with open(folder / _LOCK, "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            # In use, being made, or gone already.
            continue
