"""Commands that make things: demo, build, plan, ingest, fetch, run, retry, export."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import Address, AsJson, EngineName, MaxQuarantined, Sets, Workers, limit_of, share

RecipeArg = Annotated[
    str, typer.Argument(metavar="RECIPE", help="Recipe file, or the name of a bundled recipe.")
]
DatasetArg = Annotated[str, typer.Argument(metavar="DATASET", help="Dataset directory or URL.")]


def register(app: typer.Typer) -> None:
    for function in (demo, build, plan, ingest, fetch, run, retry, export):
        app.command(rich_help_panel="Make")(function)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Where to put everything.")] = Path("demo-out"),
    engine: EngineName = "ray",
    seed: Annotated[int, typer.Option(help="Seed of the corpus.")] = 0,
    as_json: AsJson = False,
) -> None:
    """The whole pipeline on a bundled sample with planted faults; ends with report.html.

    Example: `zcurate demo --out demo-out`
    """
    from ..demo.run import run_demo

    raise typer.Exit(run_demo(out, engine, seed, as_json))


def build(
    recipe: RecipeArg,
    set_: Sets = None,
    engine: EngineName = "ray",
    address: Address = None,
    workers: Workers = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N samples.")] = None,
    sample: Annotated[str | None, typer.Option(help="Only a share of the samples, e.g. `1%`.")] = None,
    max_quarantined: MaxQuarantined = "0",
    as_json: AsJson = False,
) -> None:
    """Build a dataset end to end. Resumes by itself; a trial run's results are reused.

    Exit codes: 0 all done, 3 done with error rows, 2 bad arguments, 1 otherwise.

    Example: `zcurate build photos --set source=~/Pictures --sample 1%`
    """
    from ..build import BuildOptions
    from ..build import build as run_build
    from ..recipe import load_recipe

    options = BuildOptions(
        engine=engine,
        address=address,
        max_workers=workers,
        limit=limit_of(limit, sample),
        max_quarantined=share(max_quarantined, "--max-quarantined"),
        as_json=as_json,
    )
    outcome = run_build(load_recipe(recipe, set_ or []), options, " ".join(["zcurate", *sys.argv[1:]]))
    raise typer.Exit(show_outcome(outcome, as_json))


def show_outcome(outcome, as_json: bool) -> int:
    """Print how a build ended; returns its exit code."""
    record = outcome.record
    if as_json:
        more = {"report": str(outcome.report) if outcome.report else None, "notes": outcome.notes}
        print(json.dumps({**dataclasses.asdict(record), **more}))
        return outcome.exit_code
    for message in record.failed[:20]:
        print(f"failed: {message}", file=sys.stderr)
    if outcome.result.drained:
        print("stopped before the end; the same command goes on from here", file=sys.stderr)
    errors = {n: s["rows_error"] for n, s in record.stages.items() if s["rows_error"]}
    if errors:
        counts = ", ".join(f"{n} {c}" for n, c in errors.items())
        print(f"error rows: {counts}  (zcurate errors {record.recipe['dataset']})")
    for e in record.exports:
        print(f"export: {export_line(e)}")
    for note in outcome.notes:
        print(f"note: {note}")
    if outcome.report:
        print(f"report: {outcome.report}")
    print(f"{record.state} in {record.seconds:.1f} s")
    return outcome.exit_code


def export_line(facts: dict) -> str:
    """What an export holds, and what it left out."""
    left = []
    if facts["unreadable"]:
        left.append(f"{facts['unreadable']} left out: original bytes gone or changed since profiling")
    if facts["refused_model_origin"]:
        left.append(f"{facts['refused_model_origin']} left out: made by a model (--allow-model-origin)")
    if facts.get("without_caption"):
        left.append(
            f"{facts['without_caption']} without any text: captions come from 'zcurate build caption' "
            "(a model), placeholders with --include-placeholders"
        )
    return "; ".join(
        [f"{facts['out']}  {facts['rows']} rows in {facts['files']} files ({facts['format']})", *left]
    )


def plan(
    recipe: RecipeArg,
    set_: Sets = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N samples.")] = None,
    sample: Annotated[str | None, typer.Option(help="Only a share of the samples.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a recipe and say what it would do: rows, bytes, time, missing pieces. Changes nothing.

    Example: `zcurate plan photos --set source=~/Pictures`
    """
    from ..preflight import preflight, show_preflight
    from ..recipe import load_recipe

    report = preflight(load_recipe(recipe, set_ or []), limit_of(limit, sample))
    if as_json:
        print(json.dumps(dataclasses.asdict(report)))
    else:
        show_preflight(report)
    raise typer.Exit(2 if report.missing else 0)


def ingest(
    source: Annotated[
        str, typer.Argument(help="Folder, tar archive(s), Parquet file(s) or JSONL/CSV manifest.")
    ],
    out: Annotated[str, typer.Option("--out", help="Dataset directory or URL.")],
    kind: Annotated[
        str | None,
        typer.Option(help="folder | webdataset | parquet | manifest | video; default: by looking."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the source in the dataset.")] = None,
    origin: Annotated[str, typer.Option(help="camera | rendered | model | unknown.")] = "unknown",
    license_: Annotated[
        str | None, typer.Option("--license", help="License as the source states it.")
    ] = None,
    rows_per_shard: Annotated[int | None, typer.Option(min=1, help="Fixed at the first ingest.")] = None,
    as_json: AsJson = False,
) -> None:
    """List a source into a dataset: new files, changed files, missing files. Opens no image.

    Example: `zcurate ingest ~/Pictures --out ds --origin camera`
    """
    from ..build import ingest_source
    from ..planned import check_config
    from ..recipe import SourceConfig

    given = {"name": name, "root": source, "kind": kind, "origin": origin, "license": license_}
    config = check_config(SourceConfig, given, "ingest")
    dataset, summary = ingest_source(out, config, rows_per_shard)
    if as_json:
        print(json.dumps({"dataset": dataset.storage.url, **dataclasses.asdict(summary)}))
        return
    print(
        f"{dataset.storage.url}: {summary.listed} listed, {summary.new} new, {summary.changed} changed, "
        f"{summary.missing} missing, {summary.unchanged} unchanged"
        + (f"; {summary.skipped_files} files of other kinds skipped" if summary.skipped_files else "")
        + (f"; {summary.errors} entries unusable (error rows)" if summary.errors else "")
    )


def fetch(
    manifest: Annotated[str, typer.Argument(help="Parquet, CSV or JSONL file with a URL column.")],
    out: Annotated[str, typer.Option("--out", help="Folder for WebDataset tars.")],
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 64,
    per_host: Annotated[int, typer.Option(min=1, help="Requests at once to one host.")] = 4,
    retry_failed: Annotated[bool, typer.Option("--retry", help="Try rows that failed before again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download a list of URLs into WebDataset tars, original bytes kept; ingest the folder afterwards.

    Honors robots.txt and opt-out headers. Running it again continues it.

    Example: `zcurate fetch urls.parquet --out images/`
    """
    from ..fetching import run_fetch

    raise typer.Exit(run_fetch(manifest, out, concurrency, per_host, retry_failed, as_json))


def run(
    stage: Annotated[str, typer.Argument(help="Stage to run, with what it needs before it.")],
    dataset: DatasetArg,
    set_: Sets = None,
    engine: EngineName = "ray",
    address: Address = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Run one stage of a dataset, with the newest run's recipe or the bundled `photos` settings.

    Example: `zcurate run dedup ds --set threshold=0.92`
    """
    from ..build import BuildOptions
    from ..build import build as run_build
    from ..single import single_stage_recipe

    recipe, limit = single_stage_recipe(stage, dataset, set_ or [])
    options = BuildOptions(
        engine=engine,
        address=address,
        max_workers=workers,
        limit=limit,
        as_json=as_json,
        ingest=False,
        export=False,
        until=stage,
    )
    outcome = run_build(recipe, options, f"zcurate run {stage}")
    raise typer.Exit(show_outcome(outcome, as_json))


def retry(
    dataset: DatasetArg,
    engine: EngineName = "ray",
    address: Address = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Do the error rows again, and what follows from them.

    Example: `zcurate retry ds`
    """
    from zcurate.curation.store import Dataset

    from ..build import BuildOptions
    from ..build import build as run_build
    from ..runlog import recorded_limit, recorded_recipe

    store = Dataset.open(dataset)
    recipe = recorded_recipe(store)
    options = BuildOptions(
        engine=engine,
        address=address,
        max_workers=workers,
        limit=recorded_limit(store),
        as_json=as_json,
        ingest=False,
        redo_errors=True,
    )
    outcome = run_build(recipe, options, "zcurate retry")
    raise typer.Exit(show_outcome(outcome, as_json))


def export(
    dataset: DatasetArg,
    format_: Annotated[str, typer.Option("--format", help="webdataset | parquet | datacomp.")],
    out: Annotated[str, typer.Option("--out", help="Folder to write; an earlier export there is replaced.")],
    include_placeholders: Annotated[bool, typer.Option(help="Export placeholder captions too.")] = False,
    allow_model_origin: Annotated[bool, typer.Option(help="Export images made by models too.")] = False,
    rows_per_shard: Annotated[int, typer.Option(min=1, help="Rows per file at most.")] = 1000,
    images: Annotated[bool, typer.Option(help="Parquet: include the original bytes.")] = True,
    caption_mix: Annotated[
        list[str] | None,
        typer.Option(
            help="Training caption by share: KIND=SHARE, e.g. en_long=0.7; `text` is the alt text. Repeatable."
        ),
    ] = None,
    caption_seed: Annotated[int, typer.Option(min=0, help="Another seed draws other captions.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write the selected rows as training shards, original bytes untouched.

    Example: `zcurate export ds --format webdataset --out shards/ --caption-mix en_long=0.9 --caption-mix text=0.1`
    """
    from ..exporting import export_one
    from ..planned import check_config
    from ..recipe import ExportConfig
    from ..runlog import new_record, write_record
    from ..view import open_view

    given = {
        "format": format_,
        "out": out,
        "include_placeholders": include_placeholders,
        "allow_model_origin": allow_model_origin,
        "rows_per_shard": rows_per_shard,
        "images": images,
        "caption_mix": dict(item.partition("=")[::2] for item in caption_mix or ()),
        "caption_seed": caption_seed,
    }
    config = check_config(ExportConfig, given, "export")
    view = open_view(dataset)
    facts = export_one(view, config)
    record = new_record(view.recipe, "zcurate export", "none")
    record.exports, record.state, record.exit_code = [facts], "done", 0
    record.folders, record.limit = dict(view.plan.paths), dataclasses.asdict(view.limit)
    write_record(view.dataset, record)
    print(json.dumps(facts) if as_json else export_line(facts))
    raise typer.Exit(3 if facts["unreadable"] else 0)
