"""`zcurate augment`: from a pool that nobody curated, what a diagnosis says is lacking, checked, with provenance.

Candidates are found by the concept's names and by pictures that look like good examples; each must pass the pool's own
rules, must not be made by a model, must not be in the dataset already, and must show the concept as far as anyone can
tell. What is accepted becomes a source of the dataset, so that its own stages profile, filter, deduplicate and caption it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from zcurate.curation.active.causes import ACTIONS
from zcurate.curation.active.choosing import Concept
from zcurate.curation.active.prompting import naming
from zcurate.curation.errors import ConfigError, DatasetError, SampleError
from zcurate.curation.store import read_sources

from .build import BuildOptions, ingest_source
from .build import build as run_build
from .context import StageContext
from .cycles import findings, note
from .diagnosing import Judged, judged_pictures
from .diagnosis_evidence import TrainingData
from .probe_pictures import slug
from .recipe import SourceConfig, build_recipe
from .runlog import latest_record
from .searching import Searcher, open_search

#: Ranks are fused as 1 / (this + rank), after Cormack et al. 2009.
_RRF = 60.0
#: Probability of being made by a model from which a candidate is refused, where the pool has scores.
MOST_AI = 0.9
#: Good examples whose look-alikes are searched, per concept.
EXAMPLES = 5
_PLACE = ("source", "uri", "container", "member", "offset", "length", "origin", "text", "metadata", "license")
REASONS = ("made_by_model", "already_there", "copy", "not_shown", "cannot_tell", "unreadable", "enough")


@dataclass(frozen=True)
class Options:
    """What to repair, from where.

    Attributes:
        diagnosis: folder that `zcurate diagnose` wrote; its findings with action `augment` are repaired.
        names: these concepts instead, or of those findings only these.
        pool, dataset: dataset that is searched; dataset that is added to.
        out: folder of the additions; default DIAGNOSIS/augment.
        per_concept: samples added of each at most. look: candidates looked at per sample wanted.
        judge: settings of the stage `judge`.
        unverified: also what nobody can tell, e.g. without a model that looks.
        apply: add to the dataset and run its stages; else only the preview is made.
    """

    pool: str
    dataset: str
    out: Path
    diagnosis: Path | None = None
    names: tuple[str, ...] = ()
    per_concept: int = 100
    look: int = 4
    judge: Mapping[str, Any] = field(default_factory=dict)
    unverified: bool = False
    apply: bool = False
    author: str = ""
    engine: str = "ray"
    address: str | None = None


@dataclass
class Candidate:
    """A sample of the pool, and what was decided on it."""

    sample_id: str
    score: float
    queries: list[str]
    file: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Repaired:
    """What became of one concept. `refused`: reason -> candidates."""

    concept: str
    cause: str
    found: int
    accepted: tuple[str, ...]
    refused: Mapping[str, int]


def augment(o: Options, say: Callable[[str], None] = lambda text: None) -> list[Repaired]:
    """Retrieve, check, write the preview and the record; with `apply`, add.

    Raises:
        ConfigError: nothing to repair, or pool and dataset are one. DatasetError: no such dataset, or nothing to search.
    """
    if os.path.realpath(o.pool) == os.path.realpath(o.dataset):
        raise ConfigError("--pool and DATASET are the same; what is there already cannot be added")
    concepts = _concepts(o)
    pool, data = open_search(o.pool), TrainingData(o.dataset)
    present = data.content_ids()
    folder = o.out / "candidates"
    found: dict[str, list[Candidate]] = {}
    for concept in concepts:
        found[concept.name] = candidates = _candidates(pool, data, concept, o)
        _write_candidates(pool, concept, candidates, present, folder, o)
        say(f"{concept.name}: {len(candidates)} candidates")
    judged = judged_pictures(folder, o.out / "dataset", o.judge, o.engine, o.address) if any(
        c.file for cs in found.values() for c in cs
    ) else []  # fmt: skip
    verdicts = {j.picture: j for j in judged}
    causes = {c.name: cause for c, cause in _causes(o, concepts)}
    repaired = [_decided(c, causes[c.name], found[c.name], verdicts, folder, o) for c in concepts]
    added = _collect(concepts, found, folder, o)
    _preview(repaired, o)
    source = _apply(added, o) if o.apply and added else None
    _record(repaired, source, o)
    return repaired


def _concepts(o: Options) -> list[Concept]:
    if o.diagnosis is None:
        if not o.names:
            raise ConfigError("nothing to repair: give --diagnosis DIR, or --concept NAME")
        return [Concept(n) for n in o.names]
    concepts = [Concept(**{**f["concept"], "aliases": tuple(f["concept"]["aliases"]), "parts": tuple(f["concept"]["parts"])})
                for f in _findings(o) if not o.names or f["concept"]["name"] in o.names]  # fmt: skip
    if not o.names:
        wanted = {f["concept"]["name"] for f in _findings(o) if (f["cause"] or {}).get("action") == "augment"}
        concepts = [c for c in concepts if c.name in wanted]
    if not concepts:
        raise ConfigError(
            f"{o.diagnosis}: no finding asks for data ({', '.join(sorted(set(ACTIONS.values())))} are the actions); "
            "name concepts with --concept"
        )
    return concepts


def _findings(o: Options) -> list[dict[str, Any]]:
    return findings(o.diagnosis) if o.diagnosis else []


def _causes(o: Options, concepts: Sequence[Concept]) -> list[tuple[Concept, str]]:
    known = {f["concept"]["name"]: (f["cause"] or {}).get("name", "") for f in _findings(o)}
    return [(c, known.get(c.name, "")) for c in concepts]


def _candidates(pool: Searcher, data: TrainingData, concept: Concept, o: Options) -> list[Candidate]:
    """By every name, and by the look of good examples; fused by rank."""
    count = o.per_concept * o.look
    scores: Counter[str] = Counter()
    queries: dict[str, list[str]] = {}

    def add(query: str, hits: Sequence[Any]) -> None:
        for rank, hit in enumerate(hits):
            scores[hit.sample_id] += 1 / (_RRF + rank)
            queries.setdefault(hit.sample_id, []).append(query)

    for name in (concept.name, *concept.aliases):
        add(f"text: {name}", pool.search(text=name, k=count, mode="auto").hits)
    for sample_id, image in data.examples(concept, EXAMPLES):
        try:
            add(f"looks like: {sample_id}", pool.search(image=image, k=count // 2 + 1).hits)
        except (DatasetError, ConfigError):
            break  # the pool has no vectors: names alone
    ranked = sorted(scores, key=lambda i: (-scores[i], i))[:count]
    return [Candidate(i, scores[i], queries[i]) for i in ranked]


def _write_candidates(
    pool: Searcher,
    concept: Concept,
    candidates: Sequence[Candidate],
    present: set[bytes],
    folder: Path,
    o: Options,
) -> None:
    """Original bytes of what may be looked at, with the concept as the prompt to be judged by."""
    rows = pool.rows.take([pool.rows.number_of(bytes.fromhex(c.sample_id)) for c in candidates], [
        *(f"samples.{c}" for c in _PLACE), *pool.rows.present(["metadata.ai_declared", "scores.ai_generated"])
    ])  # fmt: skip
    blobs = StageContext(sources=read_sources(pool.view.dataset)).blobs()
    where = folder / slug(concept.name)
    where.mkdir(parents=True, exist_ok=True)
    seen: set[bytes] = set()
    for candidate in candidates:
        row = rows[pool.rows.number_of(bytes.fromhex(candidate.sample_id))]
        if _made(row):
            candidate.refused = "made_by_model"
            continue
        try:
            data = blobs.read(*(row[f"samples.{c}"] for c in _PLACE[:6]))
        except SampleError:
            candidate.refused = "unreadable"
            continue
        content = xxhash.xxh3_128_digest(data)
        if content in present or content in seen:
            candidate.refused = "already_there" if content in present else "copy"
            continue
        seen.add(content)
        suffix = Path(row["samples.member"] or row["samples.uri"]).suffix.lower() or ".img"
        candidate.file = f"{slug(concept.name)}/{candidate.sample_id}{suffix}"
        provenance = {
            "pool": o.pool, "sample_id": candidate.sample_id, "queries": candidate.queries, "score": candidate.score,
            "license": row["samples.license"], "source": row["samples.source"],
        }  # fmt: skip
        sidecar = {
            "prompt": concept.name, "concept": concept.name, "caption": _text(concept, row["samples.text"]),
            "keywords": [concept.name, *concept.aliases], "provenance": provenance,
        }  # fmt: skip
        for path, content in (
            (
                (folder / candidate.file).with_suffix(".json"),
                json.dumps(sidecar, ensure_ascii=False).encode(),
            ),
            (folder / candidate.file, data),
        ):
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


def _decided(
    concept: Concept,
    cause: str,
    candidates: list[Candidate],
    verdicts: Mapping[str, Judged],
    folder: Path,
    o: Options,
) -> Repaired:
    accepted: list[str] = []
    for candidate in candidates:
        if candidate.refused:
            continue
        one = verdicts.get(candidate.file)
        passes = one.row["passes"] if one else None
        if one is None:
            candidate.refused = "unreadable"
        elif passes is False:
            candidate.refused = "not_shown"
        elif passes is None and not o.unverified:
            candidate.refused = "cannot_tell"
        elif len(accepted) >= o.per_concept:
            candidate.refused = "enough"
        else:
            accepted.append(candidate.file)
    refused = Counter(c.refused for c in candidates if c.refused)
    return Repaired(concept.name, cause, len(candidates), tuple(accepted), dict(sorted(refused.items())))


def _collect(
    concepts: Sequence[Concept], found: Mapping[str, Sequence[Candidate]], folder: Path, o: Options
) -> int:
    """Accepted files as a folder of their own, links where they can be; each file once, whatever it was found for."""
    added, seen = o.out / "added", set()
    for concept in concepts:
        for candidate in found[concept.name]:
            if candidate.refused or not candidate.file or candidate.sample_id in seen:
                continue
            seen.add(candidate.sample_id)
            for name in (candidate.file, str(Path(candidate.file).with_suffix(".json"))):
                target = added / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    target.write_bytes((folder / name).read_bytes())
    return len(seen)


def _preview(repaired: Sequence[Repaired], o: Options) -> None:
    from .report.repairs import render_repairs

    o.out.mkdir(parents=True, exist_ok=True)
    page = render_repairs(repaired, o.pool, o.dataset, o.out / "candidates")
    (o.out / "augment.html").write_text(page, encoding="utf-8")


def _apply(added: int, o: Options) -> str:
    """The additions as a source of the dataset, and its own recipe run over them. Returns the source's name."""
    data = TrainingData(o.dataset).view.dataset
    record = latest_record(data)
    if record is None:
        raise DatasetError(
            f"{o.dataset}: no run is recorded, so nothing says which stages new samples go through"
        )
    name = f"augment-{slug(str(o.out.resolve()))[-8:]}"
    ingest_source(o.dataset, SourceConfig(root=str(o.out / "added"), name=name, kind="folder"), None)
    # The dataset may have been moved, or copied, since its recipe was run.
    changes = {"dataset": o.dataset, "params": {}, "sources": [], "export": []}
    recipe = build_recipe({**record.recipe, **changes}, "zcurate augment")
    run_build(
        recipe,
        BuildOptions(o.engine, o.address, ingest=False, export=False, quiet=True, max_quarantined=1.0),
        "augment",
    )
    return name


def _record(repaired: Sequence[Repaired], source: str | None, o: Options) -> None:
    """One line per run in cycles.jsonl: what was found, done and added."""
    line = {
        "author": o.author, "action": "augment",
        "diagnosis": str(o.diagnosis) if o.diagnosis else None, "pool": o.pool, "dataset": o.dataset,
        "source": source, "concepts": [asdict(r) | {"accepted": len(r.accepted)} for r in repaired],
    }  # fmt: skip
    note(o.out, line)
