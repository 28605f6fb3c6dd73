"""Answers about a dataset, as plain values: what the looking commands print."""

from __future__ import annotations

import html as html_module
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.curation.store import SAMPLES, Dataset, Limit, read_selection, read_sources
from zcurate.curation.store.lineage import split_column
from zcurate.curation.store.maintenance import GroupDiff, diff, errors, garbage

from .explaining import plain
from .planned import plan_stages
from .runlog import all_records, latest_record, parse_recipe
from .statuses import all_ok, statuses_of
from .view import View, open_view


def status_of(url: str) -> dict[str, Any]:
    """Samples, shards, and per stage of the newest run what is done."""
    dataset = Dataset.open(url)
    samples = dataset.samples()
    record = latest_record(dataset)
    facts: dict[str, Any] = {
        "dataset": dataset.storage.url,
        "samples": sum(m.rows for m in samples.metas.values()),
        "shards": len(samples.metas),
        "sources": {n: s.root for n, s in read_sources(dataset).items()},
        "stages": [],
        "damaged": {f"samples/{s}": r for s, r in samples.invalid.items()},
        "last_run": None,
    }
    selection = read_selection(dataset, samples)
    facts["live"] = sum(selection.rows[s] - len(b.dead) for s, b in selection.bases.items())
    if record is None:
        return facts
    view = open_view(url, strict=False)
    for stage in view.plan.stages:
        index = dataset.index(stage.primary)
        metas = [m for s, m in index.metas.items() if s in view.selection.bases]
        counts = {k: sum(m.counts.get(k, 0) for m in metas) for k in ("ok", "error", "not_selected")}
        facts["stages"].append(
            {"stage": stage.name, "path": stage.primary, "shards_done": len(metas), **counts}
        )
        facts["damaged"] |= {f"{stage.primary}/{s}": r for s, r in index.invalid.items()}
    facts["last_run"] = {
        k: v for k, v in asdict(record).items() if k in ("run_id", "state", "seconds", "command", "exit_code")
    }
    return facts


def error_rows(url: str) -> Iterator[dict[str, Any]]:
    """Every error row of the newest run: where, which file, what."""
    view = open_view(url)
    paths = [p for stage in view.plan.stages for p in stage.output_paths[:1]]
    for table in errors(view.dataset, paths, view.selection.shards):
        shard = table.column("shard")[0].as_py()
        places = view.dataset.read(SAMPLES, shard, ["source", "uri", "member"]).take(table.column("row"))
        for row, place in zip(table.to_pylist(), places.to_pylist(), strict=True):
            member = f"/{place['member']}" if place["member"] else ""
            yield {
                **row,
                "sample_id": row["sample_id"].hex(),
                "source": place["source"],
                "uri": f"{place['uri']}{member}",
            }


def whatif_of(
    url: str, rule: str, n_examples: int, html: Path | None = None, source: str | None = None
) -> dict[str, Any]:
    """Counts and samples of a rule that does not exist yet.

    Bare names mean what they mean in a rule of the recipe (samples, profile, metadata, quality,
    scores); columns of any other group go by their qualified names, e.g. `ocr.has_text`.

    Args:
        source: glob on the source name; other sources are left out.

    Raises:
        ConfigError: the rule is wrong for the dataset's columns, or no source matches.
    """
    from zcurate.curation.filters import compile_expression, whatif

    view = open_view(url)
    names = read_sources(view.dataset)
    if source is not None and not any(fnmatchcase(n, source) for n in names):
        raise ConfigError(f"--source {source!r} matches no source; there are {', '.join(names)}")
    condition = compile_expression(rule, whatif_schema(view, rule))
    read = list(condition.columns)
    columns = sorted({*read, "samples.source"})
    missing = sorted({g for g, _ in map(split_column, read) if g != SAMPLES and not view.has(g)})
    if missing:
        raise DatasetError(f"{', '.join(missing)}: not computed yet; run 'zcurate build' with the recipe")

    def batches() -> Iterator[pa.Table]:
        for _, table in _live_tables(view, [*columns, *statuses_of(read)]):
            if source is not None:
                given = table.column("samples.source").to_pylist()
                table = table.filter(pa.array([fnmatchcase(n or "", source) for n in given], pa.bool_()))
            yield table

    found = whatif(
        batches(),
        condition,
        n_examples,
        known=lambda table: all_ok(table, read),
        kept=(lambda table: table.column("kept").to_numpy()) if _decided(view) else None,
    )
    by_id = {e.sample_id: e for e in found.examples}
    places = _places(view, set(by_id), read)
    examples = [
        {
            "sample_id": i.hex(),
            "value": e.value,
            "matched": e.matched,
            "kept": places[i]["kept"],
            **{k: places[i][k] for k in ("source", "key")},
            "values": plain({c: places[i][c] for c in read}),
        }
        for i, e in sorted(by_id.items(), key=lambda item: (item[1].value or 0.0, item[0]))
    ]
    if html is not None:
        html.write_text(_page(found.condition, [(places[i], e) for i, e in by_id.items()]), encoding="utf-8")
    h = found.histogram
    return {
        "condition": found.condition,
        **asdict(found.counts),
        "threshold": found.threshold,
        "sources": {n: asdict(c) for n, c in found.per_source.items()},
        "histogram": {"edges": h.edges.tolist(), "counts": h.counts.tolist()} if h else None,
        "examples": examples,
    }


def whatif_schema(view: View, rule: str) -> pa.Schema:
    """Columns a rule may read in a dataset: those of rules, and the others it names with their group."""
    from zcurate.curation.filters import columns_of

    from .stages.filter import filter_schema, profiled_groups

    groups = [g for g in (*profiled_groups(), "scores") if view.plan.path(g)]
    known = [f for f in filter_schema() if f.name.startswith("samples.")]
    known += [f.with_name(f"{g}.{f.name}") for g in groups for f in view.schema(g)]
    names = {f.name for f in known}
    for name in columns_of(rule):
        group, _, column = name.rpartition(".")
        if name not in names and view.plan.path(group) and column in view.schema(group).names:
            known.append(view.schema(group).field(column).with_name(name))
    return pa.schema(known)


def _live_tables(view: View, columns: list[str]) -> Iterator[tuple[str, pa.Table]]:
    """(shard, its live rows): `sample_id`, `kept` by the decisions taken so far, and the columns."""
    decided = _decided(view)
    for shard, table in view.tables(columns):
        live = np.flatnonzero(table.column("live").to_numpy())
        kept = pa.array(view.kept(shard, table, decided))
        yield shard, table.append_column("kept", kept).take(live).select(["sample_id", "kept", *columns])


def _decided(view: View) -> list[str]:
    """The decisions that have been taken, of some shard at least."""
    return [g for g in view.decisions if view.has(g)]


def _places(view: View, ids: set[bytes], extra: Sequence[str] = ()) -> dict[bytes, dict[str, Any]]:
    """id -> source, key, text, thumbnail and whether it is kept, of a few samples, and `extra` columns by their qualified names."""
    columns = ["samples.source", "samples.key", "samples.text"]
    if view.plan.path("thumbs"):
        columns.append("thumbs.thumb")
    bare = {c: c.rpartition(".")[2] for c in columns}
    columns += [c for c in extra if c not in columns]
    found: dict[bytes, dict[str, Any]] = {}
    for _, table in _live_tables(view, columns):
        here = np.flatnonzero([i in ids for i in table.column("sample_id").to_pylist()])
        for row in table.take(here).to_pylist():
            found[row["sample_id"]] = row | {short: row[c] for c, short in bare.items()}
    return found


def _page(condition: str, rows: list[tuple[dict[str, Any], Any]]) -> str:
    """A small self-contained page of thumbnails with their values."""
    import base64

    cards = []
    for place, example in sorted(rows, key=lambda r: (r[1].value or 0.0, r[1].sample_id)):
        thumb = place.get("thumb")
        image = (
            f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(thumb).decode()}">' if thumb else ""
        )
        label = html_module.escape(f"{place['source']}/{place['key']}")
        verdict = "drop" if example.matched else "keep"
        said = verdict if place["kept"] else f"{verdict}, already out"
        value = "" if example.value is None else f"{example.value:.6g} · "
        cards.append(
            f'<figure class="{verdict}">{image}<figcaption>{value}{said}<br>{label}<br>'
            f"<code>{example.sample_id.hex()}</code></figcaption></figure>"
        )
    return (
        '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>What if {html_module.escape(condition)}</title><style>body{{font:15px system-ui;margin:2rem;background:#fafafa}}"
        "main{display:grid;grid-template-columns:repeat(auto-fill,minmax(170px,1fr));gap:1rem}figure{margin:0;background:#fff;"
        "padding:.5rem;border-top:4px solid #2a8}figure.drop{border-color:#c43}img{width:100%;aspect-ratio:1;object-fit:contain}"
        "figcaption{overflow-wrap:anywhere;font-size:13px}code{color:#777;font-size:11px}</style>"
        f"<h1>{html_module.escape(condition)}</h1><main>{''.join(cards)}</main>"
    )


def garbage_of(url: str, keep_runs: int) -> tuple[Dataset, list[str]]:
    """What the newest `keep_runs` different recipes do not use."""
    dataset = Dataset.open(url)
    sources = read_sources(dataset)
    used: set[str] = set()
    seen: list[dict[str, str]] = []
    whole = False
    for record in reversed(all_records(dataset)):
        # A trial run must not make garbage of the newest whole one.
        needed = not whole and not record.limit
        if record.folders in seen or not record.folders or (len(seen) >= keep_runs and not needed):
            continue
        whole |= not record.limit
        seen.append(record.folders)
        plan = plan_stages(parse_recipe(record), sources, Limit(**record.limit) if record.limit else None)
        used |= plan.used_paths() | set(record.folders.values())
    return dataset, garbage(dataset, used)


def diff_datasets(a: str, b: str, rtol: float, atol: float) -> tuple[list[str], list[GroupDiff]]:
    """Compare the newest runs of two datasets group by group."""
    va, vb = open_view(a), open_view(b)
    groups_a, groups_b = {SAMPLES: SAMPLES, **va.plan.paths}, {SAMPLES: SAMPLES, **vb.plan.paths}
    pairs = [(g, groups_a[g], groups_b[g]) for g in groups_a if g in groups_b]
    notes, found = diff(va.dataset, vb.dataset, pairs, rtol, atol)
    only = sorted(set(groups_a) ^ set(groups_b))
    if only:
        notes.insert(0, f"only one of the two has: {', '.join(only)}")
    return notes, found
