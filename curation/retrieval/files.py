"""The folder of an index: whole files with digests, one manifest, one writer at a time.

Data files are named after what they hold and never change; the manifest names the current ones and is
replaced in one step. A reader that still maps old files keeps them. Nothing here is trusted when it is
opened: sizes always, digests whenever a file's size, time or inode is not what its writer noted.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

MANIFEST = "manifest.json"
_TEMP = ".tmp-"


class DamagedIndexError(Exception):
    """An index file is missing, altered or of another version. Never reaches a user: the index is made anew."""


class Sink:
    """A file written once from front to back; takes its name when it is whole."""

    def __init__(self, folder: Path, name: str):
        self._target = folder / name
        self._temp = folder / f"{_TEMP}{os.getpid()}-{secrets.token_hex(4)}"
        self._file = open(self._temp, "xb")  # noqa: SIM115 (closed by `close`)
        self._digest = xxhash.xxh3_128()

    def write(self, data: np.ndarray | bytes) -> None:
        view = np.ascontiguousarray(data).reshape(-1).view(np.uint8) if isinstance(data, np.ndarray) else data
        self._digest.update(view)
        self._file.write(view)

    def close(self) -> dict[str, Any]:
        """Make the file durable and give its record for the manifest."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._temp, self._target)
        return {"name": self._target.name, "xxh3": self._digest.hexdigest(), "tag": tag_of(self._target)}


def write_file(folder: Path, name: str, data: np.ndarray | bytes) -> dict[str, Any]:
    """One whole file at once; its record."""
    sink = Sink(folder, name)
    sink.write(data)
    return sink.close()


def tag_of(path: Path) -> str:
    """Changes when a file is replaced or written to."""
    st = os.stat(path)
    return f"{st.st_size}-{st.st_mtime_ns}-{st.st_ino}"


def checked(folder: Path, record: Mapping[str, Any]) -> Path:
    """The path of a file that the manifest names.

    Raises:
        DamagedIndexError: absent, or its bytes are not those written.
    """
    name = record["name"]
    if not isinstance(name, str) or "/" in name or name.startswith("."):
        raise DamagedIndexError(f"{name!r} is not a file of an index")
    path = folder / name
    try:
        if tag_of(path) != record["tag"]:
            with open(path, "rb") as f:
                digest = xxhash.xxh3_128()
                while chunk := f.read(1 << 22):
                    digest.update(chunk)
            if digest.hexdigest() != record["xxh3"]:
                raise DamagedIndexError(f"{name}: its bytes do not match their digest")
    except OSError as e:
        raise DamagedIndexError(f"{name}: {e.strerror}") from e
    return path


def mapped(folder: Path, record: Mapping[str, Any], dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A file as a read-only array that stays on disk. Raises DamagedIndexError."""
    path = checked(folder, record)
    if path.stat().st_size != int(np.prod(shape)) * np.dtype(dtype).itemsize:
        raise DamagedIndexError(f"{path.name}: not of shape {shape}")
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", shape=shape).view(np.ndarray)


def read_manifest(folder: Path, version: int) -> dict[str, Any]:
    """The manifest. Raises DamagedIndexError when there is none of this version."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as e:
        raise DamagedIndexError(f"{folder}: no manifest ({e})") from e
    if not isinstance(manifest, dict) or manifest.get("format") != version:
        raise DamagedIndexError(f"{folder}: of another version")
    return manifest


def commit(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Replace the manifest, then delete every file that it does not name."""
    write_file(folder, MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
    used = {MANIFEST, "lock"} | {r["name"] for r in manifest["files"].values()}
    for path in folder.iterdir():
        if path.is_file() and path.name not in used:
            path.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer at a time; others wait. The lock goes with the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "ab") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield
