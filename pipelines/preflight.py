"""`zcurate plan`: the whole recipe checked before any work, and what each stage would cost."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from zcurate.curation.errors import DatasetError, ZcurateError
from zcurate.curation.store import Dataset, Limit, append, read_selection, read_sources
from zcurate.curation.store.selection import ShardBase

from .asking_cost import AskingCost
from .build import check_names, dataset_options, listing, source_info, source_name
from .chat_checks import check_chats
from .planned import PlannedStage, plan_stages
from .recipe import Recipe, check_target
from .registry import stage_module
from .runlog import all_records
from .source_notes import source_notes

#: Rows per second of one worker, for stages that this dataset has no measurement of. Orders of
#: magnitude from a 2-core machine; a `--sample 1%` run replaces them with measured ones.
_TYPICAL_ROWS_PER_S = {
    "profile": 60.0,
    "filter": 50_000.0,
    "filter_scores": 50_000.0,
    "filter_tags": 50_000.0,
    "embed": 150.0,
    "scores": 100.0,
    "dedup": 5_000.0,
    "communities": 2_000.0,
    "sampling": 100_000.0,
    "ocr": 3.0,
    "caption": 200.0,
    "concepts": 5_000.0,
    "balance": 50_000.0,
}
#: Of each stage of a sampling plan.
_TYPICAL_PLAN_ROWS_PER_S = 80_000.0
_TYPICAL_BYTES_PER_ROW = {"profile": 25_000, "embed": 1_500}
#: A caption record and the answers it was made from.
_BYTES_PER_ASKED_ROW = 14_000
#: Shards read for the tokens that questions took so far.
_LOOKED_AT = 20


@dataclass
class StageEstimate:
    """One stage: rows it would still do, how long and how many bytes. `measured`: rate seen on this dataset.

    `asking`: questions to a model, where the stage puts any.
    """

    stage: str
    kind: str
    rows: int
    done_rows: int
    seconds: float | None
    bytes: int
    measured: bool
    asking: AskingCost | None = None


@dataclass
class Preflight:
    """What a build would do. `missing` ends the build; `warnings` do not."""

    recipe: str
    dataset: str
    rows: int | None
    stages: list[StageEstimate] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    workers: int = 1
    free_bytes: int | None = None
    #: Files that the sources list anew, others, and no longer; None where there is no dataset to compare with.
    new: int | None = None
    changed: int | None = None
    gone: int | None = None


def preflight(recipe: Recipe, limit: Limit) -> Preflight:
    """Type-check a recipe and estimate it.

    Raises:
        ConfigError: the recipe is wrong. What is merely absent on this machine goes into `missing`.
    """
    check_names(recipe.sources)
    report = Preflight(recipe.name, recipe.dataset, None, workers=os.cpu_count() or 1)
    sources = {}
    for config in recipe.sources:
        try:
            info = source_info(config)
            sources[info.name] = info
        except ZcurateError as e:
            report.missing.append(f"source {config.root}: {e}")
    for export in recipe.export:
        check_target(export)
    plan = plan_stages(recipe, sources, limit)
    _check_machine(recipe, report)
    dataset = None
    try:
        dataset = Dataset.open(recipe.dataset, dataset_options(recipe))
    except DatasetError:
        report.warnings.append("not ingested yet: rows are counted from the sources' listings")
    fresh = 0
    if dataset is not None:
        there = read_sources(dataset)
        plan = plan_stages(recipe, there, limit)
        selection = read_selection(dataset, dataset.samples(), limit)
        report.rows = sum(_in_scope(b, selection.rows[s]) for s, b in selection.bases.items())
        report.warnings += source_notes(recipe.dataset, sources, there)
        if not report.missing:
            fresh = _since_ingest(dataset, recipe, limit, report)
    elif not report.missing:
        report.rows = _listed(recipe, limit, report)
    if dataset is None:
        report.warnings += source_notes(recipe.dataset, sources, {})
    report.warnings += _idle_globs(
        recipe, {*map(source_name, recipe.sources), *(read_sources(dataset) if dataset else ())}
    )
    missing, warnings = check_chats(recipe)
    report.missing += missing
    report.warnings += warnings
    rates = _measured_rates(dataset, recipe) if dataset else {}
    for stage in plan.stages:
        report.stages.append(_estimate(stage, dataset, report.rows or 0, fresh, rates, report.workers))
    need = sum(s.bytes for s in report.stages)
    if report.free_bytes is not None and need > 0.9 * report.free_bytes:
        report.missing.append(
            f"disk: about {need / 1e9:.1f} GB needed, {report.free_bytes / 1e9:.1f} GB free"
        )
    return report


def _idle_globs(recipe: Recipe, names: set[str]) -> list[str]:
    """Settings for sources of which there are none: most likely slips."""
    return [
        f"stages.{stage}.sources.{glob}: no source has such a name; there {'is' if len(names) == 1 else 'are'} "
        + (", ".join(sorted(names)) or "none")
        for stage, settings in recipe.stages.items()
        if isinstance(settings.get("sources"), dict)
        for glob in settings["sources"]
        if not any(fnmatchcase(name, str(glob)) for name in names)
    ]


def _in_scope(base: ShardBase, rows: int) -> int:
    """Rows of a shard that a run would look at; a fraction is an expectation."""
    end = rows if base.cut is None else base.cut
    live = end - sum(p < end for p in base.dead)
    return live if base.fraction is None else round(live * base.fraction)


def _since_ingest(dataset: Dataset, recipe: Recipe, limit: Limit, report: Preflight) -> int:
    """Compare the sources' listings with what is ingested; rows that a build would add."""
    report.new = report.changed = report.gone = 0
    for config in recipe.sources:
        try:
            info, _, batches = listing(config, recipe.storage_options)
            summary = append(dataset, info.name, batches, dry_run=True)
        except ZcurateError as e:
            report.missing.append(f"source {config.root}: {e}")
            return 0
        report.new += summary.new
        report.changed += summary.changed
        report.gone += summary.missing
    fresh = report.new + report.changed
    if limit.rows is not None:
        return min(fresh, max(0, limit.rows - (report.rows or 0)))
    return fresh if limit.fraction is None else round(fresh * limit.fraction)


def _listed(recipe: Recipe, limit: Limit, report: Preflight) -> int | None:
    """Rows the sources would give, from listing them without opening an image."""
    total = 0
    for config in recipe.sources:
        try:
            _, _, batches = listing(config, recipe.storage_options)
            total += sum(b.num_rows for b in batches)
        except ZcurateError as e:
            report.missing.append(f"source {config.root}: {e}")
            return None
    if limit.rows is not None:
        return min(total, limit.rows)
    return total if limit.fraction is None else round(total * limit.fraction)


def _measured_rates(dataset: Dataset, recipe: Recipe) -> dict[str, float]:
    """stage -> rows per second of one worker, newest measurement with the engine the recipe names."""
    rates = {}
    for record in all_records(dataset):
        for name, s in record.stages.items():
            then, now = (r.get(name) or {} for r in (record.recipe.get("stages") or {}, recipe.stages))
            # another engine, or a sampling plan of another length, takes another time
            if then.get("engine") != now.get("engine") or _plan_length(then) != _plan_length(now):
                continue
            seconds = s.get("worker_seconds") or s.get("wall_seconds") or 0
            if s.get("rows_computed") and seconds > 0:
                rates[name] = s["rows_computed"] / seconds
    return rates


def _estimate(
    stage: PlannedStage,
    dataset: Dataset | None,
    rows: int,
    fresh: int,
    rates: dict[str, float],
    workers: int,
) -> StageEstimate:
    """`rows` are in the dataset, `fresh` ones would be ingested first."""
    done = 0
    if dataset is not None:
        index = dataset.index(stage.primary)
        done = sum(m.rows for m in index.metas.values() if m.lineage == stage.bound.lineage)
    left = max(0, rows - done) + fresh
    asking = _asking_cost(stage, dataset, left)
    rate = rates.get(stage.name) or (None if asking else _typical_rate(stage))
    parallel = 1 if stage.kind == "global" else workers
    seconds = left / rate / parallel if rate else None
    size = left * (_BYTES_PER_ASKED_ROW if asking else _TYPICAL_BYTES_PER_ROW.get(stage.name, 200))
    return StageEstimate(stage.name, stage.kind, left, done, seconds, size, stage.name in rates, asking)


def _typical_rate(stage: PlannedStage) -> float | None:
    """Rows per second. Every stage of a sampling plan is solved for all rows, several times as long as weighing them."""
    rate = _TYPICAL_ROWS_PER_S.get(stage.name)
    length = _plan_length(stage.ref.config)
    return rate and 1 / (1 / rate + length / _TYPICAL_PLAN_ROWS_PER_S)


def _plan_length(config: Mapping[str, Any]) -> int:
    stages = config.get("stages")
    return len(stages) if isinstance(stages, list) else 0


def _asking_cost(stage: PlannedStage, dataset: Dataset | None, rows: int) -> AskingCost | None:
    """Of a stage that asks a model; `asking_cost` of its module knows."""
    module = stage_module(stage.name)
    if not hasattr(module, "asking_cost"):
        return None

    def done() -> Iterator[pa.Table]:
        """Some shards of the group, whatever recipe they are of: the pictures are these."""
        group = stage.bound.spec.name
        for path in dataset.groups().get(group, []) if dataset else []:
            for shard in sorted(dataset.index(path).metas)[:_LOOKED_AT]:
                names = ["tokens_in", "tokens_out"]
                try:
                    yield dataset.read(path, shard, names)
                except (DatasetError, KeyError, ValueError):
                    continue  # damaged, or of a version without these columns

    return module.asking_cost(module.Config.model_validate(dict(stage.ref.config)), rows, done())


def _check_machine(recipe: Recipe, report: Preflight) -> None:
    """Home directory, temporary space, Ray, disk, GPU and fonts."""
    home = os.environ.get("HOME")
    if not home or not os.access(home, os.W_OK):
        report.missing.append(
            f"HOME is {home!r}: libraries keep caches there; set it to a writable directory"
        )
    if not os.access(tempfile.gettempdir(), os.W_OK):
        report.missing.append(f"{tempfile.gettempdir()} is not writable; set TMPDIR")
    if find_spec("ray") is None:
        report.missing.append("ray is not installed: pip install ray, or use --engine inline")
    if "://" not in recipe.dataset:
        at = Path(recipe.dataset).absolute()
        while not at.exists():
            at = at.parent
        report.free_bytes = shutil.disk_usage(at).free
        if not os.access(at, os.W_OK):
            report.missing.append(f"{at} is not writable; set the recipe's dataset to another place")
    model = str(recipe.stages.get("embed", {}).get("model", ""))
    if model.partition(":")[0] in ("openclip", "cnclip", "siglip") and not Path("/dev/nvidia0").exists():
        report.warnings.append(f"{model}: no GPU here; expect one to ten images per second and core")
    if find_spec("mplfonts") is None:
        report.warnings.append(
            "no CJK fonts (pip install 'zcurate[fonts]'): rendered Chinese text is left out"
        )


def show_preflight(report: Preflight) -> None:
    """For people."""
    rows = "unknown number of" if report.rows is None else f"{report.rows:,}"
    print(f"{report.recipe} → {report.dataset}: {rows} rows, {report.workers} workers here")
    if report.new or report.changed or report.gone:
        print(
            f"  since the last ingest: {report.new:,} new files, {report.changed:,} changed, {report.gone:,} gone; counted below"
        )
    width = max((len(s.stage) for s in report.stages), default=0)
    for s in report.stages:
        basis = "measured here" if s.measured else "typical"
        time_ = "time unknown" if s.seconds is None else f"~{_duration(s.seconds)} ({basis})"
        done = f", {s.done_rows:,} done" if s.done_rows else ""
        print(f"  {s.stage:<{width}} {s.rows:>12,} rows{done}  {time_}, ~{s.bytes / 1e6:,.1f} MB")
        if s.asking:
            print(f"  {'':<{width}} {_asking_line(s.asking)}")
    total = sum(s.seconds or 0 for s in report.stages)
    if report.rows:
        free = f", {report.free_bytes / 1e9:,.0f} GB free" if report.free_bytes else ""
        print(f"  all: ~{_duration(total)}, ~{sum(s.bytes for s in report.stages) / 1e6:,.1f} MB{free}")
    for w in report.warnings:
        print(f"  note: {w}")
    for m in report.missing:
        print(f"  missing: {m}")


def _asking_line(a: AskingCost) -> str:
    basis = "as measured here" if a.measured else "typical"
    line = (
        f"~{a.requests:,} requests, ~{a.tokens_in:,} tokens in, ~{a.tokens_out:,} out ({basis}), tries apart"
    )
    if a.money is None:
        return line + "; money: set price_in and price_out"
    stops = "" if a.cap is None else f", stops at {a.cap:,.2f}" + (" (too little)" if a.cap < a.money else "")
    return f"{line}; ~{a.money:,.2f} at the prices given{stops}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"
