"""Objects under one root: read, put at once, create exclusively, list. Local disk or any fsspec URL.

The store needs four promises of a file system and no more: a put is seen whole or not at
all, an exclusive create succeeds for one writer only, a listing shows what was put, and a
reader gets the bytes that were put.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import fsspec

from ..errors import DatasetError
from ..uris import check_root, is_local

TEMP_PREFIX = ".tmp-"
#: Files are copied in pieces of this size.
COPY_BYTES = 8 << 20


@dataclass(frozen=True)
class ObjectInfo:
    """Name (relative to the listed folder), size, and a tag that changes when the object does."""

    name: str
    size_bytes: int
    tag: str


class Storage:
    """One dataset's root. Paths are relative, with `/` separators.

    Args:
        url: a local path, or a URL of an allowed protocol (`s3://bucket/prefix`, `memory://x`).
        options: fsspec storage options (endpoint, credentials by environment or profile).
    """

    def __init__(self, url: str | os.PathLike[str], options: dict[str, Any] | None = None):
        self.options = dict(options or {})
        self.url = check_root(os.fspath(url))
        self.local: Path | None = Path(self.url) if is_local(self.url) else None
        if self.local:
            return
        # A cached listing would hide what another writer has just put.
        self.fs, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False, **self.options)
        self.root = root.rstrip("/")

    def __reduce__(self):
        return (Storage, (self.url, self.options))

    def _path(self, path: str) -> Any:
        if path.startswith("/") or ".." in path.split("/"):
            raise DatasetError(f"{path!r} is not a path inside a dataset")
        return self.local / path if self.local else f"{self.root}/{path}"

    def get(self, path: str) -> bytes:
        """The whole object. Raises FileNotFoundError."""
        if self.local:
            return self._path(path).read_bytes()
        return self.fs.cat_file(self._path(path))

    def get_range(self, path: str, offset: int, length: int) -> bytes:
        """A part of an object. Raises FileNotFoundError; fewer bytes than asked for where it ends before."""
        if self.local:
            with open(self._path(path), "rb") as f:
                f.seek(offset)
                return f.read(length)
        return self.fs.cat_file(self._path(path), start=offset, end=offset + length)

    def put(self, path: str, data: bytes) -> ObjectInfo:
        """Write or replace an object in one step: readers see the old bytes or the new ones."""
        if self.local:
            target = self._path(path)
            temp = self._write_temp(target, data)
            os.replace(temp, target)
            _sync_dir(target.parent)
        else:
            self.fs.pipe_file(self._path(path), data)
        return self.info(path)

    def put_file(self, path: str, data: BinaryIO) -> ObjectInfo:
        """`put` of what an open file holds from its start, without reading it into memory as a whole."""
        data.seek(0)
        if self.local:
            target = self._path(path)
            temp = self._write_temp(target, data)
            os.replace(temp, target)
            _sync_dir(target.parent)
        else:
            # A file that is not closed properly is never seen: object stores show an upload when it is complete.
            with self.fs.open(self._path(path), "wb") as out:
                shutil.copyfileobj(data, out, COPY_BYTES)
        return self.info(path)

    def create(self, path: str, data: bytes) -> bool:
        """Write an object only if there is none of that name; False when there is one."""
        if self.local:
            target = self._path(path)
            temp = self._write_temp(target, data)
            try:
                os.link(temp, target)  # atomic and exclusive, on NFS too
            except FileExistsError:
                return False
            finally:
                os.unlink(temp)
            _sync_dir(target.parent)
            return True
        try:
            self.fs.pipe_file(self._path(path), data, mode="create")
        except FileExistsError:
            return False
        return True

    def _write_temp(self, target: Path, data: bytes | BinaryIO) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        temp = target.parent / f"{TEMP_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        with open(temp, "xb") as f:
            if isinstance(data, bytes):
                f.write(data)
            else:
                shutil.copyfileobj(data, f, COPY_BYTES)
            f.flush()
            os.fsync(f.fileno())
        return temp

    def exists(self, path: str) -> bool:
        return self._path(path).exists() if self.local else self.fs.exists(self._path(path))

    def info(self, path: str) -> ObjectInfo:
        """Size and tag of one object. Raises FileNotFoundError."""
        name = path.rsplit("/", 1)[-1]
        if self.local:
            st = os.stat(self._path(path))
            return ObjectInfo(name, st.st_size, f"{st.st_mtime_ns}-{st.st_ino}")
        return _remote_info(name, self.fs.info(self._path(path)))

    def list(self, folder: str) -> list[ObjectInfo]:
        """Objects directly in a folder, sorted by name; [] when the folder is absent."""
        found = []
        if self.local:
            try:
                entries = list(os.scandir(self._path(folder)))
            except (FileNotFoundError, NotADirectoryError):
                return []
            for e in entries:
                if e.name.startswith(TEMP_PREFIX):
                    continue
                try:
                    if e.is_file():
                        st = e.stat()
                        found.append(ObjectInfo(e.name, st.st_size, f"{st.st_mtime_ns}-{e.inode()}"))
                except FileNotFoundError:
                    continue  # removed between the listing and the look
        else:
            try:
                rows = self.fs.ls(self._path(folder), detail=True)
            except FileNotFoundError:
                return []
            found = [
                _remote_info(r["name"].rsplit("/", 1)[-1], r)
                for r in rows
                if r["type"] == "file" and not r["name"].endswith("/")
            ]
        return sorted(found, key=lambda o: o.name)

    def folders(self, folder: str) -> list[str]:
        """Names of the folders directly in a folder, sorted."""
        if self.local:
            try:
                return sorted(e.name for e in os.scandir(self._path(folder)) if e.is_dir())
            except (FileNotFoundError, NotADirectoryError):
                return []
        try:
            rows = self.fs.ls(self._path(folder), detail=True)
        except FileNotFoundError:
            return []
        return sorted(r["name"].rstrip("/").rsplit("/", 1)[-1] for r in rows if r["type"] == "directory")

    def walk(self, folder: str) -> Iterator[str]:
        """Every object below a folder, as paths relative to the root."""
        for o in self.list(folder):
            yield f"{folder}/{o.name}" if folder else o.name
        for name in self.folders(folder):
            yield from self.walk(f"{folder}/{name}" if folder else name)

    def delete(self, path: str) -> None:
        """Remove one object; no error when it is already gone."""
        try:
            if self.local:
                os.unlink(self._path(path))
            else:
                self.fs.rm_file(self._path(path))
        except FileNotFoundError:
            pass

    def temp_files(self) -> list[Path]:
        """Leftovers of writers that were killed (local disk only)."""
        if not self.local:
            return []
        return sorted(p for p in self.local.rglob(f"{TEMP_PREFIX}*") if p.is_file())


def _remote_info(name: str, row: dict[str, Any]) -> ObjectInfo:
    # memory:// has no etag: its creation time changes with every put.
    tag = row.get("ETag") or row.get("etag") or row.get("mtime") or row.get("created") or ""
    return ObjectInfo(name, int(row["size"]), str(tag))


def _sync_dir(folder: Path) -> None:
    """Make a rename durable: on POSIX the directory entry needs its own fsync."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
