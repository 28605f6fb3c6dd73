"""Compares what a run of the pipeline decided with what was planted. All figures are measured on that run."""

from __future__ import annotations

import json
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from .faults import CORRUPT, DEGRADATION_FAULTS, DUPLICATE_FAULTS

if TYPE_CHECKING:
    from rich.table import Table

Row = dict[str, Any]
Pair = tuple[str, str]

NO_DETECTOR = "no detector"

OUTCOME_COLUMNS = (
    "source",
    "key",
    "status",
    "error_class",
    "keep_filter",
    "reasons",
    "group_id",
    "dedup_keep",
    "keeper_key",
    "ocr_text",
)


@dataclass(frozen=True)
class FaultScore:
    """One line of the result.

    Attributes:
        fault: planted fault, hard negative, `clean`, or `text_en` / `text_zh`.
        kind: duplicate | degradation | corrupt | false_drop | ocr.
        planted: what there was to find: pairs, rows or strings. For false_drop: rows that must stay.
        found: how many of them were found. For false_drop: rows dropped wrongly.
        flagged: denominator of precision: all pairs or rows the detector reported; None without one.
        recall: found / planted in 0..1; None when it does not apply.
        precision: correctly flagged / flagged in 0..1; None when it does not apply or nothing was flagged.
        note: what a reader must know, such as `no detector`.
    """

    fault: str
    kind: str
    planted: int
    found: int
    flagged: int | None = None
    recall: float | None = None
    precision: float | None = None
    note: str = ""


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def score(
    truth: pa.Table, outcome: pa.Table, reason_faults: Mapping[str, str | Iterable[str]]
) -> list[FaultScore]:
    """Precision and recall per planted fault, wrong drops among clean rows, and recall of strings.

    Args:
        truth: `corpus.TRUTH_SCHEMA`.
        outcome: one row per sample with `OUTCOME_COLUMNS`; `group_id` may be null, binary or string,
            `reasons` and `ocr_text` may be null.
        reason_faults: filter reason -> the planted fault, or faults, it is meant to catch. A planted fault
            that no reason names is listed with the note `no detector`.

    Raises:
        ValueError: a column is missing, a key is not unique, or a reason names an unknown fault.
    """
    rows, absent = _join(truth, outcome)
    reasons = _reasons(reason_faults)
    scores = _duplicates(rows) + _degradations(rows, reasons) + _corrupt(rows)
    scores += _false_drops(rows) + _ocr(rows)
    if absent:
        scores.append(
            FaultScore("missing_rows", "corrupt", absent, 0, note="planted samples absent from the outcome")
        )
    return scores


def _reasons(reason_faults: Mapping[str, str | Iterable[str]]) -> dict[str, frozenset[str]]:
    known = frozenset(DEGRADATION_FAULTS)
    out = {}
    for reason, named in reason_faults.items():
        faults = frozenset([named] if isinstance(named, str) else named)
        if unknown := faults - known:
            raise ValueError(f"reason {reason!r}: unknown fault {sorted(unknown)}; known: {sorted(known)}")
        out[reason] = faults
    return out


def _join(truth: pa.Table, outcome: pa.Table) -> tuple[dict[str, Row], int]:
    """Truth and outcome side by side, by `source/key`; samples the pipeline lost count as nothing found."""
    if lacking := [c for c in OUTCOME_COLUMNS if c not in outcome.column_names]:
        raise ValueError(f"outcome lacks the columns {lacking}")
    blank = dict.fromkeys(OUTCOME_COLUMNS)
    seen: dict[str, Row] = {}
    for row in outcome.select(list(OUTCOME_COLUMNS)).to_pylist():
        name = f"{row['source']}/{row['key']}"
        if name in seen:
            raise ValueError(f"outcome: {name} appears twice")
        seen[name] = row
    rows: dict[str, Row] = {}
    absent = 0
    for row in truth.to_pylist():
        name = f"{row['source']}/{row['key']}"
        if name in rows:
            raise ValueError(f"truth: {name} appears twice")
        absent += name not in seen
        rows[name] = {**blank, **seen.get(name, {}), **row}
    return rows, absent


def _pairs(rows: Mapping[str, Row], column: str) -> set[Pair]:
    groups: dict[Any, list[str]] = defaultdict(list)
    for name, row in rows.items():
        if row[column] is not None:
            groups[row[column]].append(name)
    return {pair for members in groups.values() for pair in combinations(sorted(members), 2)}


def _duplicates(rows: Mapping[str, Row]) -> list[FaultScore]:
    """Pairs. Recall of a kind: its (copy, original) pairs; precision: found pairs with such a copy in them."""
    planted, found = _pairs(rows, "duplicate_of"), _pairs(rows, "group_id")
    has_detector = any(r["group_id"] is not None for r in rows.values())
    originals = {r["duplicate_of"]: n for n, r in rows.items() if r["duplicate_of"] and r["fault"] is None}
    out = []
    for kind in DUPLICATE_FAULTS:
        copies = {n for n, r in rows.items() if r["fault"] == kind}
        pairs = {tuple(sorted((n, originals[rows[n]["duplicate_of"]]))) for n in copies}
        reported = {p for p in found if p[0] in copies or p[1] in copies}
        unseen = sum(any(rows[n]["group_id"] is None for n in p) for p in pairs)
        note = f"{unseen} pairs never reached deduplication" if unseen else ""
        hits = len(pairs & found)
        out.append(
            FaultScore(
                fault=kind,
                kind="duplicate",
                planted=len(pairs),
                found=hits,
                flagged=len(reported) if has_detector else None,
                recall=_share(hits, len(pairs)),
                precision=_share(len(reported & planted), len(reported)),
                note=note if has_detector else NO_DETECTOR,
            )
        )
    hits = len(planted & found)
    out.append(
        FaultScore(
            fault="all_duplicates",
            kind="duplicate",
            planted=len(planted),
            found=hits,
            flagged=len(found) if has_detector else None,
            recall=_share(hits, len(planted)),
            precision=_share(hits, len(found)),
            note="all pairs in one group" if has_detector else NO_DETECTOR,
        )
    )
    return out


def _degradations(rows: Mapping[str, Row], reasons: Mapping[str, frozenset[str]]) -> list[FaultScore]:
    out = []
    for fault in DEGRADATION_FAULTS:
        mine = {reason for reason, faults in reasons.items() if fault in faults}
        # A reason that stands for several faults (blur: defocus and motion) is right about any of them.
        covered = frozenset().union(*(reasons[r] for r in mine))
        planted = [r for r in rows.values() if r["fault"] == fault]
        dropped = [r for r in rows.values() if r["keep_filter"] is False and mine & set(r["reasons"] or ())]
        hits = sum(r["fault"] == fault for r in dropped)
        right = sum(r["fault"] in covered for r in dropped)
        otherwise = sum(r["keep_filter"] is False for r in planted) - hits
        note = f"{otherwise} dropped for another reason" if otherwise else ""
        if not mine:
            note = f"{NO_DETECTOR}; {note}" if note else NO_DETECTOR
        out.append(
            FaultScore(
                fault=fault,
                kind="degradation",
                planted=len(planted),
                found=hits,
                flagged=len(dropped) if mine else None,
                recall=_share(hits, len(planted)) if mine else None,
                precision=_share(right, len(dropped)) if mine else None,
                note=note,
            )
        )
    return out


def _corrupt(rows: Mapping[str, Row]) -> list[FaultScore]:
    errors = [r for r in rows.values() if r["status"] == "error"]
    planted = [r for r in rows.values() if r["fault"] == CORRUPT]
    hits = sum(r["fault"] == CORRUPT for r in errors)
    missed = sorted({json.loads(r["fault_params"])["kind"] for r in planted if r["status"] != "error"})
    return [
        FaultScore(
            fault=CORRUPT,
            kind="corrupt",
            planted=len(planted),
            found=hits,
            flagged=len(errors),
            recall=_share(hits, len(planted)),
            precision=_share(hits, len(errors)),
            note=f"not reported: {', '.join(missed)}" if missed else "",
        )
    ]


def _false_drops(rows: Mapping[str, Row]) -> list[FaultScore]:
    """Clean rows and hard negatives that were dropped: by a filter, as an error, or as a copy of something else."""
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows.values():
        if row["fault"] is None:
            by_name[row["hard_negative"] or "clean"].append(row)

    def wrong_merge(row: Row) -> bool:
        if row["dedup_keep"] is not False:
            return False
        keeper = _keeper(rows, row)
        return keeper is None or row["duplicate_of"] is None or keeper["duplicate_of"] != row["duplicate_of"]

    checks: tuple[tuple[str, Callable[[Row], bool]], ...] = (
        ("filter", lambda r: r["keep_filter"] is False),
        ("duplicate", wrong_merge),
        ("error", lambda r: r["status"] == "error"),
    )
    out = []
    for name in sorted(by_name):
        members = by_name[name]
        counts = {label: sum(check(r) for r in members) for label, check in checks}
        dropped = sum(any(check(r) for _, check in checks) for r in members)
        causes: dict[str, int] = defaultdict(int)
        for r in members:
            for reason in (r["reasons"] or ()) if r["keep_filter"] is False else ():
                causes[reason] += 1
        parts = [f"{label} {n}" for label, n in counts.items() if n] + [
            f"{c}: {n}" for c, n in sorted(causes.items())
        ]
        out.append(FaultScore(name, "false_drop", len(members), dropped, note=", ".join(parts)))
    return out


def _keeper(rows: Mapping[str, Row], row: Row) -> Row | None:
    """Keys are unique over all sources of the corpus, so the keeper's key is enough."""
    return next((r for r in rows.values() if r["key"] == row["keeper_key"]), None)


def _plain(text: str) -> str:
    """Letters and digits only, width and case folded: spacing and punctuation are not counted against an OCR."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LN")


def _is_chinese(text: str) -> bool:
    return any("\u4e00" <= c <= "\u9fff" for c in text)


def _ocr(rows: Mapping[str, Row]) -> list[FaultScore]:
    """A string counts as found when all its letters come out in order. Rows that OCR never saw are left out."""
    has_detector = any(r["ocr_text"] is not None for r in rows.values())
    totals = {False: [0, 0, 0], True: [0, 0, 0]}
    for row in rows.values():
        read = None if row["ocr_text"] is None else _plain(row["ocr_text"])
        for text in row["text_truth"]:
            count = totals[_is_chinese(text)]
            if read is None:
                count[2] += 1
                continue
            count[0] += 1
            count[1] += _plain(text) in read
    out = []
    for chinese, (planted, found, unread) in totals.items():
        note = f"{unread} strings on pictures that were not read" if unread else ""
        out.append(
            FaultScore(
                fault="text_zh" if chinese else "text_en",
                kind="ocr",
                planted=planted,
                found=found,
                recall=_share(found, planted),
                note=note if has_detector else NO_DETECTOR,
            )
        )
    return out


def to_json(scores: list[FaultScore]) -> str:
    """The scores as a JSON array of objects."""
    return json.dumps([asdict(s) for s in scores], ensure_ascii=False, indent=1)


def to_table(scores: list[FaultScore]) -> Table:
    """A table for the terminal: faults first, then what was dropped wrongly, then text."""
    from rich.table import Table

    table = Table(title="Planted truth against this run (measured)")
    table.add_column("fault", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    for name in ("planted", "found", "recall", "precision"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold", min_width=24)
    kind = None
    for s in scores:
        if kind not in (None, s.kind):
            table.add_section()
        kind = s.kind
        found = f"{s.found} dropped" if s.kind == "false_drop" else str(s.found)
        numbers = ["-" if v is None else f"{v:.2f}" for v in (s.recall, s.precision)]
        style = "yellow" if s.note.startswith(NO_DETECTOR) else None
        table.add_row(
            s.fault.replace("_", " "),
            "must stay" if s.kind == "false_drop" else s.kind,
            str(s.planted),
            found,
            *numbers,
            s.note,
            style=style,
        )
    return table
