"""BM25 over tag lists: how rare a tag is, and how much it says about one image.

For tag t of an image d with |d| tags, in N images of which df(t) have t (Lucene's form; Robertson and
Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009):

    idf(t)      = ln(1 + (N - df + 0.5) / (df + 0.5))                      > 0, falls as df grows
    score(t, d) = idf(t) * tf / (tf + k1 * (1 - b + b * |d| / mean |d|))   < idf(t)

Tags of an image are unique, so tf = 1 unless a caller passes repeated tags. Everything works on
Arrow list columns, shard by shard; no row becomes a Python object.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

K1, B = 1.2, 0.75


def idf(df: np.ndarray, n: int) -> np.ndarray:
    """ln(1 + (N - df + 0.5) / (df + 0.5)), float64, for document frequencies 0..n."""
    df = np.asarray(df, float)
    if n < 0 or (df.size and (df.min() < 0 or df.max() > n)):
        raise ValueError(f"document frequencies must lie in 0..N = {n}")
    return np.log1p((n - df + 0.5) / (df + 0.5))


@dataclass(frozen=True)
class Corpus:
    """What BM25 needs to know of all images.

    Attributes:
        n: images, with or without tags.
        mean_length: mean number of tags of images that have any; 0 if none has.
        concepts: sorted, unique strings.
        df: int64, images that have each concept.
    """

    n: int
    mean_length: float
    concepts: pa.Array
    df: np.ndarray
    idf: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "idf", idf(self.df, self.n))


@dataclass(frozen=True)
class Postings:
    """One shard's (image, tag) pairs, in row order, repeated tags counted in `tf`.

    Attributes:
        row: int64 row number; concept: index into the corpus' concepts; tf: float64.
        length: int64 per row, number of tags including repeats.
    """

    row: np.ndarray
    concept: np.ndarray
    tf: np.ndarray
    length: np.ndarray


def _pairs(column: pa.ChunkedArray | pa.Array) -> tuple[pa.Table, np.ndarray]:
    """Distinct (row, tag) pairs with their counts, and the number of tags per row."""
    array = pa.chunked_array([column]) if isinstance(column, pa.Array) else column
    array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    if isinstance(array, pa.ChunkedArray):  # combine_chunks of no chunks at all
        array = pa.array([], array.type)
    length = np.asarray(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)
    flat = pa.table({"row": pc.list_parent_indices(array).cast(pa.int64()), "tag": pc.list_flatten(array)})
    flat = flat.filter(pc.is_valid(flat["tag"]))
    pairs = flat.group_by(["row", "tag"], use_threads=False).aggregate([([], "count_all")])
    return pairs, length


def count(columns: Iterable[pa.ChunkedArray | pa.Array]) -> Corpus:
    """First pass: document frequencies over shards' list<string> columns, one shard at a time."""
    n = tagged = tags = 0
    total: pa.Table | None = None
    for column in columns:
        pairs, length = _pairs(column)
        n += len(length)
        tagged += int((length > 0).sum())
        tags += int(length.sum())
        part = pairs.group_by("tag", use_threads=False).aggregate([([], "count_all")])
        part = part.rename_columns(["tag", "df"]).select(["tag", "df"])
        if total is not None:
            part = (
                pa.concat_tables([total, part]).group_by("tag", use_threads=False).aggregate([("df", "sum")])
            )
            part = part.rename_columns(["tag", "df"]).select(["tag", "df"])
        total = part
    if total is None or total.num_rows == 0:
        return Corpus(n, 0.0, pa.array([], pa.string()), np.zeros(0, np.int64))
    total = total.sort_by("tag")
    names = total["tag"].combine_chunks().cast(pa.string())
    names = names if isinstance(names, pa.Array) else names.chunk(0)
    return Corpus(n, tags / max(tagged, 1), names, np.asarray(total["df"]).astype(np.int64))


def postings(column: pa.ChunkedArray | pa.Array, corpus: Corpus) -> Postings:
    """Second pass: a shard's tags as indices into the corpus. Tags unknown to it are left out."""
    pairs, length = _pairs(column)
    index = pc.index_in(pairs["tag"].cast(pa.string()), value_set=corpus.concepts)
    known = np.asarray(pc.is_valid(index))
    concept = np.asarray(pc.fill_null(index, 0)).astype(np.int64)[known]
    row = np.asarray(pairs["row"]).astype(np.int64)[known]
    tf = np.asarray(pairs["count_all"]).astype(float)[known]
    order = np.lexsort((concept, row))
    return Postings(row[order], concept[order], tf[order], length)


def scores(p: Postings, corpus: Corpus, k1: float = K1, b: float = B) -> np.ndarray:
    """BM25 score of every posting, float64 aligned with `p.row`; 0 < score < idf.

    Args:
        k1: >= 0, how slowly repeated tags saturate. b: 0..1, how much long tag lists are discounted.
    """
    if k1 < 0 or not 0 <= b <= 1:
        raise ValueError(f"BM25 needs k1 >= 0 and 0 <= b <= 1, got k1 = {k1}, b = {b}")
    relative = p.length[p.row] / max(corpus.mean_length, 1e-12)
    return corpus.idf[p.concept] * p.tf / (p.tf + k1 * (1 - b + b * relative))


def length_scores(tags: np.ndarray, k1: float = K1, b: float = B) -> np.ndarray:
    """float32 [n], in (0, 1]: what BM25 leaves of idf in an image with so many unique tags, over the most it leaves.

    1 / (1 + k1 * (1 - b + b * tags / mean tags)) for images that have any; the larger the list, the less each
    tag says. 1 for images without tags.
    """
    tags = np.asarray(tags, np.float64)
    some = tags > 0
    if not some.any():
        return np.ones(len(tags), np.float32)
    score = np.where(some, 1 / (1 + k1 * (1 - b + b * tags / tags[some].mean())), 0.0)
    return np.where(some, score / score.max(), 1.0).astype(np.float32)
