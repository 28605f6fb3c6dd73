"""What the training data says about a concept that fails: is it there, is it right, is it drawn?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from zcurate.curation.active.causes import Evidence, Rules, cause_of
from zcurate.curation.active.choosing import Concept
from zcurate.curation.active.judging import judge
from zcurate.curation.active.prompting import naming
from zcurate.curation.active.ranking import Finding
from zcurate.curation.active.testing import FAILS, PASSES

from .element_checkers import verifier_of
from .view import View, open_view

if TYPE_CHECKING:
    from .diagnosing import Judged, Options

#: Samples of a concept whose pictures are checked, at most; and of all concepts that pass, together.
CHECKED = 40
BASE_CHECKED = 200
#: Columns in which samples name what they show, and whether they hold lists.
_TEXTS = ("samples.text", "captions.en_tags", "captions.zh_tags", "captions.en_short", "captions.zh_short")
#: As search calls a sample of low quality; see `search_batch.LOW_QUALITY`.
_QUALITY = {"quality.blur": 0.8, "quality.noise": 0.8, "quality.jpeg_artifacts": 0.8}
_WEIGHT = "weights.keep_probability"


@dataclass
class _Row:
    sample_id: bytes
    text: str
    low_quality: bool | None
    weight: float | None


class TrainingData:
    """The kept samples of a dataset, as far as they say what they show."""

    def __init__(self, url: str):
        self.url = url

    @cached_property
    def view(self) -> View:
        return open_view(self.url)

    @cached_property
    def rows(self) -> list[_Row]:
        view = self.view
        present = [
            c for c in (*_TEXTS, *_QUALITY, _WEIGHT) if c.startswith("samples.") or view.has(c.split(".")[0])
        ]
        found = []
        for _, table in view.selected(present):
            for row in table.select(["sample_id", *present]).to_pylist():
                found.append(_Row(row["sample_id"], _text(row), _low(row), _weight(row)))
        return found

    def counted(self, concepts: Sequence[Concept]) -> list[Concept]:
        """Concepts with the number of their samples."""
        return [replace(c, samples=len(self.claiming(c))) for c in concepts]

    def claiming(self, concept: Concept) -> list[int]:
        """Rows whose texts name the concept."""
        if not hasattr(self, "_by_text"):
            self._by_text: dict[str, list[int]] = {}
            for i, row in enumerate(self.rows):
                self._by_text.setdefault(row.text, []).append(i)
        return sorted(i for text in naming(concept, self._by_text) for i in self._by_text[text])

    def checked(self, concept: Concept, rows: Sequence[int], checkers: Sequence[Any]) -> tuple[int, int]:
        """(pictures checked, pictures that do not show the concept) of rows; those nobody can tell count nowhere."""
        from zcurate.curation.profile.decode import decode

        from .stages.judge import Asked

        asked = Asked(concept.name, concept.name, ())
        told = wrong = 0
        for data in self._originals([self.rows[i].sample_id for i in rows]):
            passes = judge(decode(data).rgb, asked.prompt, asked.claims, checkers, asked.matters).passes
            told += passes is not None
            wrong += passes is False
        return told, wrong

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
        ids = [self.rows[i].sample_id for i in _spread(self.claiming(concept), count)]
        return [(i.hex(), data) for i, data in zip(ids, self._originals(ids), strict=True)]

    def _originals(self, ids: Sequence[bytes]) -> list[bytes]:
        from zcurate.curation.store import read_sources

        from .context import StageContext

        columns = ["source", "uri", "container", "member", "offset", "length"]
        blobs = StageContext(sources=read_sources(self.view.dataset)).blobs()
        wanted, found = set(ids), {}
        for _, table in self.view.tables([f"samples.{c}" for c in columns]):
            for row in table.to_pylist():
                if row["sample_id"] in wanted and row["live"]:
                    found[row["sample_id"]] = blobs.read(*(row[f"samples.{c}"] for c in columns))
        return [found[i] for i in ids]


def explained(
    findings: Sequence[Finding], data: TrainingData, judged: Sequence[Judged], o: Options
) -> list[Finding]:
    """Findings with causes and the samples behind them, for those that fail."""
    checkers = [verifier_of(o.judge["verifier"])] if o.judge.get("verifier") else []
    passing = [f.concept for f in findings if f.status == PASSES]
    usual = float(median([c.samples for c in passing])) if passing else 0.0
    base_checked = base_wrong = 0
    if checkers:
        each = max(1, BASE_CHECKED // max(1, len(passing)))
        for concept in passing:
            told, wrong = data.checked(concept, _spread(data.claiming(concept), each), checkers)
            base_checked, base_wrong = base_checked + told, base_wrong + wrong
    passes = {f.concept.name for f in findings if f.status == PASSES}
    lows = [r.low_quality for r in data.rows if r.low_quality is not None]
    out = []
    for finding in findings:
        if finding.status != FAILS:
            out.append(finding)
            continue
        rows = data.claiming(finding.concept)
        checked, wrong = (
            data.checked(finding.concept, _spread(rows, CHECKED), checkers) if checkers else (0, 0)
        )
        low = [data.rows[i].low_quality for i in rows if data.rows[i].low_quality is not None]
        told = [j.row["literal"] for j in judged if j.row["concept"] == finding.concept.name]
        told = [x for x in told if x is not None]
        parts = finding.concept.parts
        evidence = Evidence(
            claimed=len(rows),
            expected=max(usual, finding.concept.prior * len(data.rows)),
            checked=checked,
            wrong=wrong,
            base_checked=base_checked,
            base_wrong=base_wrong,
            low_quality=float(np.mean(low)) if low else None,
            base_low_quality=float(np.mean(lows)) if lows else None,
            drawn_share=_drawn(data, rows),
            literal=sum(told),
            failed=len(told),
            parts_pass=all(p in passes for p in parts) if parts else None,
        )
        ids = tuple(data.rows[i].sample_id.hex() for i in _spread(rows, 8))
        out.append(replace(finding, cause=cause_of(evidence, Rules()), neighbors=ids))
    return out


def _drawn(data: TrainingData, rows: Sequence[int]) -> float | None:
    """Mean weight of the rows over that of all."""
    weights = [r.weight for r in data.rows if r.weight is not None]
    own = [data.rows[i].weight for i in rows if data.rows[i].weight is not None]
    return float(np.mean(own) / np.mean(weights)) if own and weights and np.mean(weights) > 0 else None


def _spread(rows: Sequence[int], most: int) -> list[int]:
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


def _weight(row: dict[str, Any]) -> float | None:
    """Keep probability of the first stage of the sampling plan."""
    value = row.get(_WEIGHT)
    if isinstance(value, list):
        value = value[0] if value else None
    return None if value is None else float(value)
