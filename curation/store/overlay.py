"""Decisions of people: append-only files, never overwritten by a re-run."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import DatasetError
from .dataset import Dataset

KINDS = ("prune", "review", "takedown")


@dataclass(frozen=True)
class Overlay:
    """What people decided, latest decision per sample.

    Attributes:
        removed: ids taken down; nothing brings them back.
        forced: sample id -> keep (True or False), from `prune` and `review`.
    """

    removed: frozenset[bytes]
    forced: Mapping[bytes, bool]

    def __bool__(self) -> bool:
        return bool(self.removed or self.forced)


def add_decisions(
    dataset: Dataset, kind: str, ids: Iterable[bytes], author: str, reason: str, keep: bool = False
) -> str:
    """Append one file of decisions; returns its path.

    Args:
        kind: `prune` (drop), `review` (drop or keep, by `keep`) or `takedown` (drop for good).
        ids: sample ids, 16 bytes each.
    """
    if kind not in KINDS:
        raise DatasetError(f"overlay kind {kind!r} is not one of {', '.join(KINDS)}")
    if keep and kind != "review":
        raise DatasetError(f"a {kind} decision cannot keep a sample; use review")
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + f"{time.time_ns() % 10**9:09d}"
    record = {
        "author": author,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "reason": reason,
        "keep": keep,
        "ids": sorted(i.hex() for i in ids),
    }
    path = f"overlay/{kind}/{stamp}-{secrets.token_hex(4)}.json"
    dataset.storage.put(path, (json.dumps(record, ensure_ascii=False, indent=1) + "\n").encode())
    return path


def add_undo(dataset: Dataset, entry: str, author: str, reason: str) -> str:
    """Append a file that takes one prune back: `entry` is its file name without `.json`. Returns the new path."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + f"{time.time_ns() % 10**9:09d}"
    record = {
        "author": author,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "reason": reason,
        "undoes": entry,
        "ids": [],
    }
    path = f"overlay/prune/{stamp}-{secrets.token_hex(4)}.json"
    dataset.storage.put(path, (json.dumps(record, ensure_ascii=False, indent=1) + "\n").encode())
    return path


def read_overlay(dataset: Dataset) -> Overlay:
    """All decisions so far. Raises DatasetError naming a damaged file: a lost decision must not pass silently."""
    removed: set[bytes] = set()
    decisions: list[tuple[str, bytes, bool]] = []
    undone: set[str] = set()
    for kind in KINDS:
        for info in dataset.storage.list(f"overlay/{kind}"):
            path = f"overlay/{kind}/{info.name}"
            try:
                record = json.loads(dataset.storage.get(path))
                ids = [bytes.fromhex(i) for i in record["ids"]]
                if any(len(i) != 16 for i in ids):
                    raise ValueError("an id is not 32 hex digits")
            except (ValueError, KeyError, TypeError) as e:
                raise DatasetError(f"{path}: not a decision file ({e}); repair it or move it away") from e
            if kind == "prune" and "undoes" in record:
                undone.add(f"{record['undoes']}.json")
            if kind == "takedown":
                removed.update(ids)
            else:
                name = info.name if kind == "prune" else f"{info.name} of {kind}"
                decisions += [(name, i, bool(record.get("keep"))) for i in ids]
    forced = {i: keep for name, i, keep in sorted(decisions) if name not in undone}
    return Overlay(frozenset(removed), {i: k for i, k in forced.items() if i not in removed})
