"""What a report shows: plain values only, so that anything can fill it.

Every text is untrusted and is escaped when rendered; every image is decoded and re-encoded small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One image as shown in the report.

    Attributes:
        id: sample id in hex.
        image: encoded image of any size (normally the stored thumbnail), or None.
        label: what names it for a person, e.g. source and key.
        text: alt text; read out by screen readers.
        nsfw: blurred until clicked.
    """

    id: str
    image: bytes | None = None
    label: str = ""
    text: str = ""
    nsfw: bool = False


@dataclass(frozen=True)
class FunnelStep:
    """Rows left after a step; `note` says in a few words what the step is."""

    name: str
    rows: int
    note: str = ""


@dataclass(frozen=True)
class Threshold:
    """A filter rule on one signal: rows on the `drops` side of `value` are dropped.

    `source` names the source a per-source override holds for (None: all sources). `alone` is False
    when the rule has other conditions too: then its line is drawn, but no side is said to be dropped.
    """

    value: float
    drops: Literal["below", "above"]
    source: str | None = None
    alone: bool = True


@dataclass(frozen=True)
class Histogram:
    """Distribution of one signal over readable rows.

    Attributes:
        edges: n + 1 ascending bin edges, in `unit`.
        counts: n row counts.
        below, above: rows outside the edges (tails that would flatten the picture, zeros on a log axis).
        missing: rows without a finite value.
        log_x: bins are even in log; all edges > 0.
        dropped: rows that the rules on this signal drop, if known.
    """

    signal: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    unit: str = ""
    meaning: str = ""
    thresholds: tuple[Threshold, ...] = ()
    below: int = 0
    above: int = 0
    missing: int = 0
    log_x: bool = False
    dropped: int | None = None

    @property
    def total(self) -> int:
        """Rows with a value."""
        return sum(self.counts) + self.below + self.above


@dataclass(frozen=True)
class Borderline:
    """A sample next to a threshold and its value of the signal; None for a rule that compares no number."""

    sample: Sample
    value: float | None


@dataclass(frozen=True)
class RuleSamples:
    """Samples on both sides of one rule, closest to its threshold first.

    `rule` is the text of the rule; `dropped_rows` how many rows it drops in all. A rule that compares
    no number has no threshold: `dropped` are some of what it drops, `kept` is empty.
    """

    rule: str
    signal: str
    threshold: float | None
    dropped: tuple[Borderline, ...] = ()
    kept: tuple[Borderline, ...] = ()
    dropped_rows: int | None = None
    unit: str = ""


@dataclass(frozen=True)
class DuplicateMember:
    """A dropped member: similarity to the keeper (cosine, None if identical by hash) and the reason."""

    sample: Sample
    similarity: float | None
    reason: str


@dataclass(frozen=True)
class DuplicateGroup:
    """A group of duplicates; `size` counts the keeper and all members, shown or not."""

    keeper: Sample
    members: tuple[DuplicateMember, ...]
    size: int


@dataclass(frozen=True)
class CaptionCard:
    """Captions of one sample. `strings`: texts found in the image by OCR."""

    sample: Sample
    en: str = ""
    zh: str = ""
    tags: tuple[str, ...] = ()
    strings: tuple[str, ...] = ()
    engine: str = ""
    placeholder: bool = False


@dataclass(frozen=True)
class ConceptShare:
    """Share of a concept, 0..1: by row count before, by sampling weight after balancing."""

    concept: str
    before: float
    after: float


@dataclass(frozen=True)
class Balance:
    """Concept coverage. `effective_sample_size` = (sum w)^2 / sum w^2 over `rows` selected rows.

    `coverage`: numbers of `zcurate.graph.coverage.coverage` and the `stage` of the sampling plan they are of.
    """

    concepts: tuple[ConceptShare, ...]
    rows: int
    effective_sample_size: float
    distinct_concepts: int | None = None
    coverage: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ErrorClass:
    """Quarantined rows of one error class; `examples` are (file, message) pairs."""

    name: str
    stage: str
    count: int
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class StageTiming:
    """One stage of the run. `seconds` is wall time in which the stage had work; `engine` what computed it."""

    stage: str
    rows: int
    seconds: float
    engine: str = ""
    version: str = ""
    errors: int = 0
    reused: int = 0


@dataclass(frozen=True)
class FaultScore:
    """Measured against planted truth.

    Attributes:
        fault: what was planted, or what must not be dropped.
        kind: what sort of line this is, e.g. duplicate, degradation, must stay.
        planted: cases there were; `found` of them were found (for `must stay`: wrongly dropped).
        precision, recall: in 0..1; None where they do not apply.
        note: what a reader must know, e.g. "no detector".
    """

    fault: str
    kind: str
    planted: int
    found: int
    precision: float | None = None
    recall: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Median:
    """Median of one signal over the readable rows of a source; None where no row has a value."""

    signal: str
    value: float | None
    unit: str = ""


@dataclass(frozen=True)
class SourceLine:
    """What became of the rows of one source. Every row is in exactly one of the counts below `rows`.

    Attributes:
        kept: kept by every decision, without an error.
        errors: ended in an error of some stage.
        dropped: by a rule; `reasons` are (rule, rows), most first, a row may have several.
        duplicates, sampled_out: None where no stage of the recipe decides that.
        pending: not decided yet.
        ai_declared: share of files that say themselves that they are AI-made; None if unknown.
        medians: the same signals in every line.
    """

    source: str
    rows: int
    kept: int
    errors: int = 0
    dropped: int = 0
    duplicates: int | None = None
    sampled_out: int | None = None
    pending: int = 0
    reasons: tuple[tuple[str, int], ...] = ()
    ai_declared: float | None = None
    medians: tuple[Median, ...] = ()


@dataclass(frozen=True)
class DrawnSheet:
    """Pictures that a model drew, as one sheet of rows of prompts.

    Attributes:
        image: encoded sheet.
        href: the sheet's file, relative to the page.
        model: name and digest of what drew it.
        note: what a reader must know of it, such as that the model is untrained.
    """

    image: bytes
    href: str
    prompts: tuple[str, ...]
    model: str
    note: str = ""


@dataclass(frozen=True)
class ReportData:
    """Everything in a report. Empty parts are left out of the page.

    Attributes:
        name: dataset name.
        recipe: recipe name or file.
        created: date and time as text (the renderer reads no clock).
        facts: (label, value) pairs for the header, e.g. ("recipe hash", "ab12...").
        summary: one or two sentences under the title.
        gallery: some exported samples, shown under the title (sensitive ones are skipped).
        funnel: from ingested to exported, in order.
        drop_reasons: (reason, rows), a row may have several.
        sources: one line per source.
        duplicate_groups_total: groups with more than one member in the dataset.
    """

    name: str
    recipe: str = ""
    created: str = ""
    summary: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    gallery: tuple[Sample, ...] = ()
    funnel: tuple[FunnelStep, ...] = ()
    drop_reasons: tuple[tuple[str, int], ...] = ()
    sources: tuple[SourceLine, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    rules: tuple[RuleSamples, ...] = ()
    duplicates: tuple[DuplicateGroup, ...] = ()
    duplicate_groups_total: int | None = None
    captions: tuple[CaptionCard, ...] = ()
    balance: Balance | None = None
    errors: tuple[ErrorClass, ...] = ()
    timings: tuple[StageTiming, ...] = ()
    faults: tuple[FaultScore, ...] = ()
    drawn: DrawnSheet | None = None


#: An axis turns logarithmic when the top of the range is this many times the median.
_HEAVY_TAIL_RATIO = 12.0
_TAIL_QUANTILE = 0.005


def histogram_of(
    signal: str,
    values: Sequence[float] | np.ndarray,
    *,
    unit: str = "",
    meaning: str = "",
    thresholds: tuple[Threshold, ...] = (),
    bins: int = 44,
    log_x: bool | None = None,
    dropped: int | None = None,
) -> Histogram:
    """Bin the values of a signal.

    The axis spans the 0.5% to 99.5% quantiles, widened to show the thresholds; rows outside are
    counted in `below` and `above`. With `log_x` None the axis is logarithmic for heavy-tailed
    positive signals.

    Args:
        values: shape [rows]; NaN, infinite and masked values count as missing.
        dropped: rows that the rules drop; None: counted from `thresholds` without a source.
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    finite = array[np.isfinite(array)]
    missing = int(array.size - finite.size)
    if dropped is None and thresholds:
        dropped = _count_dropped(finite, thresholds)
    if not finite.size:
        return Histogram(
            signal, (0.0, 1.0), (0,), unit, meaning, thresholds, missing=missing, dropped=dropped
        )
    marks = [t.value for t in thresholds if np.isfinite(t.value)]
    low, median, high = (float(q) for q in np.quantile(finite, [_TAIL_QUANTILE, 0.5, 1 - _TAIL_QUANTILE]))
    positive = finite[finite > 0]
    if log_x is None:
        mostly_positive = positive.size > 0.9 * finite.size and all(m > 0 for m in marks)
        log_x = bool(mostly_positive and median > 0 and high / median > _HEAVY_TAIL_RATIO)
    if log_x and positive.size and all(m > 0 for m in marks):
        low = float(np.quantile(positive, _TAIL_QUANTILE))
        low, high = min([low, *marks]), max([high, *marks])
        span = max(np.log(high / low), 1e-6) * 0.02
        edges = np.exp(np.linspace(np.log(low) - span, np.log(high) + span, bins + 1))
    else:
        log_x = False
        low, high = min([low, *marks]), max([high, *marks])
        span = (high - low) * 0.02 or max(abs(high) * 0.1, 0.5)
        start = 0.0 if 0 <= low < span else low - span  # no negative axis for a signal that has none
        edges = np.linspace(start, high + span, bins + 1)
    counts, _ = np.histogram(finite, edges)
    return Histogram(
        signal=signal,
        edges=tuple(edges.tolist()),
        counts=tuple(int(c) for c in counts),
        unit=unit,
        meaning=meaning,
        thresholds=thresholds,
        below=int((finite < edges[0]).sum()),
        above=int((finite > edges[-1]).sum()),
        missing=missing,
        log_x=log_x,
        dropped=dropped,
    )


def _count_dropped(values: np.ndarray, thresholds: tuple[Threshold, ...]) -> int:
    out = np.zeros(values.shape, dtype=bool)
    for t in thresholds:
        if t.source is None and t.alone:
            out |= values < t.value if t.drops == "below" else values > t.value
    return int(out.sum())
