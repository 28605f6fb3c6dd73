"""`zcurate caption-report`: the captions of a dataset measured shard by shard, and rows for review."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zcurate.captioner.caption_measures import CaptionedRow, measure
from zcurate.captioner.caption_report import Tally, Thresholds
from zcurate.captioner.checks_lettering import missing, unsupported
from zcurate.captioner.engines import CaptionRequest
from zcurate.captioner.known_facts import known_facts
from zcurate.captioner.schema import ARROW_SCHEMA, LANGUAGES
from zcurate.curation.errors import DatasetError
from zcurate.curation.stage import ERROR, OK

from .caption_clip import ClipScorer
from .runlog import all_records, latest_record
from .stages.caption import metadata_of
from .view import View, open_view

GROUP = "captions"
#: Kinds of rows that are never mixed: what a model wrote, and what was filled in for want of one.
MODEL, PLACEHOLDER = "model", "placeholder"

_EMBEDDED = ("title", "caption", "keywords", "place", "taken_at", "creator")
_EXAMPLES = 12
#: Strings named per example.
_LISTED = 8
REVIEW_SCHEMA = pa.schema(
    [
        ("sample_id", pa.binary(16)),
        ("shard", pa.string()),
        ("key", pa.string()),
        ("reasons", pa.list_(pa.struct([("name", pa.string()), ("value", pa.float64())]))),
    ]
)


@dataclass
class Example:
    """A row that is sent to review, for the page. Texts are untrusted."""

    sample_id: str
    key: str
    image: bytes | None
    reasons: dict[str, float]
    en_long: str
    zh_long: str
    read: str
    unquoted: tuple[str, ...] = ()  # of `read`, what a long caption does not hold
    invented: tuple[str, ...] = ()  # quoted, and in nothing that was read or came with the picture


@dataclass
class CaptionReport:
    """One dataset (or one folder of captions in it).

    Attributes:
        dataset, folder: what was measured.
        tallies: by kind of row, see MODEL and PLACEHOLDER.
        statuses: rows by what became of them: ok, error, not_selected, and `none` where the stage did not run.
        failures: reason -> rows that ended without captions.
        speed: images and tokens per second over all runs of the stage; None where none is recorded.
        clip: why there are no CLIPScores; "" where there are.
        second_reader: whether there is an OCR stage's reading to hold captions against.
        review: rows that did not pass a threshold.
        reasons: test -> rows.
    """

    dataset: str
    folder: str
    tallies: dict[str, Tally] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    speed: dict[str, float] | None = None
    clip: str = ""
    second_reader: bool = False
    review: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    truth_rows: int = 0
    truth_unused: int = 0
    examples: list[Example] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "folder": self.folder,
            "rows": dict(self.statuses),
            "failures": dict(self.failures.most_common()),
            "speed": self.speed,
            "clip": self.clip,
            "second_reader": self.second_reader,
            "truth": {"rows": self.truth_rows, "unused": self.truth_unused},
            "review": {"rows": self.review, "reasons": dict(self.reasons.most_common())},
            **{kind: tally.summary() for kind, tally in sorted(self.tallies.items())},
        }


def report(
    url: str,
    folder: str | None = None,
    truth: Mapping[str, Sequence[str]] | None = None,
    thresholds: Thresholds | None = None,
    review: Path | None = None,
) -> CaptionReport:
    """Measure all captions of a dataset. Holds one shard at a time.

    Args:
        folder: another folder of captions than the newest run's, such as `captions/1a2b3c4d5e6f`.
        truth: sample id (hex), key, path or file name -> strings in the picture; see `caption_truth`.
        review: file for the rows that do not pass, written anew: Parquet with reasons, or `.txt` with ids alone.

    Raises:
        DatasetError: no captions, or no such folder.
    """
    view = open_view(url)
    path = _folder(view, folder)
    found = CaptionReport(url, path, second_reader=view.has("ocr"))
    limits = thresholds or Thresholds()
    clip = ClipScorer.open(view)
    found.clip = clip if isinstance(clip, str) else ""
    used: set[str] = set()
    writer = _Review(review) if review else None
    try:
        for shard, rows in _shards(view, path):
            rejected = []
            scores = None if isinstance(clip, str) else clip.scores(view, shard, rows)
            for i, row in enumerate(rows):
                _count(found, row)
                known = _truth(truth or {}, row, used)
                if row["status"] != OK:
                    continue
                measures = measure(_captioned(row, known))
                if scores is not None and scores[i]:
                    for name, value in scores[i].items():
                        measures.values[name] = [value]
                tally = found.tallies.setdefault(
                    PLACEHOLDER if row["captions"].get("placeholder") else MODEL, Tally()
                )
                tally.add(measures, row["captions"])
                if row["captions"].get("placeholder"):
                    continue  # nobody is asked to review what no model wrote
                reasons = limits.reasons(measures)
                if reasons:
                    found.review += 1
                    found.reasons.update(list(reasons))
                    rejected.append(_review_row(shard, row, reasons))
                    _example(found, row, reasons, known)
            if writer and rejected:
                writer.add(rejected)
    finally:
        if writer:
            writer.close()
    found.speed = _speed(view, path, found)
    found.truth_rows, found.truth_unused = len(used), len(set(truth or {}) - used)
    return found


def _folder(view: View, folder: str | None) -> str:
    """The folder asked for; else the recipe's as it would run today, else what the newest run wrote."""
    record = latest_record(view.dataset)
    recorded = record.folders.get(GROUP) if record else None
    paths = [folder] if folder else [p for p in (view.plan.path(GROUP), recorded) if p]
    for path in paths:
        if view.dataset.index(path).metas:
            return path
    there = [p.strip("/") for p in view.dataset.groups().get(GROUP, [])]
    raise DatasetError(
        f"{view.dataset.storage.url}: no captions in {paths[0] if paths else 'the newest run'}; "
        + (f"there are {', '.join(there)}" if there else "run the caption stage first")
    )


def _shards(view: View, path: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    index = view.dataset.index(path)
    wanted = [f"samples.{c}" for c in ("key", "uri", "member", "text", "metadata")]
    wanted += ["ocr.lines", "ocr.engine", "ocr._status"] if view.has("ocr") else []
    wanted += [f"metadata.{c}" for c in _EMBEDDED] if view.has("metadata") else []
    wanted += ["thumbs.thumb"] if view.has("thumbs") else []
    for shard, table in view.tables(wanted):
        if shard not in index.metas:
            continue
        stored = view.dataset.read(path, shard)
        marks = stored.column_names
        columns = [c for c in ARROW_SCHEMA.names if c in marks]
        captions = stored.select(columns).to_pylist()
        live = table.column("live").to_pylist()
        statuses, classes, messages = (
            stored.column(name).to_pylist() for name in ("_status", "_error_class", "_error_message")
        )
        rows = table.to_pylist()
        yield (
            shard,
            [
                row | {"captions": c, "status": s, "error": e, "message": m}
                for row, c, s, e, m, alive in zip(
                    rows, captions, statuses, classes, messages, live, strict=True
                )
                if alive
            ],
        )


def _count(found: CaptionReport, row: Mapping[str, Any]) -> None:
    found.statuses[row["status"] or "none"] += 1
    if row["status"] == ERROR:
        # Rejected rows begin their message with the reason; anything else counts by its class.
        word = (row["message"] or "").partition(":")[0]
        typed = row["error"] in ("Rejected", "ChatError", "AnswerError") and word.isidentifier()
        found.failures[word if typed else row["error"] or "unknown"] += 1


def _captioned(row: Mapping[str, Any], truth: Sequence[str] | None) -> CaptionedRow:
    read = None
    if row.get("ocr._status") == OK:
        read = [line["text"] for line in row["ocr.lines"] or ()]
    request = CaptionRequest(
        sample_id=row["sample_id"],
        image=b"",
        width_px=0,
        height_px=0,
        text=row["samples.text"],
        metadata=metadata_of(row["samples.metadata"]),
        key=row["samples.key"] or "",
        embedded={c: row.get(f"metadata.{c}") for c in _EMBEDDED},
    )
    return CaptionedRow(row["captions"], read, truth, known_facts(request))


def _truth(
    truth: Mapping[str, Sequence[str]], row: Mapping[str, Any], used: set[str]
) -> Sequence[str] | None:
    paths = [row[f"samples.{c}"] for c in ("key", "member", "uri") if row[f"samples.{c}"]]
    names = [row["sample_id"].hex(), *paths, *(PurePosixPath(p).name for p in paths)]
    for name in (*names, *(PurePosixPath(p).stem for p in paths)):
        if name in truth:
            used.add(name)
            return truth[name]
    return None


class _Review:
    """Rows for review, written as they are found: Parquet, or with the ending `.txt` one id a line."""

    def __init__(self, path: Path):
        path = path.expanduser()
        self._text = path.open("w", encoding="ascii") if path.suffix == ".txt" else None
        self._table = None if self._text else pq.ParquetWriter(path, REVIEW_SCHEMA)

    def add(self, rows: list[dict[str, Any]]) -> None:
        if self._text:
            self._text.writelines(f"{row['sample_id'].hex()}\n" for row in rows)
        else:
            self._table.write_table(pa.Table.from_pylist(rows, schema=REVIEW_SCHEMA))

    def close(self) -> None:
        (self._text or self._table).close()


def _review_row(shard: str, row: Mapping[str, Any], reasons: Mapping[str, float]) -> dict[str, Any]:
    listed = [{"name": n, "value": v} for n, v in sorted(reasons.items())]
    return {"sample_id": row["sample_id"], "shard": shard, "key": row["samples.key"], "reasons": listed}


def _example(
    found: CaptionReport,
    row: Mapping[str, Any],
    reasons: Mapping[str, float],
    truth: Sequence[str] | None,
) -> None:
    """Keeps a few rows, the worst of each test first come."""
    if len(found.examples) >= _EXAMPLES or all(
        sum(name in e.reasons for e in found.examples) >= 3 for name in reasons
    ):
        return
    captioned, captions = _captioned(row, truth), row["captions"]
    known = list(truth if truth is not None else captioned.ocr_stage or ())
    longs = [captions.get(f"{code}_long") or "" for code in LANGUAGES]
    allowed = [*captioned.facts.fields.values()]
    allowed += [n for e in captions.get("entities") or () for n in (e["en"], e["zh"]) if n]
    evidence = [*known, *(captioned.ocr_stage or ())]
    found.examples.append(
        Example(
            row["sample_id"].hex(),
            row["samples.key"] or "",
            row.get("thumbs.thumb"),
            dict(reasons),
            *longs,
            " / ".join(captioned.ocr_stage or ()),
            tuple(dict.fromkeys(t for text in longs if text for t in missing(text, known)))[:_LISTED],
            tuple(dict.fromkeys(t for text in longs for t in unsupported(text, evidence, allowed)))[:_LISTED],
        )
    )


def _speed(view: View, path: str, found: CaptionReport) -> dict[str, float] | None:
    """Over the runs that wrote this folder: rows asked about, and the time from the first shard to the last."""
    rows, seconds = 0, 0.0
    for record in all_records(view.dataset):
        stage = record.stages.get("caption", {}) if record.folders.get(GROUP) == path else {}
        rows += int(stage.get("rows_computed", 0))
        seconds += float(stage.get("wall_seconds", 0.0))
    if not rows or seconds <= 0:
        return None
    captioned = sum(t.rows for t in found.tallies.values())
    tokens = sum(t.tokens_out for t in found.tallies.values())
    return {
        "images": rows,
        "seconds": seconds,
        "images_per_s": rows / seconds,
        # Rows taken over from an earlier folder cost nothing here, so the rate goes by what a row takes.
        "tokens_out_per_s": tokens / captioned * rows / seconds if captioned else 0.0,
    }
