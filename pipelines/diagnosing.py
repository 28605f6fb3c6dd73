"""`zcurate diagnose`: draw what a generator may fail at, judge it, and say what fails and why.

All that is known lies in one folder: `pictures/` with their prompts, a dataset of them whose stages `draw` and `judge` say
what drew them and hold the verdicts, and the report. The same command goes on after a stop: pictures that are there are not
drawn again, verdicts that are there not asked again.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zcurate.curation.active.causes import confusion_told
from zcurate.curation.active.choosing import Choice, Concept, choose
from zcurate.curation.active.comparing import Comparison
from zcurate.curation.active.ranking import Finding, ranked
from zcurate.curation.active.testing import FAILS, Plan, Tally
from zcurate.curation.errors import ConfigError

from .concept_lists import graph_concepts, named, read_concepts, with_parts
from .diagnosis_evidence import TrainingData, explained
from .diagnosis_record import about, compared_with, earlier_concepts, note_run, write
from .judging import JUDGE, Judged, judged_pictures, judged_rows
from .probe_pictures import Probes
from .probing import DRAW, Purse, check_same, is_paid, price_usd, probed
from .view import open_view
from .written_prompts import written_prompts


@dataclass(frozen=True)
class Options:
    """What to test, and how.

    Attributes:
        generator: model string of role `generator`; `folder:DIR` judges what is there and draws nothing.
        out: folder of the diagnosis.
        names, file, graph: concepts by name, from a file, or of a graph; names count with either.
        dataset: training data to look for causes in.
        asked: prompts of users. write_prompts: prompts of each concept that the judge's model writes beside templates.
        judge: settings of the stage `judge`.
        budget: pictures of these concepts at most, over all runs; None for `plan.most` of each concept.
        max_spend: USD that pictures of a paid generator may cost; needed for those.
        against: folder of an earlier diagnosis: its concepts are tested again, and what changed is told.
    """

    generator: str
    out: Path
    names: tuple[str, ...] = ()
    file: Path | None = None
    graph: str | None = None
    dataset: str | None = None
    asked: tuple[str, ...] = ()
    write_prompts: int = 0
    plan: Plan = field(default_factory=Plan)
    choice: Choice = field(default_factory=Choice)
    judge: Mapping[str, Any] = field(default_factory=dict)
    budget: int | None = None
    size: str | None = None
    seed: int = 0
    batch: int = 4
    max_spend: float | None = None
    against: Path | None = None
    engine: str = "ray"
    address: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What came out.

    Attributes:
        findings: concepts, worst first; of `folder:` without probes, elements of the prompts.
        kinds: kind of element -> (satisfied, scored, unscored).
        pictures, unscored, errors: pictures judged; of them not told; and those that could not be read.
        tokens_in, tokens_out: of the model that looked, over all pictures.
        about: settings, JSON-able. comparison: with an earlier diagnosis.
    """

    findings: tuple[Finding, ...]
    kinds: Mapping[str, tuple[int, int, int]]
    pictures: int
    unscored: int
    errors: int
    tokens_in: int = 0
    tokens_out: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)
    comparison: Comparison | None = None


def diagnose(o: Options, say: Callable[[str], None] = lambda text: None) -> Diagnosis:
    """Probe, judge, explain, write the report, and note the run in `cycles.jsonl`.

    Raises:
        ConfigError: wrong options, a paid generator without `max_spend`, or no concept to test.
        ZcurateError: the judge stage did not finish.
    """
    started, before = time.monotonic(), _drawn(o)
    if o.against:
        earlier_concepts(o.against)  # says what is wrong with it before anything is drawn
    prefix, _, argument = o.generator.partition(":")
    if prefix == "folder":
        if not Path(argument).expanduser().is_dir():
            raise ConfigError(f"--generator {o.generator}: {argument} is no folder")
        judged = _judged(o, Path(argument).expanduser())
        if not judged:
            raise ConfigError(
                f"{argument}: no picture could be judged; each needs its prompt, in a .txt or .json of the same name "
                f"beside it (what was wrong with each: zcurate errors {o.out / 'dataset'})"
            )
        found = _of_pictures(o, judged)
    else:
        found = _of_probes(o, say)
        judged = list(judged_rows(o.out / "dataset"))
    diagnosis = Diagnosis(
        tuple(found),
        _by_kind(judged),
        len(judged),
        sum(j.row["passes"] is None for j in judged),
        _errors(o),
        *(sum(j.row[c] or 0 for j in judged) for c in ("tokens_in", "tokens_out")),
        about(o),
    )
    if o.against:
        diagnosis = replace(diagnosis, comparison=compared_with(o.against, diagnosis))
    write(diagnosis, o)
    drawn = _drawn(o) - before
    price = price_usd() if is_paid(o.generator) else None
    note_run(diagnosis, o, drawn, time.monotonic() - started, price)
    return diagnosis


def _drawn(o: Options) -> int:
    """Pictures that lie there."""
    return sum(1 for _ in (o.out / "pictures").rglob("*.png"))


def _of_probes(o: Options, say: Callable[[str], None]) -> list[Finding]:
    concepts = _concepts(o)
    check_same(o)
    begun = Probes(o.out / "pictures").counts()
    probes = Probes(o.out / "pictures", o.asked, o.seed, written_prompts(o, concepts, begun, say))
    probes.start(concepts)
    purse = Purse.of(o, probes, len(concepts), say)
    by_name = {c.name: c for c in concepts}
    for turn in itertools.count():
        asked = probes.counts()
        # What failed before this command may come now; what fails in it does not at once.
        judged = probed(o, purse, redo_errors=not turn) if asked else []
        tallies = _tallies(concepts, judged)
        for (
            name,
            tally,
        ) in tallies.items():  # what could not be drawn, or not be read, says nothing and counts
            tally.unscored += asked[name] - tally.drawn
        left = min(purse.pictures(), math.inf if o.budget is None else o.budget - asked.total())
        left = None if left == math.inf else max(0, int(left))
        wanted = o.plan.next_round(tallies, left)
        literal = _literal(judged)
        if not wanted and o.dataset:
            doubtful = {
                c.name
                for c in concepts
                if c.parts
                and o.plan.status(tallies[c.name]) == FAILS
                and not confusion_told(literal.get(c.name, ()))
            }
            wanted = o.plan.more_of({n: t for n, t in tallies.items() if n in doubtful}, left)
        say(f"{len(judged)} pictures judged, {len(wanted)} of {len(concepts)} concepts need more")
        if not wanted:
            break
        if not probes.ask([(by_name[n], asked[n] + count) for n, count in wanted.items()]):
            break
    weights = _weights(concepts)
    found = ranked(concepts, tallies, o.plan, weights)
    found = [replace(f, pictures=tuple(_failing(f.concept.name, judged))) for f in found]
    if o.dataset:
        found = _explained(o, found, TrainingData(o.dataset, list(by_name)), literal)
    return found


def _explained(
    o: Options, found: Sequence[Finding], data: TrainingData, literal: Mapping[str, Sequence[bool]]
) -> list[Finding]:
    judging = _claims_judging(o) if o.judge.get("verifier") or o.judge.get("engine") else None
    return explained(found, data, literal, o.out / "claimed", judging)


def _literal(judged: Sequence[Judged]) -> dict[str, list[bool]]:
    """Concept -> of its failing pictures, whether each shows a part of its name."""
    found: dict[str, list[bool]] = {}
    for one in judged:
        if one.row["literal"] is not None:
            found.setdefault(one.row["concept"], []).append(one.row["literal"])
    return found


def _claims_judging(o: Options) -> Callable[[Path], Mapping[str, bool | None]]:
    def judging(folder: Path) -> Mapping[str, bool | None]:
        rows = judged_pictures(folder, o.out / "claimed_dataset", o.judge, o.engine, o.address)
        return {one.picture: one.row["passes"] for one in rows}

    return judging


def _concepts(o: Options) -> list[Concept]:
    known = read_concepts(o.file) if o.file else graph_concepts(o.graph) if o.graph else []
    again = earlier_concepts(o.against) if o.against else []
    there = {c.name for c in known}
    known += [c for c in again if c.name not in there]
    missing = [n for n in o.names if n not in {c.name for c in known}]
    if missing and o.graph and not o.file:
        raise ConfigError(
            f"{o.graph}: no concept {missing[0]!r}; names are as `zcurate graph show` prints them"
        )
    known = with_parts([*known, *named(missing)])
    if not known:
        raise ConfigError(
            "no concept to test: give --concept NAME, --concepts FILE, --graph DIR or --against DIR"
        )
    if o.dataset:
        known = TrainingData(o.dataset, [c.name for c in known]).counted(known)
    first = dict.fromkeys([*o.names, *(c.name for c in again)])
    chosen = known if o.file or not o.graph else [c.concept for c in choose(known, o.choice, first)]
    # Whether a name is taken apart can only be told beside its parts by themselves.
    names, of = {c.name for c in chosen}, {c.name.casefold(): c for c in known}
    parts = dict.fromkeys(p for c in chosen for p in c.parts if p not in names)
    all_of_them = [*chosen, *(of.get(p.casefold(), Concept(p)) for p in parts)]
    return list({c.name: c for c in all_of_them}.values())


def _judged(o: Options, folder: Path) -> list[Judged]:
    return judged_pictures(folder, o.out / "dataset", o.judge, o.engine, o.address, "model")


def _errors(o: Options) -> int:
    """Pictures that could not be drawn, or not be read."""
    view = open_view(str(o.out / "dataset"))
    columns = [f"{stage}._status" for stage in (DRAW, JUDGE) if view.plan.path(stage)]
    return sum(
        row["live"] and "error" in (row[c] for c in columns)
        for _, table in view.tables(columns)
        for row in table.to_pylist()
    )


def _tallies(concepts: Sequence[Concept], judged: Sequence[Judged]) -> dict[str, Tally]:
    tallies = {c.name: Tally() for c in concepts}
    for one in judged:
        if one.row["concept"] in tallies:
            tallies[one.row["concept"]].add(one.row["passes"])
    return tallies


def _weights(concepts: Sequence[Concept]) -> dict[str, float] | None:
    """Prior over the mean prior; None where there are no priors."""
    total = sum(c.prior for c in concepts)
    return {c.name: c.prior * len(concepts) / total for c in concepts} if total > 0 else None


def _failing(name: str, judged: Sequence[Judged], most: int = 6) -> list[str]:
    return [j.picture for j in judged if j.row["concept"] == name and j.row["passes"] is False][:most]


def _of_pictures(o: Options, judged: Sequence[Judged]) -> list[Finding]:
    """Findings on pictures made elsewhere: by probed concept, with causes, where sidecars name one; else by element."""
    tallies: dict[str, Tally] = {}
    seen: dict[str, list[str]] = {}
    for one in judged:
        outcomes: list[tuple[str, bool | None]] = [(one.row["concept"], one.row["passes"])]
        if one.row["concept"] is None:
            outcomes = [(f"{e['kind']}: {e['name']}", e["satisfied"]) for e in one.row["elements"]]
        for name, passes in outcomes:
            tallies.setdefault(name, Tally()).add(passes)
            if passes is False:
                seen.setdefault(name, []).append(one.picture)
    probed = {one.row["concept"] for one in judged}
    concepts = {n: Concept(n) for n in tallies}
    data = TrainingData(o.dataset, [n for n in concepts if n in probed]) if o.dataset else None
    if data is not None:
        concepts |= {c.name: c for c in data.counted([c for n, c in concepts.items() if n in probed])}
    found = [
        replace(f, pictures=tuple(seen.get(f.concept.name, ())[:6]))
        for f in ranked(list(concepts.values()), tallies, o.plan)
    ]
    if data is None:
        return found
    causes = _explained(o, [f for f in found if f.concept.name in probed], data, _literal(judged))
    by_name = {f.concept.name: f for f in causes}
    return [by_name.get(f.concept.name, f) for f in found]


def _by_kind(judged: Sequence[Judged]) -> dict[str, tuple[int, int, int]]:
    yes: Counter[str] = Counter()
    no: Counter[str] = Counter()
    none: Counter[str] = Counter()
    for one in judged:
        for e in one.row["elements"]:
            (none if e["satisfied"] is None else yes if e["satisfied"] else no)[e["kind"]] += 1
    kinds = sorted({*yes, *no, *none})
    return {k: (yes[k], yes[k] + no[k], none[k]) for k in kinds}
