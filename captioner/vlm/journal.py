"""Answers that were paid for once: a journal beside the dataset, so that no question is asked twice.

A folder per stage. Each writer (process) appends to files of its own, so that writers never meet; all read all. One
answer is one line of JSON with its key. A killed writer leaves at most a torn last line, which is left out on reading.

On a local folder a line is with the operating system before `put` returns, so kill -9 loses nothing. Object stores
cannot append: there answers are collected into segments, written when full or old, and on `close`; kill -9 loses the
last segment, which is then asked again.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from ..chat import Chat, ChatAnswer, ChatRequest

SUFFIX = ".answers.jsonl"
_SEGMENT_ANSWERS, _SEGMENT_S = 256, 30.0
_MAX_LINE_BYTES = 16 << 20


class AnswerStore(Protocol):
    """Answers by key."""

    def get(self, key: str) -> ChatAnswer | None: ...

    def put(self, key: str, answer: ChatAnswer) -> ChatAnswer:
        """Keep an answer; gives back the one that counts: that of the first `put` of a key."""

    def close(self) -> None: ...


class JournaledChat:
    """A `Chat` that asks another one only what its journal does not know.

    Args:
        chat: asked for the rest.
        store: the journal.
        identity: of the model, with its revision; part of every key (`ChatRequest.key`).
    """

    placeholder = False

    def __init__(self, chat: Chat, store: AnswerStore, identity: str):
        self._chat, self._store, self._identity = chat, store, identity
        self.engine, self.model = chat.engine, chat.model

    def load(self) -> None:
        self._chat.load()

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        """As the other's; `attempts` is 0 for an answer out of the journal."""
        key = request.key(self._identity)
        known = self._store.get(key)
        if known is not None:
            return replace(known, attempts=0)
        return self._store.put(key, await self._chat.ask(request))

    async def close(self) -> None:
        self._store.close()
        await self._chat.close()


class FileJournal:
    """An AnswerStore in a folder: a local path, or a URL of fsspec.

    Only positions are kept in memory (about 200 bytes an answer). What other writers append later is not seen until
    the next construction; they work on other rows.

    Args:
        folder: made when the first answer is written.
        storage_options: of fsspec.
    """

    def __init__(self, folder: str, storage_options: dict[str, Any] | None = None):
        folder = folder.removeprefix("file://")
        name = f"{_safe(socket.gethostname())}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._files = (
            _RemoteFiles(folder, name, storage_options or {})
            if "://" in folder
            else _LocalFiles(folder, name)
        )
        self._places: dict[bytes, tuple[int, int, int]] = {}  # key -> (file, offset, length)
        self.skipped = 0  # lines that are torn or no answers
        for file, offset, line in self._files.lines():
            found = _parse(line)
            if found is None:
                self.skipped += 1
            else:
                self._places.setdefault(bytes.fromhex(found[0]), (file, offset, len(line)))
        if self.skipped > self._files.count:  # one torn line per writer is a kill; more is damage
            warnings.warn(
                f"{self.skipped} lines of the journal in {folder} are damaged; they are asked again",
                stacklevel=2,
            )

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> ChatAnswer | None:
        place = self._places.get(bytes.fromhex(key))
        if place is None:
            return None
        found = _parse(self._files.read(*place))
        return found[1] if found is not None and found[0] == key else None

    def put(self, key: str, answer: ChatAnswer) -> ChatAnswer:
        first = self.get(key)
        if first is not None:
            return first
        line = json.dumps({"key": key, **vars(answer)}, ensure_ascii=True, separators=(",", ":")).encode(
            "ascii"
        )
        self._places[bytes.fromhex(key)] = (*self._files.append(line + b"\n"), len(line))
        return answer

    def close(self) -> None:
        """Write what is still collected. Further `put`s are possible."""
        self._files.flush()


def _parse(line: bytes) -> tuple[str, ChatAnswer] | None:
    """A line as (key, answer); None for anything else. What lies in the folder is not trusted."""
    try:
        value = json.loads(line)
        key = value.pop("key")
        answer = ChatAnswer(**value)
        if len(bytes.fromhex(key)) != 32 or key != key.lower():
            return None
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    texts = (
        isinstance(answer.text, str)
        and isinstance(answer.finish_reason, str)
        and isinstance(answer.model, str)
    )
    counts = all(type(n) is int or n is None for n in (answer.tokens_in, answer.tokens_out))
    times = isinstance(answer.seconds, int | float) and type(answer.attempts) is int
    return (key, answer) if texts and counts and times else None


class _LocalFiles:
    """Files of a folder; positions are byte offsets, the own file is opened at the first answer."""

    def __init__(self, folder: str, name: str):
        self._folder, self._name = Path(folder).expanduser(), name
        self._paths = sorted(self._folder.glob(f"*{SUFFIX}"))
        self._open: dict[int, int] = {}  # file -> descriptor
        self._own: int | None = None
        self._end = 0

    @property
    def count(self) -> int:
        return len(self._paths)

    def lines(self) -> Iterator[tuple[int, int, bytes]]:
        for number, path in enumerate(self._paths):
            offset = 0
            with path.open("rb") as f:
                while line := f.readline(_MAX_LINE_BYTES):
                    yield number, offset, line.removesuffix(b"\n")
                    offset += len(line)

    def read(self, file: int, offset: int, length: int) -> bytes:
        if file not in self._open:
            while len(self._open) > 64:
                os.close(self._open.pop(next(k for k in self._open if k != self._own)))
            self._open[file] = os.open(self._paths[file], os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(self._open[file], length, offset)

    def append(self, line: bytes) -> tuple[int, int]:
        if self._own is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / (self._name + SUFFIX)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._own = len(self._paths)
            self._open[self._own] = os.open(path, flags, 0o666)
            self._paths.append(path)
        offset, view = self._end, memoryview(line)
        while view:
            written = os.write(self._open[self._own], view)
            self._end += written
            view = view[written:]
        return self._own, offset

    def flush(self) -> None:
        for number in [n for n in self._open if n != self._own]:
            os.close(self._open.pop(number))


class _RemoteFiles:
    """Objects below a URL; the own ones are segments that are complete when written."""

    def __init__(self, folder: str, name: str, storage_options: dict[str, Any]):
        from fsspec.core import url_to_fs

        self._fs, root = url_to_fs(folder, **storage_options)
        self._root, self._name = root.rstrip("/"), name
        try:
            listed = self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            listed = []
        self._paths: list[str] = sorted(p for p in listed if p.endswith(SUFFIX))
        self._pending: list[bytes] = []
        self._size, self._since, self._segments = 0, time.monotonic(), 0

    @property
    def count(self) -> int:
        return len(self._paths)

    def lines(self) -> Iterator[tuple[int, int, bytes]]:
        for number, path in enumerate(self._paths):
            offset = 0
            for line in self._fs.cat_file(path).splitlines(keepends=True):
                yield number, offset, line.removesuffix(b"\n")
                offset += len(line)

    def read(self, file: int, offset: int, length: int) -> bytes:
        if file == len(self._paths):
            return b"".join(self._pending)[offset : offset + length]
        return self._fs.cat_file(self._paths[file], start=offset, end=offset + length)

    def append(self, line: bytes) -> tuple[int, int]:
        place = len(self._paths), self._size
        if not self._pending:
            self._since = time.monotonic()
        self._pending.append(line)
        self._size += len(line)
        if len(self._pending) >= _SEGMENT_ANSWERS or time.monotonic() - self._since > _SEGMENT_S:
            self.flush()
        return place

    def flush(self) -> None:
        if not self._pending:
            return
        path = f"{self._root}/{self._name}-{self._segments:06d}{SUFFIX}"
        self._fs.makedirs(self._root, exist_ok=True)
        self._fs.pipe_file(path, b"".join(self._pending))
        self._paths.append(path)
        self._pending, self._size, self._segments = [], 0, self._segments + 1


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)[:40] or "host"
