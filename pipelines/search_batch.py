"""Many queries at once: their neighbors, the communities these are in, and how dense each region is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.curation.retrieval.density import (
    UNKNOWN,
    DensityRules,
    density_of,
    percentile_of,
    verdict_of,
)

from .search_queries import Query

if TYPE_CHECKING:
    from .searching import Hit, Scope, Searcher

#: A neighbor is of low quality where one of these is true; rules whose columns the dataset lacks are left out.
#: The scores and their limits are in curation/profile/quality/MODEL_CARD.md.
LOW_QUALITY = {
    "blurred": "quality.blur > 0.8",
    "noisy": "quality.noise > 0.8",
    "compressed": "quality.jpeg_artifacts > 0.8",
    "watermark": "quality.watermark > 0.9",
}
#: A neighbor is misaligned when its text_image is among this lowest share of the dataset's.
MISALIGNED_SHARE = 0.10
#: Own samples that make a comparison, at least.
_FEWEST = 5
_FLAGS = ("dropped", "duplicate", "low_quality", "misaligned")

NEIGHBORS = pa.schema(
    [
        ("query", pa.int32()), ("name", pa.string()), ("rank", pa.int32()), ("sample_id", pa.string()),
        ("cos", pa.float32()), ("bm25", pa.float32()), ("score", pa.float64()), ("kept", pa.bool_()),
        ("flags", pa.list_(pa.string())), ("community_path", pa.list_(pa.int32())),
    ]
)  # fmt: skip
QUERIES = pa.schema(
    [
        ("query", pa.int32()), ("name", pa.string()), ("kind", pa.string()), ("text", pa.string()),
        ("mode", pa.string()), ("verdict", pa.string()), ("density", pa.float64()), ("percentile", pa.float64()),
        ("mean_cos", pa.float64()), ("mean_bm25", pa.float64()), ("neighbors", pa.int32()),
        *((f"{flag}_share", pa.float64()) for flag in _FLAGS), ("flagged_share", pa.float64()),
        ("communities", pa.list_(pa.struct([("path", pa.list_(pa.int32())), ("share", pa.float64())]))),
        ("unknown_words", pa.list_(pa.string())), ("error", pa.string()),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What was found for one query.

    Attributes:
        verdict: void | thin | poisoned | normal | unknown; see `curation.retrieval.density`.
        density: mean score of the nearest samples; percentile: among the dataset's own, 0..1.
        shares: flag -> share of the neighbors that have it; `flagged`: that have any.
        communities: (path, share of the neighbors), largest first; empty without a `communities` group.
        error: why there is no answer.
    """

    query: Query
    hits: tuple[Hit, ...] = ()
    mode: str = ""
    verdict: str = UNKNOWN
    density: float | None = None
    percentile: float | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[tuple[str, ...], ...] = ()
    communities: tuple[tuple[tuple[int, ...], float], ...] = ()
    unknown_words: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class BatchResult:
    """Answers in the order of the queries, the densities they were compared with, and notes.

    `flagged_base` is the share of flagged samples among all that could have been found.
    """

    answers: tuple[Answer, ...]
    flagged_base: float
    references: Mapping[str, np.ndarray]
    rules: DensityRules
    notes: tuple[str, ...]

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """(queries, neighbors), as `QUERIES` and `NEIGHBORS`."""
        queries, neighbors = [], []
        for n, a in enumerate(self.answers):
            best = a.hits[: self.rules.neighbors]
            queries.append(
                {
                    "query": n, "name": a.query.name, "kind": a.query.kind, "text": a.query.text, "mode": a.mode,
                    "verdict": a.verdict, "density": a.density, "percentile": a.percentile,
                    "mean_cos": _mean(h.cos for h in best), "mean_bm25": _mean(h.bm25 for h in best),
                    "neighbors": len(a.hits), "error": a.error, "unknown_words": list(a.unknown_words),
                    **{f"{k}_share": v for k, v in a.shares.items()},
                    "communities": [{"path": list(p), "share": s} for p, s in a.communities],
                }
            )  # fmt: skip
            for rank, (h, flags) in enumerate(zip(a.hits, a.flags, strict=True), 1):
                neighbors.append(
                    {
                        "query": n, "name": a.query.name, "rank": rank, "sample_id": h.sample_id, "cos": h.cos,
                        "bm25": h.bm25, "score": h.score, "kept": h.kept, "flags": list(flags),
                        "community_path": None if h.community is None else list(h.community),
                    }
                )  # fmt: skip
        return pa.Table.from_pylist(queries, QUERIES), pa.Table.from_pylist(neighbors, NEIGHBORS)

    def counts(self) -> dict[str, int]:
        """Verdict -> queries; `error` for those without an answer."""
        return dict(Counter("error" if a.error else a.verdict for a in self.answers))


def run_batch(
    searcher: Searcher,
    queries: Sequence[Query | str],
    k: int = 50,
    where: str | None = None,
    mode: str = "auto",
    rules: DensityRules | None = None,
    low_quality: Mapping[str, str] | None = None,
) -> BatchResult:
    """Answer every query; one that cannot be answered says why and stops none of the others.

    Neighbors are looked for among all live samples, dropped ones included: a region that was filtered away is
    another finding than an empty one. `kept` and the flags tell them apart.

    Args:
        queries: a string is a prompt.
        k: neighbors listed per query; those of the density are the first `rules.neighbors` of them.
        where: only neighbors for which this rule is true.
        mode: auto, text or vector, as of `Searcher.search`.
        low_quality: name -> rule; default `LOW_QUALITY`.

    Raises:
        ConfigError: a wrong rule, or no queries.
    """
    if not queries:
        raise ConfigError("no queries")
    queries = [Query(f"query {n}", text=q) if isinstance(q, str) else q for n, q in enumerate(queries)]
    rules = rules or DensityRules()
    flags, notes = _flags(
        searcher, LOW_QUALITY if low_quality is None else low_quality, low_quality is not None
    )
    scope = searcher.scope(where, dropped=True, by_vector=False)
    flagged = np.logical_or.reduce([flags[f] for f in _FLAGS])
    base = float(flagged[scope.rows].mean()) if scope.count else 0.0
    references: dict[str, np.ndarray] = {}
    answers = []
    for n, query in enumerate(queries):
        searcher._progress("searching", n, len(queries))
        try:
            ranked, _, more = searcher.rank(
                query.text,
                query.image,
                query.vector,
                None,
                max(k, rules.neighbors),
                where,
                mode,
                dropped=True,
            )
        except (ConfigError, DatasetError) as e:
            if isinstance(e, DatasetError):
                raise
            answers.append(Answer(query, error=str(e)))
            continue
        notes += [m for m in more if m not in notes]
        words = ranked.vector is None
        scope = searcher.scope(where, dropped=True, by_vector=not words)
        kind = "words" if words else "text" if query.kind == "text" else "image"
        if kind not in references:
            references[kind] = _reference(searcher, kind, rules, scope)
        if words:
            scores = ranked.bm25 / max(searcher.texts.ceiling(query.text), 1e-9)
        else:
            # By vector alone: in a fused list the words have their say.
            scores = searcher.nearest(ranked.vector, rules.neighbors, scope)[1]
        density = density_of(scores, _neighbors(rules, scope.count))
        hits = searcher.hits(ranked)
        mine = tuple(tuple(f for f in _FLAGS if flags[f][h.row]) for h in hits)
        near = mine[: rules.neighbors]
        shares = {f: sum(f in m for m in near) / max(1, len(near)) for f in _FLAGS}
        shares["flagged"] = sum(bool(m) for m in near) / max(1, len(near))
        percentile = percentile_of(density, references[kind])
        answers.append(
            Answer(
                query, hits[:k], ranked.mode, verdict_of(percentile, shares["flagged"], len(hits), base, rules),
                round(density, 6), percentile, shares, mine[:k], _communities(hits[: rules.neighbors]),
                tuple(searcher.texts.unknown(query.text)) if ranked.mode != "vector" else (),
            )
        )  # fmt: skip
    for kind, reference in references.items():
        if not len(reference):
            notes.append(
                f"no verdicts for {kind} queries: the dataset has too few samples of its own to compare with"
            )
    return BatchResult(tuple(answers), base, references, rules, tuple(notes))


def _flags(
    searcher: Searcher, low_quality: Mapping[str, str], asked: bool
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Flag -> bool [rows], and notes on what could not be looked at."""
    states, n = searcher.rows.states, len(searcher.rows)
    flags = {
        "dropped": ~states["kept"] & ~states["duplicate"],
        "duplicate": states["duplicate"],
        "low_quality": np.zeros(n, bool),
        "misaligned": np.zeros(n, bool),
    }
    notes = []
    for name, rule in low_quality.items():
        try:
            flags["low_quality"] |= searcher.rows.where(rule)
        except (ConfigError, DatasetError) as e:
            if asked:
                raise ConfigError(f"low_quality.{name}: {e}") from e
            notes.append(f"quality rule '{name}' left out: the dataset lacks its columns")
    column = "scores.text_image"
    values = searcher.rows.numbers(column) if searcher.rows.present([column]) else np.full(n, np.nan)
    known = values[states["live"] & np.isfinite(values)]
    if len(known) >= 20:
        flags["misaligned"] = values < np.quantile(known, MISALIGNED_SHARE)
    else:
        notes.append("misaligned pairs cannot be told: the dataset has no text_image scores")
    return flags, notes


def _neighbors(rules: DensityRules, samples: int) -> int:
    """Neighbors a density is made of: no more than a sample of the dataset has."""
    return max(1, min(rules.neighbors, samples - 1))


def _reference(searcher: Searcher, kind: str, rules: DensityRules, scope: Scope) -> np.ndarray:
    """Densities at the dataset's own samples, each without itself; empty where there are too few."""
    own = np.flatnonzero(scope.rows)
    k = _neighbors(rules, scope.count)
    if kind != "words":
        own = own[np.isin(own, searcher.row_of_position)]
    if len(own) <= _FEWEST:
        return np.zeros(0)
    if kind == "image":
        chosen = own[np.unique(np.linspace(0, len(own) - 1, rules.references).astype(np.int64))]
        asked = [(r, searcher.vectors.vectors[np.searchsorted(searcher.row_of_position, r)]) for r in chosen]
    else:
        asked = _own_texts(searcher, own, rules.references)
    found = []
    for n, (row, query) in enumerate(asked):
        searcher._progress("measuring density", n, len(asked))
        if kind == "words":
            score = searcher.texts.scores(query) / searcher.texts.ceiling(query)
            score[row] = 0
            found.append(density_of(score[own], k))
        else:
            vector = searcher.encode_text(query) if kind == "text" else np.asarray(query, np.float32)
            rows, cos = searcher.nearest(vector, k + 1, scope)
            found.append(density_of(cos[rows != row][:k], k))
    return np.array(found) if len(found) >= _FEWEST else np.zeros(0)


def _own_texts(searcher: Searcher, own: np.ndarray, count: int) -> list[tuple[int, str]]:
    """(row, alt text) of samples spread over the dataset that have one with a word in it."""
    from zcurate.curation.retrieval.tokens import query_words

    # Twice as many as wanted, since some have no text.
    some = own[np.unique(np.linspace(0, len(own) - 1, 2 * count).astype(np.int64))]
    texts = searcher.rows.take(some, ["samples.text"])
    found = [(r, (v["samples.text"] or "")[:1_000]) for r, v in texts.items()]
    return [(r, t) for r, t in found if query_words(t)][:count]


def _communities(hits: Sequence[Hit]) -> tuple[tuple[tuple[int, ...], float], ...]:
    counts = Counter(h.community for h in hits if h.community is not None)
    return tuple((path, n / len(hits)) for path, n in sorted(counts.items(), key=lambda c: (-c[1], c[0])))


def _mean(values: Any) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def write_batch(searcher: Searcher, result: BatchResult, out: Path) -> dict[str, Path]:
    """Write queries.parquet, neighbors.parquet and report.html into a folder; their paths."""
    from .search_pages import batch_page

    try:
        out.mkdir(parents=True, exist_ok=True)
        queries, neighbors = result.tables()
        paths = {n: out / n for n in ("queries.parquet", "neighbors.parquet", "report.html")}
        pq.write_table(queries, paths["queries.parquet"])
        pq.write_table(neighbors, paths["neighbors.parquet"])
        paths["report.html"].write_text(batch_page(searcher, result), encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"--out {out}: {e.strerror}") from e
    return paths
