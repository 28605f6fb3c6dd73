"""A whole build: ingest, run all stages, export, report."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zcurate.curation.errors import ConfigError
from zcurate.curation.store import (
    AppendSummary,
    Dataset,
    Limit,
    SourceInfo,
    append,
    read_sources,
    register_source,
)
from zcurate.curation.store.samples import rows_per_shard_for

from .execution.inline import InlineEngine
from .planned import Plan, plan_stages
from .progress import progress_for, stage_rows
from .recipe import Recipe, SourceConfig
from .runlog import RunRecord, new_record, write_record
from .runner import Runner, RunResult

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_QUARANTINED = 0, 1, 2, 3


@dataclass
class BuildOptions:
    """How to run, as opposed to what to build."""

    engine: str = "ray"
    address: str | None = None
    max_workers: int | None = None
    limit: Limit = field(default_factory=Limit)
    max_quarantined: float = 0.0
    as_json: bool = False
    redo_errors: bool = False
    ingest: bool = True
    export: bool = True
    quiet: bool = False


@dataclass
class BuildOutcome:
    """How a build ended; `exit_code` as the command line returns it."""

    exit_code: int
    record: RunRecord
    result: RunResult
    plan: Plan
    report: Path | None = None


def source_name(config: SourceConfig) -> str:
    """The source's name: as given, or the last part of its root."""
    return config.name or config.root.rstrip("/").rsplit("/", 1)[-1].split(".")[0] or "source"


def source_info(config: SourceConfig) -> SourceInfo:
    from zcurate.curation.ingest import detect_kind
    from zcurate.curation.uris import check_root

    root = check_root(config.root)
    return SourceInfo(
        source_name(config), root, config.kind or detect_kind(root), config.origin, config.license
    )


def ingest_source(
    url: str, config: SourceConfig, rows_per_shard: int | None, options: dict[str, Any] | None = None
) -> tuple[Dataset, AppendSummary]:
    """Bring a dataset up to date with one source; makes the dataset when there is none."""
    from zcurate.curation.ingest import ListingCounts, SourceSpec, list_source

    info = source_info(config)
    spec = SourceSpec(
        info.name,
        info.root,
        info.kind,
        origin=info.origin,
        license=info.license,
        storage_options=dict(options or {}),
    )
    counts = ListingCounts()
    batches = list_source(spec, counts)
    if rows_per_shard is None:
        rows_per_shard, batches = rows_per_shard_for(batches)
    dataset = Dataset.create(url, rows_per_shard)
    register_source(dataset, info)
    summary = append(dataset, info.name, batches)
    summary.errors, summary.skipped_files = counts.errors, counts.skipped_extension + counts.skipped_hidden
    return dataset, summary


def check_names(sources: Sequence[SourceConfig]) -> None:
    names = [source_name(s) for s in sources]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise ConfigError(f"two sources are named {', '.join(sorted(twice))}: give each a name of its own")


def build(recipe: Recipe, options: BuildOptions, command: str = "build") -> BuildOutcome:
    """Ingest, run, export, report. Resumes by itself: what is done and current is not done again."""
    started = time.monotonic()
    check_names(recipe.sources)
    record = new_record(recipe, command, options.engine)
    # Everything about the stages is checked before the first byte is read.
    infos = {i.name: i for i in (source_info(s) for s in recipe.sources)}
    plan_stages(recipe, infos, options.limit)
    dataset = None
    if options.ingest and recipe.sources:
        for source in recipe.sources:
            dataset, summary = ingest_source(
                recipe.dataset, source, recipe.rows_per_shard, recipe.storage_options
            )
            record.ingest[source_name(source)] = asdict(summary)
    dataset = dataset or Dataset.open(recipe.dataset)
    plan = plan_stages(recipe, read_sources(dataset), options.limit)
    record.folders = dict(plan.paths)
    record.limit = asdict(options.limit) if options.limit else {}
    write_record(dataset, record)
    result = run_plan(dataset, plan, options, record)
    outcome = BuildOutcome(_exit_code(result, options), record, result, plan)
    record.stages = {
        r["stage"]: {**r, **_seconds(result, r["stage"])} for r in stage_rows(result, result.pending)
    }
    record.quarantined, record.failed, record.events = (
        list(map(list, result.quarantined)),
        result.failed,
        result.events,
    )
    record.peak_worker_rss_bytes = result.peak_rss_bytes
    if result.complete and options.export:
        from .exporting import run_exports

        record.exports = run_exports(dataset, recipe, plan, options.limit)
    record.state = "drained" if result.drained else "failed" if result.failed else "done"
    record.exit_code = outcome.exit_code
    record.seconds = round(time.monotonic() - started, 3)
    write_record(dataset, record)
    if recipe.report and result.complete and dataset.storage.local:
        from .reporting import write_report

        outcome.report = write_report(recipe.dataset, dataset.storage.local / "report.html")
    return outcome


def run_plan(dataset: Dataset, plan: Plan, options: BuildOptions, record: RunRecord) -> RunResult:
    """Run every stage of a plan with the engine the options name."""
    url, storage_options = dataset.storage.url, dataset.storage.options
    progress = None if options.quiet else progress_for(options.as_json)
    if options.engine == "inline":
        engine: Any = InlineEngine(url, storage_options)
        silence: Any = contextlib.nullcontext()
    elif options.engine == "ray":
        if dataset.storage.url.startswith("memory://"):
            raise ConfigError("memory:// lives in one process: use --engine inline")
        from .execution.ray_engine import RayEngine

        # Ray prints a paragraph to stdout for every worker that dies; the runner has its own word for it.
        silence = contextlib.redirect_stdout(io.StringIO())
        engine = RayEngine(url, storage_options, record.run_id, options.address, options.max_workers)
    else:
        raise ConfigError(f"engine {options.engine!r} is not one of ray, inline")
    with silence:
        try:
            return Runner(dataset, plan, engine, options.limit, options.redo_errors, progress).run()
        finally:
            if progress is not None:
                progress.close()
            engine.close()


def _exit_code(result: RunResult, options: BuildOptions) -> int:
    """0 all done; 3 finished with error rows (0 if they are few enough); 1 otherwise."""
    if not result.complete:
        return EXIT_FAILED
    bad = max((t.rows_error / max(1, t.rows_ok + t.rows_error) for t in result.tallies.values()), default=0.0)
    return EXIT_QUARANTINED if bad > options.max_quarantined else EXIT_OK


def _seconds(result: RunResult, name: str) -> dict[str, Any]:
    t = result.tallies[name]
    return {
        "shards_run": t.shards_run,
        "rows_computed": t.rows_computed,
        "worker_seconds": round(t.seconds, 3),
        "wall_seconds": round(t.wall_seconds, 3) if t.shards_run else 0.0,
        "facts": t.facts,
    }
