"""`zcurate augment`: from a pool that nobody curated, what a diagnosis says is lacking, checked, with provenance.

Candidates are found by the concept's names and by pictures that look like good examples; each must pass the pool's own
rules, must not be made by a model, must not be in the dataset already, and must show the concept as far as anyone can
tell. What is accepted becomes a source of the dataset, so that its own stages profile, filter, deduplicate and caption it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from zcurate.curation.active.causes import ACTIONS
from zcurate.curation.active.choosing import Concept
from zcurate.curation.errors import ConfigError, DatasetError, ZcurateError
from zcurate.curation.store import read_sources
from zcurate.curation.store.digest import json_digest
from zcurate.curation.uris import check_root

from .build import BuildOptions, ingest_source
from .build import build as run_build
from .concept_rows import about_concepts
from .cycles import findings, note
from .diagnosis_evidence import TrainingData
from .judging import Judged, judged_pictures
from .probe_pictures import slug
from .recipe import SourceConfig, build_recipe
from .runlog import latest_record
from .search_indexes import VECTORS
from .searching import open_search
from .stages.retrieve import EXAMPLES, Candidate, put
from .view import open_view

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
        turns: 1: by names, and by good examples of the dataset; 2: then also by what was found to show it.
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
    turns: int = 2
    judge: Mapping[str, Any] = field(default_factory=dict)
    unverified: bool = False
    apply: bool = False
    author: str = ""
    engine: str = "ray"
    address: str | None = None


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
    if o.apply:
        _check_target(o)
    causes = {c.name: cause for c, cause in _causes(o, concepts)}
    folder, state = o.out / "candidates", _ready(o)
    for old in (o.out / "retrieval").glob("*"):
        if old.name != state and old.is_dir():  # of datasets as they are no more
            shutil.rmtree(old)
    found: dict[str, list[Candidate]] = {}
    lists = [{"name": c.name, "aliases": list(c.aliases), "good": [], "count": o.per_concept * o.look}
             for c in concepts]  # fmt: skip
    for turn in range(1, o.turns + 1):
        for name, candidates in _retrieved(o, lists, f"{state}/{turn}", say).items():
            say(f"{name}: {len(candidates)} candidates" + (" more by their look" if turn > 1 else ""))
            found[name] = [*found.get(name, ()), *candidates]
        judged = judged_pictures(folder, o.out / "dataset", o.judge, o.engine, o.address) if any(
            c.file for cs in found.values() for c in cs
        ) else []  # fmt: skip
        verdicts = {j.picture: j for j in judged}
        repaired = [_decided(c, causes[c.name], found[c.name], verdicts, o) for c in concepts]
        if turn == 2 or o.unverified:
            break
        # What was found to show it says better than any word how more of it would look.
        lists = [
            {**row, "good": list(r.accepted[:EXAMPLES]), "count": (o.per_concept - len(r.accepted)) * o.look,
             **_seen(o.out / "retrieval" / state, r.concept, found[r.concept])}
            for row, r in zip(lists, repaired, strict=True)
            if 0 < len(r.accepted) < o.per_concept
        ]  # fmt: skip
        if not lists:
            break
    _preview(repaired, o)
    put(o.out / "accepted.txt", "".join(f"{f}\n" for r in repaired for f in r.accepted).encode())
    source = None
    if o.apply:
        _collect(concepts, found, folder, o)
        # also after a stop within, when all of it is found to be there already
        source = _apply(o) if any((o.out / "added").glob("*/*.json")) else None
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


def _retrieved(
    o: Options, lists: Sequence[Mapping[str, Any]], name: str, say: Callable[[str], None]
) -> dict[str, list[Candidate]]:
    """Concept -> candidates, by the stage `retrieve`; those done before are not done again.

    Args:
        lists: rows of the stage. name: of their folder.
    """
    settings = {
        "pool": check_root(o.pool), "called": o.pool, "dataset": check_root(o.dataset), "folder": str((o.out / "candidates").resolve()),
        "state": name,
    }  # fmt: skip
    home = o.out / "retrieval" / name
    before = (home / "dataset").exists()
    found, wrong = about_concepts(home, "retrieve", settings, lists, o.engine, o.address)
    if before and not _sound(found, o.out / "candidates"):
        shutil.rmtree(home / "dataset")  # files went since, or were away and may be back
        found, wrong = about_concepts(home, "retrieve", settings, lists, o.engine, o.address)
    if wrong and not found:
        raise ZcurateError(f"{next(iter(wrong))}: {next(iter(wrong.values()))}")
    for concept, message in wrong.items():
        say(f"{concept}: {message}")
    return {n: [Candidate(**c) for c in row["candidates"]] for n, row in found.items()} | {
        n: [] for n in wrong
    }


def _sound(found: Mapping[str, Mapping[str, Any]], folder: Path) -> bool:
    """Is all there that was laid out, and was all to be read?"""
    for c in (c for row in found.values() for c in row["candidates"]):
        files = [folder / c["file"], (folder / c["file"]).with_suffix(".json")] if c["file"] else []
        if c["refused"] == "unreadable" or not all(f.exists() for f in files):
            return False
    return True


def _seen(home: Path, concept: str, candidates: Sequence[Candidate]) -> dict[str, str]:
    """A list of candidates as a file, for a row of the stage."""
    path, text = home / "seen" / f"{slug(concept)}.txt", "\n".join(c.sample_id for c in candidates)
    path.parent.mkdir(parents=True, exist_ok=True)
    put(path, text.encode())
    return {"seen": str(path.resolve()), "seen_digest": xxhash.xxh3_128_hexdigest(text.encode())}


def _ready(o: Options) -> str:
    """Digest of pool and dataset, whose search indexes are made or brought up to date by the way."""
    pool = open_search(o.pool)
    pool.search(text="a", k=1)
    if pool.view.has(VECTORS):
        len(pool.vectors)
    roots = {name: source.root for name, source in read_sources(pool.view.dataset).items()}
    return json_digest([pool.view.digest, open_view(o.dataset).digest, roots])[:16]


def _decided(
    concept: Concept,
    cause: str,
    candidates: list[Candidate],
    verdicts: Mapping[str, Judged],
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


def _check_target(o: Options) -> None:
    """A folder holds additions to one dataset. Raises ConfigError: to another."""
    path, now = o.out / "added.json", check_root(o.dataset)
    if any((o.out / "added").glob("*/*")) and path.exists():
        before = json.loads(path.read_text(encoding="utf-8")).get("dataset")
        if before != now:
            raise ConfigError(f"{o.out} holds what was added to {before}; give another --out")
    o.out.mkdir(parents=True, exist_ok=True)
    put(path, json.dumps({"dataset": now}).encode())


def _collect(
    concepts: Sequence[Concept], found: Mapping[str, Sequence[Candidate]], folder: Path, o: Options
) -> None:
    """Accepted files as a folder of their own; each file once, whatever it was found for."""
    seen = set()
    for concept in concepts:
        for candidate in found[concept.name]:
            if candidate.refused or not candidate.file or candidate.sample_id in seen:
                continue
            seen.add(candidate.sample_id)
            for name in (str(Path(candidate.file).with_suffix(".json")), candidate.file):
                target = o.out / "added" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                put(target, (folder / name).read_bytes())


def _preview(repaired: Sequence[Repaired], o: Options) -> None:
    from .report.repairs import render_repairs

    o.out.mkdir(parents=True, exist_ok=True)
    page = render_repairs(repaired, o.pool, o.dataset, o.out / "candidates")
    (o.out / "augment.html").write_text(page, encoding="utf-8")


def _apply(o: Options) -> str:
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
    options = BuildOptions(o.engine, o.address, ingest=False, export=False, quiet=True, max_quarantined=1.0)
    outcome = run_build(recipe, options, "augment")
    if outcome.result.failed or not outcome.result.complete:
        raise ZcurateError(
            "; ".join(outcome.result.failed) or "the run was stopped; the same command goes on"
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
