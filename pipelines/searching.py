"""Search in a dataset: by text, image, vector or sample, with rules on any column. For commands and notebooks.

    from zcurate.pipelines.searching import open_search
    searcher = open_search("ds")
    results = searcher.search("a red bridge", k=20, where="short_side_px >= 512 and quality.blur < 0.4")
    for hit in results.hits: print(hit.score, hit.sample_id, hit.key)

Indexes are made on first use and kept up to date beside the dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zcurate.curation.errors import ConfigError, DatasetError, SampleError

from .context import StageContext
from .search_indexes import VECTORS, Progress, text_index, vector_index
from .search_results import Hit, Ranked, Results, Scope
from .search_rows import NSFW_FROM, Rows
from .view import open_view

if TYPE_CHECKING:
    from zcurate.curation.retrieval.bm25 import TextIndex
    from zcurate.curation.retrieval.density import DensityRules
    from zcurate.curation.retrieval.index import VectorIndex

    from .search_batch import BatchResult
    from .search_queries import Query

#: Rows taken from each ranked list before they are fused: at least this many, and so many times k.
_FUSE_ROWS, _FUSE_FACTOR = 200, 4


class Searcher:
    """An opened dataset. Indexes are built or brought up to date when first needed, then stay open.

    What it sees is the dataset as it was when this was made. Several threads may search at once.
    """

    def __init__(self, url: str, progress: Progress = lambda what, done, total: None):
        self.url = url
        self.view = open_view(url)
        self.rows = Rows(self.view)
        self._progress = progress
        self._scopes: dict[tuple[str | None, bool, bool], Scope] = {}
        self.model = (self.view.recipe.stages.get("embed") or {}).get("model", "embedded")
        if not len(self.rows):
            raise DatasetError(f"{url}: the dataset is empty, there is nothing to search")

    @cached_property
    def _vectors(self) -> tuple[VectorIndex, list[str], np.ndarray]:
        """(index, notes, row number of each position)."""
        index, notes = vector_index(self.view, self._progress)
        of = np.concatenate(
            [np.zeros(0, np.int64)]
            + [
                self.rows.first(s.name) + index.rows[s.start : s.start + s.count].astype(np.int64)
                for s in index.segments
            ]
        )
        return index, notes, of

    @cached_property
    def texts(self) -> TextIndex:
        """Its positions are row numbers."""
        return text_index(self.view, self._progress)

    @property
    def vectors(self) -> VectorIndex:
        return self._vectors[0]

    @property
    def row_of_position(self) -> np.ndarray:
        """int64 [vectors]: the row number of each position of the vector index; ascending."""
        return self._vectors[2]

    @cached_property
    def encoder(self) -> Any:
        encoder = StageContext(revisions=self.view.recipe.revisions).encoder(self.model)
        encoder.load()
        return encoder

    @cached_property
    def encodes_text(self) -> bool:
        """Can the dataset's encoder embed a text? Reads no weights."""
        return bool(self.view.plan.path(VECTORS)) and StageContext().encoder(self.model).has_text

    def search(
        self,
        text: str | None = None,
        image: str | Path | bytes | None = None,
        vector: np.ndarray | None = None,
        sample: bytes | None = None,
        k: int = 10,
        where: str | None = None,
        mode: str = "auto",
        exact: bool = False,
        dropped: bool = False,
    ) -> Results:
        """The k samples nearest to a query.

        A text searches by vector and by words, joined by rank, where the encoder embeds texts; by words alone
        otherwise. An image, a vector or a sample of the dataset searches by vector; a text beside it adds words.

        Args:
            text: words, or a sentence.
            image: a file, or its bytes.
            vector: [dim], in the space of the dataset's encoder.
            sample: id of a sample of the dataset, 16 bytes; it is left out of its own results.
            where: only samples for which this rule is true (grammar: `zcurate.curation.filters`).
            mode: auto, text (words alone) or vector (no words).
            exact: compare with every vector.
            dropped: also samples that a decision dropped. What is superseded or taken down is never found.

        Raises:
            ConfigError: no query or several of one kind, a wrong rule, an unreadable image, a vector that is not of
                the dataset's width, finite and non-zero.
            DatasetError: the dataset is empty or not embedded, or was embedded by two encoders.
        """
        ranked, searched, notes = self.rank(text, image, vector, sample, k, where, mode, exact, dropped)
        return Results(self.hits(ranked), ranked.mode, searched, tuple(notes))

    def rank(
        self,
        text: str | None = None,
        image: str | Path | bytes | None = None,
        vector: np.ndarray | None = None,
        sample: bytes | None = None,
        k: int = 10,
        where: str | None = None,
        mode: str = "auto",
        exact: bool = False,
        dropped: bool = False,
    ) -> tuple[Ranked, int, list[str]]:
        """As `search`, without looking up the samples: (ranking, rows searched, notes)."""
        if k < 1:
            raise ConfigError(f"k must be at least 1, got {k}")
        if mode not in ("auto", "text", "vector"):
            raise ConfigError(f"mode {mode!r} is not one of auto, text, vector")
        given = [n for n, v in (("image", image), ("vector", vector), ("sample", sample)) if v is not None]
        if len(given) > 1 or (not given and text is None):
            raise ConfigError(
                "give a text, an image, a vector or a sample to search by; a text may go with one of them"
                + (
                    "; what a rule alone matches: 'zcurate whatif DATASET --rule RULE'"
                    if where and not given
                    else ""
                )
            )
        if mode == "text" and text is None:
            raise ConfigError("searching by words alone needs a text")
        notes: list[str] = []
        query = None
        if mode != "text":
            query = self._query_vector(text, image, vector, sample, mode, notes)
        scope = self.scope(where, dropped, query is not None)
        words = text if text is not None and mode != "vector" else None
        if sample is None:
            return self._ranked(query, words, k, scope, exact), scope.count, notes
        found, own = self._ranked(query, words, k + 1, scope, exact), self.rows.number_of(sample)
        others = np.flatnonzero(found.rows != own)[:k]
        arrays = {n: getattr(found, n)[others] for n in ("rows", "score", "cos", "bm25")}
        return replace(found, **arrays), scope.count - int(scope.rows[own]), notes

    def scope(self, where: str | None = None, dropped: bool = False, by_vector: bool = True) -> Scope:
        """The rows a search may find; remembered.

        Args:
            by_vector: also by position of the vector index, which is opened for it.
        """
        key = (where, dropped, by_vector)
        if key not in self._scopes:
            mask = self.rows.states["live" if dropped else "kept"]
            mask = mask if where is None else mask & self.rows.where(where)
            positions = mask[self.row_of_position] if by_vector else None
            whole = positions is None or positions.all()
            self._scopes[key] = Scope(mask, int(mask.sum()), None if whole else positions)
        return self._scopes[key]

    def _query_vector(
        self,
        text: str | None,
        image: str | Path | bytes | None,
        vector: np.ndarray | None,
        sample: bytes | None,
        mode: str,
        notes: list[str],
    ) -> np.ndarray | None:
        if image is None and vector is None and sample is None:
            if not self.encodes_text:
                why = f"encoder {self.model!r} has no text side"
                if mode == "vector":
                    raise ConfigError(
                        f"{why}: search by --image, or embed with openclip:, cnclip: or siglip: for text by vector"
                    )
                notes.append(
                    f"{why}: this is a search of words alone (BM25 over alt texts, captions, tags and OCR)"
                )
                return None
            index_notes = self._vectors[1]
            notes += index_notes
            return self.encode_text(text)
        notes += self._vectors[1]
        if sample is not None:
            row = self.rows.number_of(sample)
            at = int(np.searchsorted(self.row_of_position, row))
            if at >= len(self.row_of_position) or self.row_of_position[at] != row:
                raise ConfigError(f"{sample.hex()}: this sample has no vector; 'zcurate explain' says why")
            return np.asarray(self.vectors.vectors[at], np.float32)
        return self.encode_image(image) if image is not None else np.asarray(vector)

    def encode_text(self, text: str) -> np.ndarray:
        """float32 [dim]. Raises ConfigError for an empty text."""
        if not text.strip():
            raise ConfigError("the text to search for is empty")
        return np.asarray(self.encoder.encode_texts([text])[0], np.float32)

    def encode_image(self, image: str | Path | bytes) -> np.ndarray:
        """float32 [dim], through the same thumbnail as the dataset's images, or a file would not find itself.

        Raises:
            ConfigError: it cannot be read or decoded.
        """
        from zcurate.curation.profile.decode import decode
        from zcurate.curation.profile.thumbnail import thumbnail

        name = "image" if isinstance(image, bytes) else str(image)
        try:
            data = image if isinstance(image, bytes) else Path(image).read_bytes()
            picture = decode(data)
        except OSError as e:
            raise ConfigError(f"{name}: {e.strerror}") from e
        except SampleError as e:
            raise ConfigError(f"{name}: {e}") from e
        return np.asarray(self.encoder.encode_images([decode(thumbnail(picture.rgb)[0]).rgb])[0], np.float32)

    def _ranked(
        self, query: np.ndarray | None, words: str | None, k: int, scope: Scope, exact: bool
    ) -> Ranked:
        from zcurate.curation.retrieval.hybrid import fuse

        both = query is not None and words is not None
        depth = max(_FUSE_ROWS, _FUSE_FACTOR * k) if both else k
        lists = []
        if query is not None:
            lists.append(self.nearest(query, depth, scope, exact)[0])
        if words is not None:
            every = self.texts.scores(words)
            lists.append(self.texts.best(every, depth, scope.rows)[0])
        rows, score = fuse(lists, k) if both else (lists[0][:k], None)
        cos = self._cosines(query, rows)
        bm25 = every[rows] if words is not None else np.full(len(rows), np.nan)
        if score is None:
            score = cos if words is None else bm25
        mode = "hybrid" if both else "vector" if words is None else "text"
        return Ranked(rows, np.asarray(score, np.float64), cos, bm25, mode, query)

    def nearest(
        self, query: np.ndarray, k: int, scope: Scope, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers and cosines by vector alone. The scope is one by vector."""
        found, cos = self.vectors.search(query, k, scope.positions, exact)
        return self.row_of_position[found], cos

    def _cosines(self, query: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
        """float64 cosines of rows, NaN where there is no query or no vector."""
        from zcurate.curation.retrieval.exact import cosines
        from zcurate.curation.retrieval.index import unit_query

        out = np.full(len(rows), np.nan)
        if query is None or not len(rows):
            return out
        at = np.searchsorted(self.row_of_position, rows)
        inside = np.flatnonzero(at < len(self.row_of_position))
        inside = inside[self.row_of_position[at[inside]] == rows[inside]]
        out[inside] = cosines(self.vectors.vectors[at[inside]], unit_query(query, self.vectors.dim))
        return out

    def hits(self, ranked: Ranked) -> tuple[Hit, ...]:
        """Look up the samples of a ranking."""
        wanted = ["samples.source", "samples.key", "samples.text", "scores.nsfw", "communities.path"]
        found = self.rows.take(ranked.rows, self.rows.present(wanted))
        kept = self.rows.states["kept"]
        out = []
        for row, score, cos, bm25 in zip(ranked.rows, ranked.score, ranked.cos, ranked.bm25, strict=True):
            row, facts = int(row), found[int(row)]
            path = facts.get("communities.path")
            out.append(
                Hit(
                    facts["sample_id"].hex(), round(float(score), 6), _number(cos), _number(bm25), bool(kept[row]), row,
                    facts["samples.source"], facts["samples.key"], facts["samples.text"],
                    tuple(path) if path is not None else None, (facts.get("scores.nsfw") or 0) >= NSFW_FROM,
                )
            )  # fmt: skip
        return tuple(out)

    def thumbs(self, rows: Sequence[int]) -> dict[int, bytes | None]:
        """Row number -> thumbnail."""
        columns = self.rows.present(["thumbs.thumb"])
        return {r: v.get("thumbs.thumb") for r, v in self.rows.take(rows, columns).items()}

    def batch(
        self,
        queries: Sequence[Query | str],
        k: int = 50,
        where: str | None = None,
        mode: str = "auto",
        rules: DensityRules | None = None,
    ) -> BatchResult:
        """Many queries with the density of their regions: see `search_batch.run_batch`."""
        from .search_batch import run_batch

        return run_batch(self, queries, k, where, mode, rules)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def open_search(url: str, progress: Progress = lambda what, done, total: None) -> Searcher:
    """A searcher over a dataset.

    Args:
        progress: called with (what, done, total) while an index is built.

    Raises:
        DatasetError: there is no dataset, nothing was run in it, or it is empty.
    """
    return Searcher(url, progress)
