"""Fills the report from a dataset: what `zcurate report` and every build write."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .covering import plan_coverage
from .funnel import funnel_of
from .inspecting import error_rows
from .report import render_report
from .report.data import (
    Balance,
    CaptionCard,
    ConceptShare,
    DrawnSheet,
    DuplicateGroup,
    DuplicateMember,
    ErrorClass,
    FaultScore,
    FunnelStep,
    ReportData,
    Sample,
    StageTiming,
)
from .report_numbers import gather
from .runlog import latest_record
from .search_rows import NSFW_FROM
from .view import View, open_view

_SHOWN_GROUPS, _SHOWN_MEMBERS, _SHOWN_CAPTIONS, _SHOWN_BORDER, _SHOWN_CONCEPTS = 12, 5, 12, 5, 24
_SHOWN_GALLERY = 12


def write_report(
    url: str, out: Path, faults: Sequence[FaultScore] = (), drawn: DrawnSheet | None = None
) -> Path:
    """Write the report of the newest run. Raises DatasetError when nothing was run."""
    view = open_view(url)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(render_report(replace(report_data(view, faults), drawn=drawn)), encoding="utf-8")
    return out


def report_data(view: View, faults: Sequence[FaultScore] = ()) -> ReportData:
    """Everything the page shows, gathered in two passes: numbers of all rows, then the few samples shown."""
    record = latest_record(view.dataset)
    funnel = funnel_of(view)
    exported = max((e["rows"] for e in record.exports), default=None) if record else None
    steps = [FunnelStep(name, rows, _note(name, funnel.waiting)) for name, rows in funnel.steps]
    if exported is not None:
        steps.append(FunnelStep("exported", exported, "written to shards"))
    numbers = gather(view)
    groups = _duplicate_groups(view)
    captions = _caption_rows(view)
    wanted = numbers.near(_SHOWN_BORDER)
    wanted |= {i for g in groups for i in (g["keeper"], *(m[0] for m in g["members"]))}
    wanted |= {c["sample_id"] for c in captions}
    gallery = numbers.spread(_SHOWN_GALLERY)
    samples = _samples(view, wanted | set(gallery))
    rows = funnel.steps[0][1] if funnel.steps else 0
    left = funnel.steps[-1][1] if funnel.steps else 0
    decided = all(map(view.has, view.decisions))
    facts = [("rows", f"{rows:,}")]
    if record:
        facts += [
            ("run", record.run_id),
            ("engine", record.engine),
            ("machine", record.machine),
            ("zcurate", record.versions.get("zcurate", "")),
        ]
    return ReportData(
        name=view.recipe.name,
        recipe=view.recipe.name,
        created=record.started if record else "",
        gallery=tuple(samples[i] for i in gallery if i in samples),
        summary=f"{rows:,} samples in, {left:,} {'selected for training' if decided else 'left so far'}.",
        facts=tuple(facts),
        funnel=tuple(steps),
        drop_reasons=tuple(funnel.reasons.items()),
        sources=numbers.source_lines,
        histograms=tuple(numbers.histograms()),
        rules=tuple(numbers.rule_samples(samples, _SHOWN_BORDER)),
        duplicates=tuple(_group(g, samples) for g in groups),
        duplicate_groups_total=numbers.duplicate_groups,
        captions=tuple(_card(c, samples) for c in captions),
        balance=_balance(view, record),
        errors=tuple(_errors(view)),
        timings=tuple(_timings(view, record)),
        faults=tuple(faults),
    )


_STEP_NOTES = {
    "ingested": "listed from the sources",
    "readable": "decoded without error",
    "kept by filter": "no rule fired",
    "kept by scores": "no rule on scores fired",
    "unique": "one keeper per duplicate group",
    "sampled": "inside the rate and quota of its source",
}


def _note(step: str, waiting: Mapping[str, int]) -> str:
    """What a step does, and how many rows it has not come to."""
    left = f"{waiting[step]:,} not decided yet" if waiting.get(step) else ""
    return "; ".join(filter(None, (_STEP_NOTES.get(step), left)))


def _duplicate_groups(view: View) -> list[dict[str, Any]]:
    """The largest groups: keeper, members with similarity and reason."""
    if not view.has("groups"):
        return []
    columns = [
        "groups.group_id",
        "groups.keeper_id",
        "groups.sim_to_keeper",
        "groups.reason",
        "groups.group_size",
    ]
    members: dict[bytes, list[Any]] = defaultdict(list)
    for _, table in view.tables(columns):
        for row in table.to_pylist():
            if row["groups.group_id"] and (row["groups.group_size"] or 0) > 1:
                if row["sample_id"] != row["groups.keeper_id"]:
                    members[row["groups.group_id"]].append(
                        (row["sample_id"], row["groups.sim_to_keeper"], row["groups.reason"])
                    )
                else:
                    members[row["groups.group_id"]] += []
    largest = sorted(members.items(), key=lambda g: (-len(g[1]), g[0]))[:_SHOWN_GROUPS]
    return [{"keeper": k, "members": m[:_SHOWN_MEMBERS], "size": len(m) + 1} for k, m in largest]


def _group(group: dict[str, Any], samples: dict[bytes, Sample]) -> DuplicateGroup:
    blank = Sample(group["keeper"].hex())
    members = tuple(
        DuplicateMember(
            samples.get(i, Sample(i.hex())), None if reason.startswith("identical") else sim, reason
        )
        for i, sim, reason in group["members"]
    )
    return DuplicateGroup(samples.get(group["keeper"], blank), members, group["size"])


def _caption_rows(view: View) -> list[dict[str, Any]]:
    """A spread of captioned samples: those with text in the picture first, then evenly over the dataset."""
    if not view.has("captions"):
        return []
    columns = [
        "captions.en_long",
        "captions.zh_long",
        "captions.en_tags",
        "captions.engine",
        "captions.placeholder",
    ]
    if view.has("ocr"):
        columns.append("ocr.text")
    rows = [r for _, t in view.selected(columns) for r in t.select(["sample_id", *columns]).to_pylist()]
    with_text = [r for r in rows if r.get("ocr.text")][: _SHOWN_CAPTIONS // 2]
    rest = [r for r in rows if not r.get("ocr.text")]
    step = max(1, len(rest) // max(1, _SHOWN_CAPTIONS - len(with_text)))
    return (with_text + rest[::step])[:_SHOWN_CAPTIONS]


def _card(row: dict[str, Any], samples: dict[bytes, Sample]) -> CaptionCard:
    return CaptionCard(
        samples.get(row["sample_id"], Sample(row["sample_id"].hex())),
        en=row["captions.en_long"] or "",
        zh=row["captions.zh_long"] or "",
        tags=tuple((row["captions.en_tags"] or [])[:10]),
        strings=tuple((row.get("ocr.text") or "").split("\n")[:8]) if row.get("ocr.text") else (),
        engine=row["captions.engine"] or "",
        placeholder=bool(row["captions.placeholder"]),
    )


def _samples(view: View, ids: set[bytes]) -> dict[bytes, Sample]:
    columns = ["samples.source", "samples.key", "samples.text"]
    columns += ["thumbs.thumb"] if view.plan.path("thumbs") else []
    columns += ["scores.nsfw"] if view.has("scores") and "nsfw" in view.schema("scores").names else []
    found = {}
    for _, table in view.tables(columns):
        at = np.flatnonzero([i in ids for i in table.column("sample_id").to_pylist()])
        for row in table.take(at).to_pylist():
            found[row["sample_id"]] = Sample(
                row["sample_id"].hex(),
                row.get("thumbs.thumb"),
                f"{row['samples.source']}/{row['samples.key']}",
                row["samples.text"] or "",
                (row.get("scores.nsfw") or 0) >= NSFW_FROM,
            )
    return found


def _balance(view: View, record: Any) -> Balance | None:
    stage = next((s for s in view.plan.stages if "concepts" in s.bound.spec.side_tables), None)
    if stage is None or not view.has("weights"):
        return None
    path = stage.bound.table_path("concepts")
    meta = view.dataset.index(path).metas.get("all")
    if meta is None:
        return None
    table = view.dataset.read(path, "all")
    rows = sorted(table.to_pylist(), key=lambda r: -r["df"])[:_SHOWN_CONCEPTS]
    shares = tuple(ConceptShare(r["concept"], r["share_before"], r["share_after"]) for r in rows)
    ess = float(meta.facts["effective_sample_size"])
    return Balance(shares, int(meta.facts["n"]), ess, len(table), plan_coverage(view, stage))


def _errors(view: View) -> list[ErrorClass]:
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for row in error_rows(view.dataset.storage.url):
        key = (row["error_class"], row["group"])
        counts[key] += 1
        if len(examples[key]) < 3:
            examples[key].append((f"{row['source']}/{row['uri']}", row["error_message"]))
    return [
        ErrorClass(name, stage, n, tuple(examples[name, stage])) for (name, stage), n in counts.most_common()
    ]


def _timings(view: View, record: Any) -> list[StageTiming]:
    if record is None:
        return []
    specs = {s.name: s.bound.spec for s in view.plan.stages}
    return [
        StageTiming(
            stage=name,
            rows=s["rows_computed"],
            seconds=s["wall_seconds"],
            engine=", ".join(specs[name].models.values()) if name in specs else "",
            version=str(specs[name].version) if name in specs else "",
            errors=s["rows_error"],
            reused=s["rows_reused"],
        )
        for name, s in record.stages.items()
    ]
