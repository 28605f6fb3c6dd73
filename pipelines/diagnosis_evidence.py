"""What the training data says about a concept that fails: is it there, is it right, is it drawn?"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.curation.active.causes import BAD_DATA, Evidence, Rules, cause_of
from zcurate.curation.active.choosing import Concept
from zcurate.curation.active.mentions import Mentions
from zcurate.curation.active.ranking import Finding
from zcurate.curation.active.review.overlay import corrected, read_corrections
from zcurate.curation.active.testing import FAILS, PASSES
from zcurate.curation.errors import SampleError
from zcurate.curation.export.formats import extension_of
from zcurate.curation.store import read_sources

from .context import StageContext
from .probe_pictures import slug
from .view import View, open_view

#: Samples of a concept whose pictures are checked, at most; and of all concepts that pass, together.
CHECKED = 40
BASE_CHECKED = 200
#: Samples of a poisoned concept that are all checked, at most; and shown of any concept.
MOST_LISTED = 5_000
NEIGHBORS = 8
_PLACE = ("source", "uri", "container", "member", "offset", "length")
#: Columns in which samples name what they show, and whether they hold lists.
_TEXTS = ("samples.text", "captions.en_tags", "captions.zh_tags", "captions.en_short", "captions.zh_short")
#: As search calls a sample of low quality; see `search_batch.LOW_QUALITY`.
_QUALITY = {"quality.blur": 0.8, "quality.noise": 0.8, "quality.jpeg_artifacts": 0.8}
#: Mean 1; with a sampling plan, the first stage's keep probability over its mean.
_WEIGHT = "weights.weight"


@dataclass
class _Row:
    sample_id: bytes
    text: str
    low_quality: bool | None
    weight: float | None


class TrainingData:
    """The kept samples of a dataset, as far as they say what they show.

    Args:
        names: of all concepts, so that a name put together from others is told from them: see `Mentions`.
    """

    def __init__(self, url: str, names: Sequence[str] = ()):
        self.url, self._names = url, tuple(names)

    @cached_property
    def view(self) -> View:
        return open_view(self.url)

    @cached_property
    def rows(self) -> list[_Row]:
        view = self.view
        present = [
            c for c in (*_TEXTS, *_QUALITY, _WEIGHT) if c.startswith("samples.") or view.has(c.split(".")[0])
        ]
        found, corrections = [], read_corrections(view.dataset).samples
        for _, table in view.selected(present):
            table = corrected(table.select(["sample_id", *present]), corrections, "captions.")
            for row in table.to_pylist():
                found.append(_Row(row["sample_id"], _text(row), _low(row), row.get(_WEIGHT)))
        return found

    def counted(self, concepts: Sequence[Concept]) -> list[Concept]:
        """Concepts with the number of their samples."""
        return [replace(c, samples=len(self.claiming(c))) for c in concepts]

    @cached_property
    def mentions(self) -> Mentions:
        return Mentions((r.text for r in self.rows), self._names)

    def claiming(self, concept: Concept) -> list[int]:
        """Rows whose texts name the concept."""
        return self.mentions.of(concept)

    def write(self, concept: Concept, rows: Sequence[int], folder: Path) -> dict[str, bytes]:
        """Original bytes of samples, each with the concept as what it is to be judged by. Returns file -> sample id."""
        ids = [self.rows[i].sample_id for i in rows]
        where = folder / slug(concept.name)
        where.mkdir(parents=True, exist_ok=True)
        there = {p.stem: p for p in where.iterdir() if p.suffix != ".json" and not p.name.startswith(".")}
        missing = [i for i in ids if i.hex() not in there]
        for sample_id, data in self._originals(missing).items():
            suffix = extension_of(None, data)
            path = where / f"{sample_id.hex()}.{'jpg' if suffix == 'bin' else suffix}"
            sidecar = {"prompt": concept.name, "concept": concept.name}
            path.with_suffix(".json").write_text(json.dumps(sidecar, ensure_ascii=False), encoding="utf-8")
            part = path.with_name(f".{path.name}.part")
            part.write_bytes(data)
            os.replace(part, path)
            there[sample_id.hex()] = path
        return {f"{where.name}/{there[i.hex()].name}": i for i in ids if i.hex() in there}

    def content_ids(self) -> set[bytes]:
        """Of all files that were profiled, dropped ones included; empty without a profile."""
        if not self.view.has("profile"):
            return set()
        return {
            i
            for _, t in self.view.tables(["profile.content_id"])
            for i in t["profile.content_id"].to_pylist()
            if i
        }

    def examples(self, concept: Concept, count: int) -> list[tuple[str, bytes]]:
        """(sample id in hex, original bytes) of a few samples that name the concept."""
        ids = [self.rows[i].sample_id for i in spread(self.claiming(concept), count)]
        return [(i.hex(), data) for i, data in self._originals(ids).items()]

    def _originals(self, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Sample id -> bytes, of those that can be read, in the order given."""
        if not ids:
            return {}
        blobs = StageContext(sources=read_sources(self.view.dataset)).blobs()
        wanted, found = set(ids), {}
        wanted_ids = pa.array(list(wanted), pa.binary(16))
        for _, table in self.view.tables([f"samples.{c}" for c in _PLACE]):
            here = pc.is_in(table["sample_id"].cast(pa.binary(16)), value_set=wanted_ids)
            for row in table.filter(here).to_pylist():
                if row["live"]:
                    try:
                        found[row["sample_id"]] = blobs.read(*(row[f"samples.{c}"] for c in _PLACE))
                    except SampleError:
                        continue
        return {i: found[i] for i in ids if i in found}


Judging = Callable[[Path], Mapping[str, bool | None]]


def explained(
    findings: Sequence[Finding],
    data: TrainingData,
    literal: Mapping[str, Sequence[bool]],
    folder: Path,
    judging: Judging | None,
) -> list[Finding]:
    """Findings with causes and the samples behind them, for those that fail.

    Samples that say they show a poisoned concept and do not are listed in `wrong/CONCEPT.txt` beside `folder`, for
    `zcurate prune --ids`.

    Args:
        literal: concept -> of its failing pictures, whether each shows a part of the name.
        folder: for the samples that are checked.
        judging: verdicts on what lies in a folder, file -> passes; None where nobody can tell.
    """
    passing = [f.concept for f in findings if f.status == PASSES]
    failing = [f.concept for f in findings if f.status == FAILS]
    passes = {c.name for c in passing}
    usual = float(median([c.samples for c in passing])) if passing else 0.0
    lows = [r.low_quality for r in data.rows if r.low_quality is not None]
    counts = _checked(data, passing, failing, folder, judging) if judging else {}
    base = [counts[c.name] for c in passing if c.name in counts]
    out = []
    for finding in findings:
        concept = finding.concept
        if finding.status != FAILS:
            out.append(finding)
            continue
        rows = data.claiming(concept)
        low = [data.rows[i].low_quality for i in rows if data.rows[i].low_quality is not None]
        checked, wrong = counts.get(concept.name, (0, 0))
        told = literal.get(concept.name, ())
        evidence = Evidence(
            claimed=len(rows),
            expected=max(usual, concept.prior * len(data.rows)),
            checked=checked,
            wrong=wrong,
            base_checked=sum(c for c, _ in base),
            base_wrong=sum(w for _, w in base),
            low_quality=float(np.mean(low)) if low else None,
            base_low_quality=float(np.mean(lows)) if lows else None,
            drawn_share=_drawn(data, rows),
            literal=sum(told),
            failed=len(told),
            parts_pass=all(p in passes for p in concept.parts) if concept.parts else None,
        )
        ids = tuple(data.rows[i].sample_id.hex() for i in spread(rows, NEIGHBORS))
        cause = cause_of(evidence, Rules())
        out.append(replace(finding, cause=cause, neighbors=ids, evidence=evidence))
    if judging:
        _list_wrong(data, [f.concept for f in out if f.cause and f.cause.name == BAD_DATA], folder, judging)
    return out


def _checked(
    data: TrainingData, passing: Sequence[Concept], failing: Sequence[Concept], folder: Path, judging: Judging
) -> dict[str, tuple[int, int]]:
    """Concept -> (samples told, samples that do not show it), of a few of each; those nobody can tell count nowhere."""
    each = max(1, BASE_CHECKED // max(1, len(passing)))
    files: dict[str, list[str]] = {}
    for concepts, most in ((passing, each), (failing, CHECKED)):
        for concept in concepts:
            files[concept.name] = list(data.write(concept, spread(data.claiming(concept), most), folder))
    if not any(files.values()):
        return {}
    verdicts = judging(folder)
    return {
        name: (sum(verdicts.get(f) is not None for f in mine), sum(verdicts.get(f) is False for f in mine))
        for name, mine in files.items()
    }


def _list_wrong(data: TrainingData, concepts: Sequence[Concept], folder: Path, judging: Judging) -> None:
    if not concepts:
        return
    files = {c.name: data.write(c, data.claiming(c)[:MOST_LISTED], folder) for c in concepts}
    verdicts = judging(folder)
    lists = folder.parent / "wrong"
    lists.mkdir(parents=True, exist_ok=True)
    for name, mine in files.items():
        wrong = [i.hex() for f, i in mine.items() if verdicts.get(f) is False]
        (lists / f"{slug(name)}.txt").write_text("".join(f"{i}\n" for i in wrong), encoding="utf-8")


def _drawn(data: TrainingData, rows: Sequence[int]) -> float | None:
    """Mean weight of the rows over that of all."""
    weights = [r.weight for r in data.rows if r.weight is not None]
    own = [data.rows[i].weight for i in rows if data.rows[i].weight is not None]
    return float(np.mean(own) / np.mean(weights)) if own and weights and np.mean(weights) > 0 else None


def spread(rows: Sequence[int], most: int) -> list[int]:
    """At most so many, evenly over all."""
    if len(rows) <= most:
        return list(rows)
    return [rows[i] for i in np.linspace(0, len(rows) - 1, most).round().astype(int)]


def _text(row: dict[str, Any]) -> str:
    parts: list[str] = []
    for column in _TEXTS:
        value = row.get(column)
        parts += value if isinstance(value, list) else [value] if value else []
    return " | ".join(parts)


def _low(row: dict[str, Any]) -> bool | None:
    values = [(row[c], limit) for c, limit in _QUALITY.items() if row.get(c) is not None]
    return any(v > limit for v, limit in values) if values else None
