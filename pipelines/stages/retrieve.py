"""Stage `retrieve`: for each concept of a list, what a pool may have of it, with the files laid out to be judged.

Rows are concepts: `name`, `aliases`, and `count` of candidates. They are found by the names and by pictures of the dataset that
go by them; or, where `good` lists earlier candidates that were found to show the concept, by the look of those, and what `seen`
lists (a file of ids in hex, a line each; with its digest) is left out. A candidate that a model made, that the dataset has, or that cannot be read is refused here; whether one shows the
concept is for others to say.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.active.choosing import Concept
from zcurate.curation.active.prompting import naming
from zcurate.curation.errors import ConfigError, DatasetError, SampleError
from zcurate.curation.export.formats import extension_of
from zcurate.curation.stage import Resources, RowMonitor, StageSpec, field_of, map_rows
from zcurate.curation.store import Dataset, read_sources

from ..context import StageContext
from ..diagnosis_evidence import TrainingData
from ..probe_pictures import slug
from ..searching import open_search

if TYPE_CHECKING:
    from ..searching import Searcher

VERSION = 1
NAME = "retrieve"
#: Ranks are fused as 1 / (this + rank), after Cormack et al. 2009.
_RRF = 60.0
#: Probability of being made by a model from which a candidate is refused, where the pool has scores.
MOST_AI = 0.9
#: Good examples whose look-alikes are searched, per concept.
EXAMPLES = 5
_PLACE = ("source", "uri", "container", "member", "offset", "length", "origin", "text", "metadata", "license")
CANDIDATE = pa.struct(
    [
        ("sample_id", pa.string()),
        ("score", pa.float64()),
        ("queries", pa.list_(pa.string())),
        ("file", pa.string()),
        ("refused", pa.string()),
        ("row", pa.int64()),
    ]
)
OUTPUT = pa.schema(
    [
        field_of("concept", pa.string(), "what was looked for"),
        field_of("candidates", pa.list_(CANDIDATE), "best first; those without `refused` lie in the folder"),
    ]
)


@dataclass
class Candidate:
    """A sample of the pool: its id in hex, by which queries it was found, its file, and why it is not taken ("": it is).

    row: its number in the pool's rows.
    """

    sample_id: str
    score: float
    queries: list[str]
    file: str = ""
    refused: str = ""
    row: int = -1


class Config(BaseModel):
    """Settings of the retrieve stage."""

    model_config = ConfigDict(extra="forbid")

    pool: str = Field(description="dataset that is searched")
    called: str = Field("", description="what provenance calls it; default: its place")
    dataset: str = Field(
        description="dataset that is added to: for good examples, and for what it has already"
    )
    folder: str = Field(description="where candidates are written, each concept in a folder of its own")
    count: int = Field(
        400, ge=1, description="candidates of a concept; twice as many once some were found good"
    )
    state: str = Field("", description="digest of both datasets: what was found in others is looked for anew")


class RetrieveStage:
    """Opens both datasets once per worker; their search indexes are shared on disk."""

    def __init__(self, config: Config, ctx: StageContext):
        self._config, self._block = config, ctx.block
        self.spec = StageSpec(
            name=NAME,
            version=VERSION,
            reads=("samples.metadata",),
            outputs={NAME: OUTPUT},
            config=config.model_dump(),
            # a training set is held as text, with where each word stands
            resources=Resources(memory_bytes=(4 << 30) + 2048 * _rows(config.dataset), row_deadline_s=1800.0),
        )
        self._pool: Searcher | None = None

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        self._pool, self._data = open_search(self._config.pool), TrainingData(self._config.dataset)
        self._blobs = StageContext(sources=read_sources(self._pool.view.dataset)).blobs()
        self._present = self._data.content_ids()

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if self._pool is None:
            self.setup()
        return map_rows(table, self._row, self.spec.schema, monitor)

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        asked = json.loads(row["samples.metadata"])
        concept = Concept(asked["name"], aliases=tuple(asked["aliases"]))
        if asked["good"]:
            examples = [(Path(f).stem, (Path(self._config.folder) / f).read_bytes()) for f in asked["good"]]
            before = frozenset(Path(asked["seen"]).read_text().split())
            candidates = self._found((), examples, asked["count"], before)
            there = {
                p for p in (Path(self._config.folder) / slug(concept.name)).iterdir() if p.suffix != ".json"
            }
            known = {xxhash.xxh3_128_digest(p.read_bytes()) for p in there if p.stem in before}
        else:
            names = (concept.name, *concept.aliases)
            candidates, known = (
                self._found(names, self._data.examples(concept, EXAMPLES), asked["count"]),
                set(),
            )
        self._write(concept, candidates, known)
        return {"concept": concept.name, "candidates": [asdict(c) for c in candidates]}

    def _found(
        self,
        names: Sequence[str],
        examples: Sequence[tuple[str, bytes]],
        count: int,
        seen: frozenset[str] = frozenset(),
    ) -> list[Candidate]:
        """By every name, and by the look of examples (id, bytes); fused by rank."""
        scores: Counter[str] = Counter()
        queries: dict[str, list[str]] = {}
        numbers: dict[str, int] = {}

        def add(query: str, hits: Sequence[Any]) -> None:
            for rank, hit in enumerate(hits):
                if hit.sample_id not in seen:
                    scores[hit.sample_id] += 1 / (_RRF + rank)
                    queries.setdefault(hit.sample_id, []).append(query)
                    numbers[hit.sample_id] = hit.row

        for name in names:
            add(f"text: {name}", self._pool.search(text=name, k=count, mode="auto").hits)
        most = count // 2 + 1 if names else count
        for sample_id, image in examples:
            try:
                add(f"looks like: {sample_id}", self._pool.search(image=image, k=most + len(seen)).hits)
            except (DatasetError, ConfigError):
                break  # the pool has no vectors: names alone
        ranked = sorted(scores, key=lambda i: (-scores[i], i))[:count]
        return [Candidate(i, scores[i], queries[i], row=numbers[i]) for i in ranked]

    def _write(self, concept: Concept, candidates: Sequence[Candidate], seen: set[bytes]) -> None:
        """Original bytes of what may be looked at, with the concept as the prompt to be judged by.

        Args:
            seen: digests of files that are candidates already.
        """
        columns = [*(f"samples.{c}" for c in _PLACE), *self._pool.rows.present(["metadata.ai_declared", "scores.ai_generated"])]  # fmt: skip
        rows = self._pool.rows.take([c.row for c in candidates], columns)
        for candidate in candidates:
            row = rows[candidate.row]
            if _made(row):
                candidate.refused = "made_by_model"
                continue
            try:
                data = self._blobs.read(*(row[f"samples.{c}"] for c in _PLACE[:6]))
            except SampleError:
                candidate.refused = "unreadable"
                continue
            content = xxhash.xxh3_128_digest(data)
            if content in self._present or content in seen:
                candidate.refused = "already_there" if content in self._present else "copy"
                continue
            seen.add(content)
            # never a name of the pool's: of what is no picture, judging will say so
            suffix = extension_of(None, data)
            suffix = "jpg" if suffix == "bin" else suffix
            candidate.file = f"{slug(concept.name)}/{candidate.sample_id}.{suffix}"
            self._lay_out(concept, candidate, row, data)

    def _lay_out(self, concept: Concept, candidate: Candidate, row: Mapping[str, Any], data: bytes) -> None:
        provenance = {
            "pool": self._config.called or self._config.pool, "sample_id": candidate.sample_id, "queries": candidate.queries,
            "score": candidate.score, "license": row["samples.license"], "source": row["samples.source"],
        }  # fmt: skip
        sidecar = {
            "prompt": concept.name, "concept": concept.name, "caption": _text(concept, row["samples.text"]),
            "keywords": [concept.name, *concept.aliases], "provenance": provenance,
        }  # fmt: skip
        path = Path(self._config.folder) / candidate.file
        path.parent.mkdir(parents=True, exist_ok=True)
        # The record first: a picture without one would be judged by nothing.
        put(path.with_suffix(".json"), json.dumps(sidecar, ensure_ascii=False).encode())
        put(path, data)


def _rows(dataset: str) -> int:
    return sum(m.rows for m in Dataset.open(dataset).samples().metas.values())


def put(path: Path, content: bytes) -> None:
    """As it is where it is that already, so that nothing is judged twice."""
    if not path.exists() or path.read_bytes() != content:
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(content)
        os.replace(part, path)


def _made(row: Mapping[str, Any]) -> bool:
    """Whether a model made it: by where it comes from, by what the file declares, or by the pool's scores."""
    return (
        row["samples.origin"] == "model"
        or bool(row.get("metadata.ai_declared"))
        or (row.get("scores.ai_generated") or 0.0) > MOST_AI
    )


def _text(concept: Concept, text: str | None) -> str:
    """What came with the picture; where that does not name the concept, which was then found by its look, the name."""
    return text if text and naming(concept, [text]) else concept.name


def build(config: Config, ctx: StageContext) -> RetrieveStage:
    """The stage; opens nothing."""
    return RetrieveStage(config, ctx)
