"""What a condition would drop, before it becomes a rule: counts, a histogram, borderline samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import ConfigError
from .expression import Comparison, Expression, as_array, compile_expression, evaluate, is_numeric
from .rules import schema_column
from .syntax import unparse

#: Histogram bins on each side of the threshold.
HALF_BINS = 20


@dataclass
class Counts:
    """Rows seen; `matched` would be dropped, `null` have a null input and would not be.

    `newly`: of those matched the ones that are kept today, so what the rule would cost. None where nothing says what is.
    """

    total: int = 0
    matched: int = 0
    null: int = 0
    newly: int | None = None


@dataclass(frozen=True)
class Histogram:
    """Counts of the compared value around the threshold, which is the middle edge.

    Attributes:
        edges: float64 [2 * HALF_BINS + 1], equally spaced; the range holds the middle 98% of the
            first batch. Bins are half-open, [edge, next edge).
        counts: int64 [2 * HALF_BINS].
        below, above: rows outside the edges.
    """

    value: str
    edges: np.ndarray
    counts: np.ndarray
    below: int
    above: int


@dataclass(frozen=True)
class Example:
    """A sample near the threshold, or without one (value None) a sample that matches."""

    sample_id: bytes
    value: float | None
    matched: bool


@dataclass(frozen=True)
class WhatIf:
    """Result of `whatif`. `histogram` and `threshold` are None unless the condition is one comparison
    of a number; `examples` are the nearest to the threshold, half of them on each side where there are.
    Without a threshold they are matching samples, those of the smallest ids: as good as drawn by lot.
    """

    condition: str
    counts: Counts
    per_source: Mapping[str, Counts]
    threshold: float | None = None
    histogram: Histogram | None = None
    examples: tuple[Example, ...] = ()


@dataclass
class _Around:
    """Running histogram and nearest samples of one comparison."""

    comparison: Comparison
    n_examples: int
    edges: np.ndarray | None = None
    counts: np.ndarray = field(default_factory=lambda: np.zeros(2 * HALF_BINS, np.int64))
    below: int = 0
    above: int = 0
    nearest: dict[bool, list[tuple[float, bytes, float]]] = field(
        default_factory=lambda: {True: [], False: []}
    )

    def add(self, table: pa.Table, matched: np.ndarray, ids: pa.Array | None) -> None:
        column = as_array(evaluate(self.comparison.value, table), table.num_rows, pa.float64())
        valid = pc.is_valid(column).to_numpy(zero_copy_only=False)
        values = column.to_numpy(zero_copy_only=False)
        inside = values[valid]
        if inside.size == 0:
            return
        t = self.comparison.threshold
        if self.edges is None:
            low, high = np.quantile(inside, [0.01, 0.99])
            half = max(abs(low - t), abs(high - t)) or max(abs(t), 1.0)
            self.edges = t + half * np.arange(-HALF_BINS, HALF_BINS + 1) / HALF_BINS
            self.edges[HALF_BINS] = t
        slot = np.searchsorted(self.edges, inside, side="right") - 1
        self.below += int((slot < 0).sum())
        self.above += int((slot >= 2 * HALF_BINS).sum())
        slot = slot[(slot >= 0) & (slot < 2 * HALF_BINS)]
        self.counts += np.bincount(slot, minlength=2 * HALF_BINS)
        if ids is not None:
            self._keep_nearest(values, valid, matched, ids)

    def _keep_nearest(
        self, values: np.ndarray, valid: np.ndarray, matched: np.ndarray, ids: pa.Array
    ) -> None:
        t = self.comparison.threshold
        for side in (True, False):
            rows = np.flatnonzero(valid & (matched == side))
            distance = np.abs(values[rows] - t)
            if len(rows) > self.n_examples:
                # everything as near as the n-th, so that ties are decided by id, not by order
                cut = np.partition(distance, self.n_examples - 1)[self.n_examples - 1]
                rows, distance = rows[distance <= cut], distance[distance <= cut]
            found = [
                (float(d), ids[int(r)].as_py(), float(values[r])) for r, d in zip(rows, distance, strict=True)
            ]
            self.nearest[side] = sorted(self.nearest[side] + found)[: self.n_examples]

    def examples(self) -> tuple[Example, ...]:
        dropped, kept = self.nearest[True], self.nearest[False]
        half = self.n_examples // 2
        n_dropped = min(len(dropped), max(self.n_examples - half, self.n_examples - len(kept)))
        n_kept = min(len(kept), self.n_examples - n_dropped)
        chosen = [(d, i, v, True) for d, i, v in dropped[:n_dropped]]
        chosen += [(d, i, v, False) for d, i, v in kept[:n_kept]]
        return tuple(Example(i, v, m) for _, i, v, m in sorted(chosen))


@dataclass
class _Matching:
    """The matching samples of the smallest ids."""

    n_examples: int
    ids: list[bytes] = field(default_factory=list)

    def add(self, table: pa.Table, matched: np.ndarray, ids: pa.Array | None) -> None:
        if ids is not None:
            found = ids.filter(pa.array(matched)).to_pylist()
            self.ids = sorted({*self.ids, *found})[: self.n_examples]

    def examples(self) -> tuple[Example, ...]:
        return tuple(Example(i, None, True) for i in self.ids)


def whatif(
    batches: Iterable[pa.Table],
    condition: str | Expression,
    n_examples: int = 12,
    known: Callable[[pa.Table], np.ndarray] | None = None,
    kept: Callable[[pa.Table], np.ndarray] | None = None,
) -> WhatIf:
    """Try a condition on data, one batch at a time.

    Args:
        batches: tables with the columns the condition reads (names qualified or bare), and
            `sample_id` and a source column where present, all of one schema.
        condition: as `drop_if` of a rule, or already compiled for the schema.
        n_examples: how many borderline samples, at most.
        known: which rows the condition can be asked about, bool [n]; of others, such as unreadable files, the answer is
            null, whatever the condition. Default: all.
        kept: which rows are kept today, bool [n]. Default: not known, nothing is said of it.

    Raises:
        ConfigError: the condition is wrong for the schema, or there are no batches to check it against.
    """
    expression = condition if isinstance(condition, Expression) else None
    source_name: str | None = None
    started = False
    around: _Around | _Matching = _Matching(n_examples)
    counts, per_source = Counts(), {}
    for table in batches:
        if not started:
            started = True
            expression = expression or compile_expression(condition, table.schema)
            comparison = expression.comparison()
            if comparison is not None and is_numeric(comparison, table):
                around = _Around(comparison, n_examples)
            source_name = schema_column("samples.source", table.schema) or schema_column(
                "source", table.schema
            )
        verdict = expression.evaluate(table)
        if known is not None:
            verdict = pc.if_else(pa.array(known(table)), verdict, pa.scalar(None, pa.bool_()))
        null = pc.is_null(verdict).to_numpy(zero_copy_only=False)
        matched = pc.fill_null(verdict, False).to_numpy(zero_copy_only=False)
        today = kept(table) if kept else None
        _count(counts, matched, null, today)
        if source_name is not None:
            encoded = as_array(table.column(source_name), table.num_rows, pa.string()).dictionary_encode(
                "encode"
            )
            codes = encoded.indices.to_numpy(zero_copy_only=False)
            for code, name in enumerate(encoded.dictionary.to_pylist()):
                rows = codes == code
                here = today[rows] if today is not None else None
                _count(per_source.setdefault(name or "", Counts()), matched[rows], null[rows], here)
        has_id = "sample_id" in table.schema.names
        ids = as_array(table.column("sample_id"), table.num_rows, pa.binary(16)) if has_id else None
        around.add(table, matched, ids)
    if not started:
        raise ConfigError(
            "no rows to try the condition on: the dataset has no finished shard with these columns"
        )
    sources = dict(sorted(per_source.items()))
    if isinstance(around, _Matching):
        return WhatIf(expression.text, counts, sources, examples=around.examples())
    if around.edges is None:
        return WhatIf(expression.text, counts, sources, around.comparison.threshold)
    histogram = Histogram(
        unparse(around.comparison.value), around.edges, around.counts, around.below, around.above
    )
    return WhatIf(expression.text, counts, sources, around.comparison.threshold, histogram, around.examples())


def _count(counts: Counts, matched: np.ndarray, null: np.ndarray, kept: np.ndarray | None) -> None:
    counts.total += len(matched)
    counts.matched += int(matched.sum())
    counts.null += int(null.sum())
    if kept is not None:
        counts.newly = (counts.newly or 0) + int((matched & kept).sum())
