"""Files of one folder, on disk or behind fsspec: whole, in ranges, and by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from .errors import BadSampleError, SchemaError


class Folder:
    """A folder by path or URL (`s3://...`). Names come from files that are not trusted: they may hold no path."""

    def __init__(self, url: str | Path, options: Mapping[str, Any] | None = None) -> None:
        self.url = str(url).rstrip("/")
        self._fs, self._root = None, self.url.removeprefix("file://")
        if "::" in self.url:
            raise SchemaError(f"{self.url}: chained protocols are not read; copy the export to one place")
        if "://" in self._root:
            import fsspec

            self._fs, self._root = fsspec.core.url_to_fs(self.url, **(options or {}))

    @property
    def remote(self) -> bool:
        return self._fs is not None

    def path(self, name: str) -> str:
        """Raises SchemaError for a name that leaves the folder."""
        if not name or "/" in name or "\\" in name or name in (".", "..") or "\0" in name:
            raise SchemaError(f"{self.url}: {name!r} is not the name of a file in this folder")
        return f"{self._root}/{name}"

    def names(self, suffix: str) -> list[str]:
        """Sorted. Raises SchemaError for a folder that is not there."""
        try:
            found = os.listdir(self._root) if self._fs is None else self._fs.ls(self._root, detail=False)
        except OSError as error:
            raise SchemaError(f"{self.url}: cannot be listed: {error}") from error
        return sorted(name for name in (f.rsplit("/", 1)[-1] for f in found) if name.endswith(suffix))

    def open(self, name: str) -> BinaryIO:
        """Raises OSError."""
        return open(self.path(name), "rb") if self._fs is None else self._fs.open(self.path(name), "rb")

    def read(self, name: str) -> bytes:
        """Raises OSError."""
        with self.open(name) as f:
            return f.read()

    def read_range(self, name: str, start: int, length: int, most: bool = False) -> bytes:
        """`length` bytes from `start`; with `most`, fewer at the end of the file.

        Raises BadSampleError where the file is gone or ends before.
        """
        path = self.path(name)
        try:
            if self._fs is None:
                with open(path, "rb") as f:
                    data = os.pread(f.fileno(), length, start)
            else:
                data = self._fs.cat_file(path, start=start, end=start + length)
        except (OSError, ValueError) as error:
            raise BadSampleError(f"{self.url}/{name}: {type(error).__name__}: {error}") from error
        if len(data) < length and not most:
            raise BadSampleError(
                f"{self.url}/{name}: ends at byte {start + len(data)}, {length - len(data)} bytes early: copy it anew"
            )
        return data
