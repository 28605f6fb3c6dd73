"""Decisions on their way back into the dataset: `overlay/review`, append-only, with author, time and reason.

Discarded samples get a decision that drops them (`store.overlay`). Corrected texts, corrected instructions and discarded pairs
are files in `overlay/review/texts`; the latest one about a sample or pair counts. A re-run never overwrites what people wrote.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ...errors import DatasetError
from ...store import Dataset
from ...store.corrections import with_corrections
from ...store.overlay import add_decisions, read_overlay
from .decisions import ReviewLog, now_text
from .states import CORRECTED, DISCARDED, State
from .tasks import CAPTION, FIELDS, PAIR, Task, Text, is_list

FOLDER = "overlay/review/texts"
_REASON = "discarded in review"


@dataclass(frozen=True)
class Corrections:
    """What people wrote, by subject.

    Attributes:
        samples: sample id (16 bytes) -> caption column -> text, or list of tags.
        pairs: pair id -> instruction column -> text.
        dropped_pairs: ids of pairs that are out.
    """

    samples: Mapping[bytes, Mapping[str, Text]] = field(default_factory=dict)
    pairs: Mapping[str, Mapping[str, Text]] = field(default_factory=dict)
    dropped_pairs: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.samples or self.pairs or self.dropped_pairs)


def read_corrections(dataset: Dataset) -> Corrections:
    """All corrections so far. Raises DatasetError naming a damaged file: a lost correction must not pass silently."""
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for info in dataset.storage.list(FOLDER):
        path = f"{FOLDER}/{info.name}"
        try:
            for entry in json.loads(dataset.storage.get(path))["entries"]:
                latest[entry["kind"], entry["subject"]] = _checked(entry)
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise DatasetError(f"{path}: not a file of corrections ({e}); repair it or move it away") from e
    by_kind: dict[str, dict[str, Any]] = defaultdict(dict)
    for (kind, subject), entry in latest.items():
        by_kind[kind][subject] = entry
    return Corrections(
        {bytes.fromhex(s): _texts(e) for s, e in by_kind[CAPTION].items() if e["fields"]},
        {s: _texts(e) for s, e in by_kind[PAIR].items() if e["fields"]},
        frozenset(s for s, e in by_kind[PAIR].items() if e["drop"]),
    )


def _checked(entry: dict[str, Any]) -> dict[str, Any]:
    for name, value in entry["fields"].items():
        if name not in FIELDS[entry["kind"]] or isinstance(value, str) == is_list(name):
            raise ValueError(f"field {name!r} of {entry['subject']!r}")
    if entry["kind"] == CAPTION and len(bytes.fromhex(entry["subject"])) != 16:
        raise ValueError("an id is not 32 hex digits")
    return {"fields": entry["fields"], "drop": bool(entry["drop"])}


def _texts(entry: Mapping[str, Any]) -> dict[str, Text]:
    return {k: v if isinstance(v, str) else tuple(v) for k, v in entry["fields"].items()}


@dataclass(frozen=True)
class Applied:
    """What was written, or would be: samples and pairs dropped, taken back, with corrected texts; samples whose tags are
    others now than stages last saw them."""

    dropped: int = 0
    taken_back: int = 0
    corrected: int = 0
    retagged: int = 0
    files: tuple[str, ...] = ()


def apply_decisions(dataset: Dataset, log: ReviewLog, author: str, dry_run: bool = False) -> Applied:
    """Bring a dataset's overlay in line with a log. Only differences are written, so repeating it writes nothing.

    Where several proposals about a sample were settled (it was captioned anew in between), the one decided last counts.
    """
    settled: dict[tuple[str, str], State] = {}
    reviewed_drops = _review_drops(dataset)
    for task, state in _latest(log):
        settled[task.kind, task.subject] = state
    dropped, back, entries, retagged = [], [], [], 0
    corrections = read_corrections(dataset)
    for (kind, subject), state in settled.items():
        out = state.outcome == DISCARDED
        fields = state.fields if state.outcome == CORRECTED else {}
        if kind == CAPTION:
            sample_id = bytes.fromhex(subject)
            known, was_out = corrections.samples.get(sample_id, {}), reviewed_drops.get(sample_id, False)
            if out != was_out:
                (dropped if out else back).append(sample_id)
        else:
            known, was_out = corrections.pairs.get(subject, {}), subject in corrections.dropped_pairs
        if dict(known) != dict(fields) or (kind == PAIR and out != was_out):
            retagged += kind == CAPTION and _tags(known) != _tags(fields)
            plain = {k: v if isinstance(v, str) else list(v) for k, v in fields.items()}
            by = list(state.by)
            entries.append(
                {
                    "kind": kind,
                    "subject": subject,
                    "fields": plain,
                    "drop": kind == PAIR and out,
                    "reviewers": by,
                }
            )
    files = []
    if not dry_run:
        if dropped:
            files.append(add_decisions(dataset, "review", dropped, author, _REASON))
        if back:
            files.append(add_decisions(dataset, "review", back, author, "taken back in review", keep=True))
        if entries:
            files.append(_put(dataset, entries, author))
    pairs_out = sum(e["drop"] for e in entries)
    texts = sum(bool(e["fields"]) for e in entries)
    return Applied(len(dropped) + pairs_out, len(back), texts, retagged, tuple(files))


def _tags(fields: Mapping[str, Text]) -> dict[str, Text]:
    return {name: value for name, value in fields.items() if is_list(name)}


def _latest(log: ReviewLog) -> list[tuple[Task, State]]:
    """One task per subject: of those that are settled the one decided last, else any, so that old effects go."""
    found: dict[tuple[str, str], tuple[int, Task, State]] = {}
    last = dict(log.rows("SELECT task_id, last FROM tasks"))
    for task in log.tasks(current=False):
        state = log.state(task.id)
        settled = state.by or state.outcome in (CORRECTED, DISCARDED)
        order = last[task.id] if settled else -1
        if order > found.get((task.kind, task.subject), (-2,))[0]:
            found[task.kind, task.subject] = (order, task, state)
    return [(task, state) for _, task, state in found.values()]


def _review_drops(dataset: Dataset) -> dict[bytes, bool]:
    """Sample id -> dropped, by the latest decision of `overlay/review` alone."""
    read_overlay(dataset)  # says what is wrong with a damaged file
    drops: dict[bytes, bool] = {}
    for info in dataset.storage.list("overlay/review"):
        record = json.loads(dataset.storage.get(f"overlay/review/{info.name}"))
        drops |= dict.fromkeys(map(bytes.fromhex, record["ids"]), not record.get("keep"))
    return drops


def _put(dataset: Dataset, entries: list[dict[str, Any]], author: str) -> str:
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + f"{time.time_ns() % 10**9:09d}"
    path = f"{FOLDER}/{stamp}-{secrets.token_hex(4)}.json"
    record = {"author": author, "time": now_text(), "reason": "corrected in review", "entries": entries}
    dataset.storage.put(path, (json.dumps(record, ensure_ascii=False, indent=1) + "\n").encode())
    return path


def forget_corrections(dataset: Dataset, subjects: Iterable[str]) -> int:
    """Remove what was written about samples that were taken down (ids in hex). Returns how many entries went."""
    gone, wanted = 0, set(subjects)
    for info in dataset.storage.list(FOLDER):
        path = f"{FOLDER}/{info.name}"
        record = json.loads(dataset.storage.get(path))
        kept = [e for e in record["entries"] if e["subject"] not in wanted]
        if len(kept) < len(record["entries"]):
            gone += len(record["entries"]) - len(kept)
            text = json.dumps({**record, "entries": kept}, ensure_ascii=False, indent=1)
            dataset.storage.put(path, (text + "\n").encode())
    return gone


def corrected(table: pa.Table, corrections: Mapping[bytes, Mapping[str, Text]], prefix: str = "") -> pa.Table:
    """A table with `sample_id` and caption columns, and people's texts in place; see `store.corrections`, which does the
    same for stages. `prefix`: of the caption columns' names."""
    if not corrections:
        return table
    ids = table["sample_id"].to_pylist()
    mine = {row: corrections[i] for row, i in enumerate(ids) if i in corrections}
    return with_corrections(table, mine, prefix)


def reviewed_pair(pair: Mapping[str, Any], corrections: Corrections) -> dict[str, Any] | None:
    """A row of the table of pairs with people's instructions; None for a pair they discarded."""
    if pair.get("pair_id") in corrections.dropped_pairs:
        return None
    fields = corrections.pairs.get(pair.get("pair_id"), {})
    return {**pair, **fields, "instructed_by": "human"} if fields else dict(pair)
