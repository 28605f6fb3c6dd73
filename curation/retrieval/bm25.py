"""Text search over the rows of many shards: BM25 in bm25s' layout, memory-mapped.

Words are kept shard by shard, so an update splits the texts of new shards only. Scores depend on the frequencies
of the whole corpus, so they are computed anew each time, in array operations: cheap next to splitting. The
result is what bm25s would index itself (Lucene's BM25: idf ln(1 + (N - df + 0.5) / (df + 0.5)), k1 = 1.2,
b = 0.75; Lù, "BM25S: Orders of magnitude faster lexical search via eager sparse scoring", 2024), and bm25s loads
and scores it. Words are sorted, so the files do not depend on the order of updates, and the words of removed
rows are gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from ..errors import ConfigError, MissingDependencyError
from .files import DamagedIndexError, checked, commit, locked, mapped, read_manifest, write_file
from .index import Segment
from .tokens import query_words, words_of

FORMAT = 1
K1, B = 1.2, 0.75
_BM25S_FILES = {
    "data": "data",
    "indices": "indices",
    "indptr": "indptr",
    "vocab": "vocab",
    "params": "params",
}


@dataclass(frozen=True)
class TextSource:
    """One shard's texts.

    Attributes:
        name, digest: as of `index.Source`.
        load: one string per row of the shard, "" where there is no text.
    """

    name: str
    digest: str
    load: Callable[[], Sequence[str]]


@dataclass(frozen=True, eq=False)
class TextIndex:
    """An opened index. Every row of every shard has a position, in shard order.

    Attributes:
        fields: what the texts were made of.
        n: rows; segments: where each shard's are.
        words, offsets: int32 word numbers of all rows, int64 [n + 1]; vocabulary: words by number.
    """

    folder: Path
    fields: tuple[str, ...]
    n: int
    segments: tuple[Segment, ...]
    words: np.ndarray
    offsets: np.ndarray
    vocabulary: tuple[str, ...]
    scorer: Any
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_text(self) -> bool:
        return len(self.words) > 0

    def search(self, query: str, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Allowed rows that hold a word of the query: positions and scores above 0, best first, at most k.

        Args:
            allowed: bool [n]; None for all.

        Raises:
            ConfigError: no word in the query, or k < 1.
        """
        return self.best(self.scores(query), k, allowed)

    def best(
        self, scores: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `search`, from the `scores` of a query."""
        if k < 1:
            raise ConfigError(f"k must be at least 1, got {k}")
        hit = np.flatnonzero(scores > 0)
        if allowed is not None:
            hit = hit[allowed[hit]]
        values = scores[hit]
        if len(hit) > k:
            near = values >= np.partition(values, len(hit) - k)[len(hit) - k]
            hit, values = hit[near], values[near]
        order = np.lexsort((hit, -values))[:k]
        return hit[order], values[order]

    def scores(self, query: str) -> np.ndarray:
        """float32 [n]: BM25 of every row. Raises ConfigError when the query has no word."""
        wanted = _asked(query)
        known = self.scorer.get_tokens_ids(wanted) if self.has_text else []
        if not known:
            return np.zeros(self.n, np.float32)
        return self.scorer.get_scores_from_ids(known).astype(np.float32, copy=False)

    def ceiling(self, query: str) -> float:
        """What no row's score reaches: the sum of the idf of the query's words, unknown words included."""
        df = np.array([self._df(w) for w in _asked(query)], float)
        return float(np.log1p((self.n - df + 0.5) / (df + 0.5)).sum())

    def unknown(self, query: str) -> list[str]:
        """Words of the query that no row has."""
        return [w for w in _asked(query) if self._df(w) == 0]

    def _df(self, word: str) -> int:
        number = self.scorer.vocab_dict.get(word) if self.has_text else None
        if number is None or number >= len(self.vocabulary):
            return 0
        indptr = self.scorer.scores["indptr"]
        return int(indptr[number + 1] - indptr[number])


def _asked(query: str) -> list[str]:
    wanted = query_words(query)
    if not wanted:
        raise ConfigError(f"no word to search for in {query[:80]!r}: write letters, digits or CJK characters")
    return wanted


def update_text_index(
    folder: Path,
    sources: Sequence[TextSource],
    fields: Sequence[str],
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> TextIndex:
    """The text index of exactly these shards: opened if current, otherwise updated from what is there."""
    sources = sorted(sources, key=lambda s: s.name)
    with locked(folder):
        try:
            old = open_text_index(folder)
        except DamagedIndexError:
            old = None
        if old is not None and old.fields != tuple(fields):
            old = None
        if old is not None and [(s.name, s.digest) for s in old.segments] == [
            (s.name, s.digest) for s in sources
        ]:
            return old
        return _build(folder, sources, tuple(fields), old, progress)


def _build(
    folder: Path,
    sources: Sequence[TextSource],
    fields: tuple[str, ...],
    old: TextIndex | None,
    progress: Callable[[str, int, int], None],
) -> TextIndex:
    began = time.perf_counter()
    known = {s.name: s for s in old.segments} if old is not None else {}
    numbers: dict[str, int] = {w: i for i, w in enumerate(old.vocabulary)} if old is not None else {}
    parts, counts, segments, split = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)], [], 0
    at = 0
    for done, source in enumerate(sources):
        progress("splitting texts", done, len(sources))
        was = known.get(source.name)
        if was is not None and was.digest == source.digest:
            offsets = old.offsets[was.start : was.start + was.count + 1]
            parts.append(np.asarray(old.words[offsets[0] : offsets[-1]]))
            lengths = np.diff(offsets)
        else:
            texts = [words_of(t) for t in source.load()]
            split += len(texts)
            lengths = np.array([len(t) for t in texts], np.int64)
            parts.append(
                np.fromiter(
                    (numbers.setdefault(w, len(numbers)) for t in texts for w in t), np.int32, lengths.sum()
                )
            )
        counts.append(lengths)
        segments.append(Segment(source.name, source.digest, at, len(lengths)))
        at += len(lengths)
    progress("scoring", 0, at)
    words, vocabulary = _sorted_vocabulary(np.concatenate(parts), list(numbers))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    stamp = _stamp(fields, segments)
    files = {
        "words": write_file(folder, f"words-{stamp}.bin", words),
        "offsets": write_file(folder, f"offsets-{stamp}.bin", offsets),
    }
    files |= _save_scores(folder, stamp, eager_scores(words, offsets, len(vocabulary)), vocabulary)
    facts = {"rows_split": split, "seconds": round(time.perf_counter() - began, 3)}
    commit(
        folder,
        {
            "format": FORMAT,
            "fields": list(fields),
            "n": at,
            "words": len(words),
            "segments": [vars(s) for s in segments],
            "files": files,
            "facts": facts,
        },
    )
    return open_text_index(folder)


def _sorted_vocabulary(words: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Word numbers in the order of the words, without those that no row uses."""
    used = np.unique(words)
    by_name = sorted(used.tolist(), key=names.__getitem__)
    to = np.zeros(len(names) + 1, np.int32)
    to[by_name] = np.arange(len(by_name), dtype=np.int32)
    return to[words], [names[i] for i in by_name]


def eager_scores(words: np.ndarray, offsets: np.ndarray, size: int) -> dict[str, Any]:
    """BM25 of every (row, word) that occurs, by word: the arrays bm25s calls `scores`.

    Args:
        words: int32 word numbers of all rows, repeats included; offsets: int64 [n + 1].
        size: words in the vocabulary.
    """
    n = len(offsets) - 1
    lengths = np.diff(offsets)
    rows = np.repeat(np.arange(n, dtype=np.int64), lengths)
    # word first: the sorted keys are in the order of the compressed columns
    keys, tf = np.unique(words.astype(np.int64) * max(1, n) + rows, return_counts=True)
    word, row = keys // max(1, n), (keys % max(1, n)).astype(np.int32)
    df = np.bincount(word, minlength=size)
    idf = np.log1p((n - df + 0.5) / (df + 0.5))
    mean = lengths.mean() if n and lengths.any() else 1.0
    data = idf[word] * tf / (tf + K1 * (1 - B + B * lengths[row] / mean))
    return {
        "data": data.astype(np.float32),
        "indices": row,
        "indptr": np.concatenate([[0], np.cumsum(df)]).astype(np.int64),
        "num_docs": n,
    }


def _bm25s() -> Any:
    try:
        import bm25s
    except ModuleNotFoundError as e:
        raise MissingDependencyError(f"text search needs {e.name}: pip install bm25s") from e
    return bm25s


def _save_scores(
    folder: Path, stamp: str, scores: dict[str, Any], vocabulary: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """bm25s' own files, in our folder and with digests."""
    scorer = _bm25s().BM25(k1=K1, b=B, method="lucene")
    scorer.scores, scorer.nonoccurrence_array = scores, None
    scorer.vocab_dict = {w: i for i, w in enumerate(vocabulary)}
    names = _names(stamp)
    scorer.save(folder, show_progress=False, **{f"{k}_name": v for k, v in names.items()})
    # Written by a library, so their digests are taken from the disk.
    return {k: write_file(folder, v, (folder / v).read_bytes()) for k, v in names.items()}


def _names(stamp: str) -> dict[str, str]:
    return {k: f"{k}-{stamp}.{'json' if k in ('vocab', 'params') else 'npy'}" for k in _BM25S_FILES}


def _stamp(fields: Sequence[str], segments: Sequence[Segment]) -> str:
    text = repr((FORMAT, tuple(fields), [(s.name, s.digest) for s in segments]))
    return xxhash.xxh3_128_hexdigest(text.encode())[:12]


def open_text_index(folder: Path) -> TextIndex:
    """The index in a folder, memory-mapped. Raises DamagedIndexError: make it anew."""
    manifest = read_manifest(folder, FORMAT)
    try:
        files = manifest["files"]
        n, total = int(manifest["n"]), int(manifest["words"])
        for name in _BM25S_FILES:
            checked(folder, files[name])
        words = mapped(folder, files["words"], np.int32, (total,))
        offsets = mapped(folder, files["offsets"], np.int64, (n + 1,))
        names = {f"{k}_name": files[k]["name"] for k in _BM25S_FILES}
        scorer = None
        if total:
            # allow_pickle is off: a file with objects in it is refused.
            scorer = _bm25s().BM25.load(folder, mmap=True, allow_pickle=False, load_corpus=False, **names)
        return TextIndex(
            folder, tuple(manifest["fields"]), n, tuple(Segment(**s) for s in manifest["segments"]), words, offsets,
            tuple(scorer.vocab_dict) if scorer else (), scorer, manifest["facts"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, OSError) as e:
        raise DamagedIndexError(f"{folder}: {type(e).__name__}: {e}") from e
