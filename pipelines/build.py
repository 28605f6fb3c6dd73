"""A whole build: ingest, run all stages, export, report."""

from __future__ import annotations

import contextlib
import io
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zcurate.curation.errors import ConfigError, ShardInvalidError
from zcurate.curation.store import (
    SAMPLES,
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
from .recipe import Recipe, SourceConfig, check_target
from .results import RunResult
from .runlog import RunRecord, new_record, write_record
from .runner import Runner
from .source_notes import source_notes

if TYPE_CHECKING:
    import pyarrow as pa

    from zcurate.curation.ingest import ListingCounts

ENGINES = ("ray", "inline")
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_QUARANTINED = 0, 1, 2, 3


@dataclass
class BuildOptions:
    """How to run, as opposed to what to build. `until` ends the run behind that stage."""

    engine: str = "ray"
    address: str | None = None
    max_workers: int | None = None
    limit: Limit = field(default_factory=Limit)
    max_quarantined: float = 0.0
    as_json: bool = False
    redo_errors: bool = False
    ingest: bool = True
    export: bool = True
    until: str | None = None
    quiet: bool = False


@dataclass
class BuildOutcome:
    """How a build ended; `exit_code` as the command line returns it, `notes` what people should know besides."""

    exit_code: int
    record: RunRecord
    result: RunResult
    plan: Plan
    report: Path | None = None
    notes: list[str] = field(default_factory=list)


def source_name(config: SourceConfig) -> str:
    """The source's name: as given, or the last part of its root with other characters as `-`.

    Raises:
        ConfigError: the name given is not one.
    """
    if config.name is None:
        last = config.root.rstrip("/").rsplit("/", 1)[-1].split(".")[0]
        return re.sub(r"[^\w-]+", "-", last).strip("-_")[:100] or "source"
    if not re.fullmatch(r"[^\W_][\w.-]{0,99}", config.name):
        raise ConfigError(
            f"source name {config.name[:120]!r}: use letters, digits, '.', '-' and '_', beginning with a letter or digit"
        )
    return config.name


def source_info(config: SourceConfig) -> SourceInfo:
    from zcurate.curation.ingest import detect_kind
    from zcurate.curation.uris import check_root

    root = check_root(config.root)
    return SourceInfo(
        source_name(config), root, config.kind or detect_kind(root), config.origin, config.license
    )


def ingest_source(
    url: str,
    config: SourceConfig,
    rows_per_shard: int | None,
    options: dict[str, Any] | None = None,
    dataset_options: dict[str, Any] | None = None,
) -> tuple[Dataset, AppendSummary]:
    """Bring a dataset up to date with one source; makes the dataset when there is none.

    Args:
        options, dataset_options: fsspec options of the source and of the dataset.
    """
    info, counts, batches = listing(config, options)
    if rows_per_shard is None:
        rows_per_shard, batches = rows_per_shard_for(batches)
    dataset = Dataset.create(url, rows_per_shard, dataset_options)
    register_source(dataset, info)
    summary = append(dataset, info.name, batches)
    summary.errors, summary.skipped_files = counts.errors, counts.skipped_extension + counts.skipped_hidden
    return dataset, summary


def listing(
    config: SourceConfig, options: dict[str, Any] | None = None
) -> tuple[SourceInfo, ListingCounts, Iterator[pa.RecordBatch]]:
    """(the source, counts that fill as it is read, its files): no image is opened."""
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
    return info, counts, list_source(spec, counts)


def check_names(sources: Sequence[SourceConfig]) -> None:
    names = [source_name(s) for s in sources]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise ConfigError(f"two sources are named {', '.join(sorted(twice))}: give each a name of its own")


def build(recipe: Recipe, options: BuildOptions, command: str = "build") -> BuildOutcome:
    """Ingest, run, export, report. Resumes by itself: what is done and current is not done again.

    Raises:
        ConfigError: anything wrong with the recipe or the options, before any work.
    """
    started = time.monotonic()
    check(recipe, options)
    record = new_record(recipe, command, options.engine)
    record.limit, record.until = (asdict(options.limit) if options.limit else {}), options.until
    dataset = None
    if options.ingest and recipe.sources:
        dataset = _ingest(recipe, record)
    dataset = dataset or Dataset.open(recipe.dataset, dataset_options(recipe))
    there = read_sources(dataset)
    plan = plan_stages(recipe, there, options.limit)
    record.folders = dict(plan.paths)
    write_record(dataset, record)
    outcome = BuildOutcome(EXIT_FAILED, record, RunResult({}), plan)
    if options.ingest:
        wanted = {i.name: i for i in map(source_info, recipe.sources)}
        outcome.notes += source_notes(recipe.dataset, wanted, there)
    elif later := [s.name for s in plan.stages[len(plan.until(options.until).stages) :]]:
        outcome.notes.append(
            f"stages behind {options.until} were not run ({', '.join(later)}): "
            f"'zcurate retry {recipe.dataset}' brings them up to date, and the report"
        )
    try:
        for attempt in (1, 2):
            outcome.result = run_plan(dataset, plan.until(options.until), options, record)
            try:
                _finish(dataset, recipe, options, outcome, started)
                break
            except ShardInvalidError:
                # A shard went bad after it was checked. The reader has noted it: run once more.
                if attempt == 2:
                    raise
    except BaseException as e:
        outcome.result.failed.append(f"{type(e).__name__}: {e}")
        raise
    finally:
        _note(outcome, options, time.monotonic() - started)
        write_record(dataset, record)
    return outcome


def check(recipe: Recipe, options: BuildOptions) -> None:
    """Everything that can be known to be wrong before the first byte is read. Raises ConfigError."""
    if options.engine not in ENGINES:
        raise ConfigError(f"engine {options.engine!r} is not one of {', '.join(ENGINES)}")
    if options.engine == "ray" and recipe.dataset.startswith("memory://"):
        raise ConfigError("memory:// lives in one process: use --engine inline")
    check_names(recipe.sources)
    for export in recipe.export:
        check_target(export)
    infos = {i.name: i for i in (source_info(s) for s in recipe.sources)}
    plan_stages(recipe, infos, options.limit).until(options.until)


def _ingest(recipe: Recipe, record: RunRecord) -> Dataset:
    """List every source. Damaged sample shards are put aside once all sources have been listed anew."""
    for source in recipe.sources:
        dataset, summary = ingest_source(
            recipe.dataset, source, recipe.rows_per_shard, recipe.storage_options, dataset_options(recipe)
        )
        record.ingest[source_name(source)] = asdict(summary)
    if set(read_sources(dataset)) <= {source_name(s) for s in recipe.sources}:
        for shard in dataset.samples().invalid:
            aside = f"_damaged/samples-{shard}-{record.run_id}.parquet"
            path = f"{SAMPLES}/{shard}.parquet"
            dataset.storage.put(aside, dataset.storage.get(path))
            dataset.storage.delete(path)
            record.events.append(f"{path} was damaged: its samples are listed anew; put aside as {aside}")
    return dataset


def dataset_options(recipe: Recipe) -> dict[str, Any]:
    return dict(recipe.storage_options) if "://" in recipe.dataset else {}


def _finish(
    dataset: Dataset, recipe: Recipe, options: BuildOptions, outcome: BuildOutcome, started: float
) -> None:
    """Exports and report, once all stages are done. The report reads the record, so that comes first."""
    if not outcome.result.complete:
        return
    if options.export:
        from .exporting import run_exports

        outcome.record.exports = run_exports(dataset, recipe, outcome.plan, options.limit)
    if recipe.report and dataset.storage.local and options.until is None:
        _note(outcome, options, time.monotonic() - started)
        write_record(dataset, outcome.record)
        outcome.report = dataset.storage.local / "report.html"
        from .reporting import write_report

        write_report(recipe.dataset, outcome.report)


def _note(outcome: BuildOutcome, options: BuildOptions, seconds: float) -> None:
    """Write down in the record how the run went."""
    record, result = outcome.record, outcome.result
    record.stages = {
        r["stage"]: {**r, **_seconds(result, r["stage"])} for r in stage_rows(result, result.pending)
    }
    record.quarantined = [list(q) for q in result.quarantined]
    record.failed = result.failed
    record.events += [e for e in result.events if e not in record.events]
    record.peak_worker_rss_bytes = result.peak_rss_bytes
    record.state = "drained" if result.drained else "failed" if result.failed else "done"
    outcome.exit_code = record.exit_code = _exit_code(outcome, options)
    record.seconds = round(seconds, 3)


def run_plan(dataset: Dataset, plan: Plan, options: BuildOptions, record: RunRecord) -> RunResult:
    """Run every stage of a plan with the engine the options name."""
    url, storage_options = dataset.storage.url, dataset.storage.options
    progress = None if options.quiet else progress_for(options.as_json)
    if options.engine == "inline":
        engine: Any = InlineEngine(url, storage_options)
        silence: Any = contextlib.nullcontext()
    else:
        from .execution.ray_engine import RayEngine

        # Ray prints a paragraph to stdout for every worker that dies; the runner has its own word for it.
        silence = contextlib.redirect_stdout(io.StringIO())
        engine = RayEngine(url, storage_options, record.run_id, options.address, options.max_workers)
    with silence:
        try:
            return Runner(dataset, plan, engine, options.limit, options.redo_errors, progress).run()
        finally:
            if progress is not None:
                progress.close()
            engine.close()


def _exit_code(outcome: BuildOutcome, options: BuildOptions) -> int:
    """0 all done; 3 finished with error rows (0 if they are few enough) or unreadable originals; 1 otherwise."""
    result = outcome.result
    if not result.complete:
        return EXIT_FAILED
    bad = max((t.rows_error / max(1, t.rows_ok + t.rows_error) for t in result.tallies.values()), default=0.0)
    unreadable = any(e["unreadable"] for e in outcome.record.exports)
    return EXIT_QUARANTINED if bad > options.max_quarantined or unreadable else EXIT_OK


def _seconds(result: RunResult, name: str) -> dict[str, Any]:
    t = result.tallies[name]
    return {
        "shards_run": t.shards_run,
        "rows_computed": t.rows_computed,
        "worker_seconds": round(t.seconds, 3),
        "wall_seconds": round(t.wall_seconds, 3) if t.shards_run else 0.0,
        "facts": t.facts,
    }
