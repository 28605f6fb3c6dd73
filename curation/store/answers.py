"""Answers that models gave, kept in the dataset: where they lie, whose they are, and how they are forgotten.

    _answers/STAGE/MODEL/NAME.answers.jsonl   one answer a line, by a key (the writer's format; `key` is all that is read here)
    _answers/STAGE/MODEL/NAME.owners.jsonl    which samples asked for which key, and which keys were to be asked anew

A takedown drops the answers of its samples, and those whose owner nobody noted: they are asked again if ever needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .digest import json_digest
from .storage import Storage

ROOT = "_answers"
ANSWERS_SUFFIX, OWNERS_SUFFIX = ".answers.jsonl", ".owners.jsonl"
_SEGMENT_LINES = 1024


def answers_folder(stage: str, identity: str) -> str:
    """The folder of a stage's answers by one model, relative to the dataset."""
    return f"{ROOT}/{stage.replace('/', '__')}/{json_digest({'model': identity})[:12]}"


class OwnerLog:
    """Notes which sample a key belongs to. One per writer; a pair noted before is not written again."""

    def __init__(self, storage: Storage, folder: str):
        self._storage, self._path = storage, f"{folder}/{uuid.uuid4().hex}"
        self._known: set[int] = set()
        self._rounds: Counter[str] = Counter()
        for note in _notes(storage, folder):
            self._known.add(hash((note["sample"], note["key"])))
            if note.get("renewed") is True:
                self._rounds[note["key"]] += 1
        self._lines: list[bytes] = []
        self._file: int | None = None
        self._segments = 0

    def note(self, sample_id: bytes, key: str) -> None:
        pair = (sample_id.hex(), key)
        if hash(pair) not in self._known:
            self._known.add(hash(pair))
            self._write({"sample": pair[0], "key": key})

    def renew(self, sample_id: bytes, key: str) -> None:
        """From now on the key has another place: what was answered under it so far is passed over."""
        self._rounds[key] += 1
        self._write({"sample": sample_id.hex(), "key": key, "renewed": True})

    def place(self, key: str) -> str:
        """The key under which the newest answer lies, likewise 64 hex digits."""
        rounds = self._rounds.get(key, 0)
        return hashlib.sha256(f"{key}|{rounds}".encode()).hexdigest() if rounds else key

    def _write(self, note: dict[str, Any]) -> None:
        line = (json.dumps(note, separators=(",", ":")) + "\n").encode()
        if self._storage.local:
            os.write(self._descriptor(self._storage.local / (self._path + OWNERS_SUFFIX)), line)
            return
        self._lines.append(line)
        if len(self._lines) >= _SEGMENT_LINES:
            self.flush()

    def _descriptor(self, path: Path) -> int:
        if self._file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        return self._file

    def flush(self) -> None:
        """Write what is still collected (object stores cannot append)."""
        if self._lines:
            self._storage.put(f"{self._path}-{self._segments:06d}{OWNERS_SUFFIX}", b"".join(self._lines))
            self._lines, self._segments = [], self._segments + 1


def forget_answers(storage: Storage, sample_ids: set[bytes]) -> int:
    """Drop the answers of samples. Returns how many answers went. Not to be run beside a build."""
    wanted = {i.hex() for i in sample_ids}
    owned: set[str] = set()
    gone: set[str] = set()
    for note in _notes(storage, ROOT):
        owned.add(note["key"])
        if note["sample"] in wanted:
            gone.add(note["key"])
    dropped = 0
    for path in list(storage.walk(ROOT)):
        if path.endswith(ANSWERS_SUFFIX):
            dropped += _rewrite(storage, path, lambda v: v.get("key") in owned and v["key"] not in gone)
        elif path.endswith(OWNERS_SUFFIX):
            _rewrite(storage, path, lambda v: v.get("key") not in gone)
    return dropped


def unused_answers(storage: Storage, used: set[str]) -> list[str]:
    """Objects in folders of answers (`answers_folder`) that are not in `used`."""
    return [p for p in storage.walk(ROOT) if p.count("/") >= 3 and p.rsplit("/", 1)[0] not in used]


def _rewrite(storage: Storage, path: str, keep: Callable[[dict[str, Any]], bool]) -> int:
    """Keep the lines of which `keep` says so; torn ones go. Returns how many went."""
    lines = [line for line in storage.get(path).split(b"\n") if line]
    kept = [line for line in lines if (value := _parsed(line)) is not None and keep(value)]
    if not kept:
        storage.delete(path)
    elif len(kept) < len(lines):
        storage.put(path, b"\n".join(kept) + b"\n")
    return len(lines) - len(kept)


def _notes(storage: Storage, folder: str) -> Iterator[dict[str, Any]]:
    for path in storage.walk(folder):
        if path.endswith(OWNERS_SUFFIX):
            for line in storage.get(path).split(b"\n"):
                value = _parsed(line)
                if value and all(isinstance(value.get(name), str) for name in ("sample", "key")):
                    yield value


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
