"""What a search gives: samples with their scores, and the arrays behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Hit:
    """One sample found.

    Attributes:
        score: what it is ranked by: cosine, BM25, or their reciprocal rank fusion; `Results.mode` says which.
        cos: cosine with the query vector, -1..1; None without one, or for a sample without a vector.
        bm25: BM25 with the query text; None without one.
        kept: by every decision made so far, people's included.
        row: its number in `Searcher.rows`.
        text: alt text, as it came: untrusted.
    """

    sample_id: str
    score: float
    cos: float | None
    bm25: float | None
    kept: bool
    row: int
    source: str
    key: str
    text: str | None
    community: tuple[int, ...] | None
    nsfw: bool


@dataclass(frozen=True)
class Results:
    """What a search found, best first.

    Attributes:
        mode: vector | text | hybrid.
        searched: rows that could have been found.
        notes: sentences to know, e.g. that text was searched by words alone.
    """

    hits: tuple[Hit, ...]
    mode: str
    searched: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranked:
    """A ranking before its rows are looked up: row numbers, scores, and cosines and BM25 (NaN for none).

    `vector` is the query's, None where words alone were searched.
    """

    rows: np.ndarray
    score: np.ndarray
    cos: np.ndarray
    bm25: np.ndarray
    mode: str
    vector: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Scope:
    """What a search may find.

    Attributes:
        rows: bool [rows]; count: how many.
        positions: the same by position of the vector index; None for all, or where there is no index.
    """

    rows: np.ndarray
    count: int
    positions: np.ndarray | None
