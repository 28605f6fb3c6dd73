"""The commands `edits-export` and `edits-report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from zcurate.curation.errors import ConfigError

from .options import AsJson

DatasetArg = Annotated[str, typer.Argument(metavar="DATASET", help="Dataset directory or URL.")]


def register(app: typer.Typer) -> None:
    app.command(name="edits-export", rich_help_panel="Make")(edits_export)
    app.command(name="edits-report", rich_help_panel="Look")(edits_report)


def edits_export(
    dataset: DatasetArg,
    out: Annotated[Path, typer.Option("--out", help="Folder to write; an earlier export there is replaced.")],
    form: Annotated[str, typer.Option("--format", help="`webdataset` or `parquet`.")] = "webdataset",
    stage: Annotated[
        str,
        typer.Option(
            help="Training stage it is for: `pretrain`, or `sft` with little text and all tasks alike."
        ),
    ] = "pretrain",
    balance: Annotated[
        float | None,
        typer.Option(
            "--task-balance",
            help="0: pairs as they are, to 1: all tasks weigh the same. Default: 0.5, of `sft` 1.",
        ),
    ] = None,
    include_negatives: Annotated[
        bool, typer.Option("--include-negatives", help="Edits that went wrong too, marked as such.")
    ] = False,
    split: Annotated[str | None, typer.Option(help="`train` or `validation`; both by default.")] = None,
    text_share: Annotated[
        float | None,
        typer.Option(
            "--text-share", help="Share of rendered text at most; 1 for all. Default: all, of `sft` 0.1."
        ),
    ] = None,
    draw: Annotated[
        int | None,
        typer.Option("--draw", help="So many pairs, drawn by weight, instead of all with weights."),
    ] = None,
    mix: Annotated[
        list[str] | None,
        typer.Option("--mix", metavar="STAGE=RATIO", help="Text-to-image samples per pair, e.g. `sft=4:1`."),
    ] = None,
    rows_per_shard: Annotated[int, typer.Option("--rows-per-shard", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="Another seed draws other pairs.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write edit pairs as training data: bytes, masks, instructions in two languages, specs, scores and weights.

    Example: `zcurate edits-export ds --out pairs --format parquet --stage sft --split train`
    """
    from zcurate.curation.edits.balancing import Sampling

    from ..edit_exporting import export_pairs

    ratios = dict(map(_ratio, mix)) if mix else None
    try:
        sampling = Sampling.of_stage(stage, balance, text_share, draw, ratios, seed)
    except ValueError as e:
        raise ConfigError(str(e)) from e
    done = export_pairs(dataset, out, form, sampling, include_negatives, split, rows_per_shard)
    if as_json:
        print(
            json.dumps({"pairs": done.pairs, "data_bytes": done.data_bytes, "by_type": dict(done.by["type"])})
        )
        return
    print(f"{done.pairs:,} pairs of {len(done.by['type'])} types, {done.data_bytes / 1e6:,.1f} MB: {out}")


def edits_report(
    dataset: DatasetArg,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; default: DATASET/edits.html.")
    ] = None,
    samples: Annotated[int, typer.Option(min=0, max=200, help="Pairs shown per task at most.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Write a page of edit pairs: what became of them, by task, and samples side by side with their instructions.

    Example: `zcurate edits-report ds --out edits.html`
    """
    from ..edit_reporting import funnel_of_pairs, write_edit_report

    if out is None and "://" in dataset and not as_json:
        raise ConfigError("the dataset is remote: say where the report goes with --out FILE")
    if as_json:
        print(json.dumps(funnel_of_pairs(dataset).plain(), ensure_ascii=False))
        return
    print(write_edit_report(dataset, out or Path(dataset) / "edits.html", samples))


def _ratio(text: str) -> tuple[str, float]:
    """`sft=4:1` as (`sft`, 4.0). Raises ConfigError."""
    stage, _, value = text.partition("=")
    one, _, other = value.partition(":")
    try:
        return stage.strip(), float(one) / float(other or 1)
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"--mix {text!r}: write STAGE=RATIO, e.g. sft=4:1") from None
