"""Commands that look: status, errors, columns, whatif, explain, report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import AsJson

DatasetArg = Annotated[str, typer.Argument(metavar="DATASET", help="Dataset directory or URL.")]


def register(app: typer.Typer) -> None:
    for function in (status, errors, columns, whatif, explain, report):
        app.command(rich_help_panel="Look")(function)


def status(dataset: DatasetArg, as_json: AsJson = False) -> None:
    """What is in a dataset and what is done.

    Example: `zcurate status ds`
    """
    from ..inspecting import status_of

    facts = status_of(dataset)
    if as_json:
        print(json.dumps(facts))
        return
    print(
        f"{facts['dataset']}: {facts['samples']} samples in {facts['shards']} shards ({facts['live']} live)"
    )
    width = max((len(s["stage"]) for s in facts["stages"]), default=0)
    for s in facts["stages"]:
        counts = f"{s['ok']} ok, {s['error']} error, {s['not_selected']} not selected"
        print(f"  {s['stage']:<{width}} {s['shards_done']}/{facts['shards']} shards  {counts}  {s['path']}")
    for path, reason in facts["damaged"].items():
        print(f"  ! {path}: {reason}")
    if facts["last_run"]:
        r = facts["last_run"]
        print(f"last run: {r['run_id']} {r['state']} in {r['seconds']:.1f} s ({r['command']})")


def errors(
    dataset: DatasetArg,
    limit: Annotated[int, typer.Option(help="Rows shown at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Rows that ended in an error, with file and reason.

    Example: `zcurate errors ds --json`
    """
    from collections import Counter

    from ..inspecting import error_rows

    classes: Counter[str] = Counter()
    for n, row in enumerate(error_rows(dataset)):
        classes[f"{row['group']}: {row['error_class']}"] += 1
        if as_json:
            print(json.dumps(row))
        elif n < limit:
            print(
                f"{row['sample_id']}  {row['group']:<10} {row['error_class']:<24} {row['uri']}: {row['error_message']}"
            )
    if not as_json:
        for name, count in classes.most_common():
            print(f"{count:>8}  {name}")
        if not classes:
            print("no error rows")


def columns(
    dataset: Annotated[
        str | None,
        typer.Argument(metavar="[DATASET]", help="Also the columns of every group of this dataset."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What rules can read: columns with kind, unit and meaning.

    Example: `zcurate columns ds`
    """
    from dataclasses import asdict

    from ..rule_columns import rule_columns, show_columns

    found = rule_columns(dataset)
    if as_json:
        print(json.dumps([asdict(c) for c in found]))
    else:
        show_columns(found)


def whatif(
    dataset: DatasetArg,
    rule: Annotated[
        str, typer.Option("--rule", help="Condition that would drop rows, e.g. `sharpness < 20`.")
    ],
    source: Annotated[
        str | None, typer.Option("--source", metavar="GLOB", help="Only sources whose name matches.")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, help="Samples nearest to the threshold to show.")] = 12,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with the thumbnails of these samples.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What a rule would drop, before it is set.

    Examples: `zcurate whatif ds --rule "reencode_bpp < 0.05" --html borderline.html`,
    `zcurate whatif ds --rule '"logo" in scores.tags' --source 'web-*'`
    """
    from ..explaining import show
    from ..inspecting import whatif_of

    facts = whatif_of(dataset, rule, examples, html, source)
    if as_json:
        print(json.dumps(facts))
        return
    print(f"{facts['condition']}: {_counted(facts, 'rows ')}")
    for name, counts in sorted(facts["sources"].items()):
        print(f"  {name}: {_counted(counts)}")
    for e in facts["examples"]:
        value = f"{e['value']:<12.6g}" if e["value"] is not None else show(list(e["values"].values()))
        out = "" if e["kept"] else "  (already out)"
        name = show(f"{e['source']}/{e['key']}")
        print(f"  {'drop' if e['matched'] else 'keep'}  {value} {e['sample_id']}  {name}{out}")
    if html:
        print(f"thumbnails: {html}")


def _counted(counts: Mapping[str, Any], unit: str = "") -> str:
    share = counts["matched"] / max(1, counts["total"])
    newly = "" if counts["newly"] is None else f"; {counts['newly']} of them kept today"
    return f"{counts['matched']} of {counts['total']} {unit}({share:.1%}){newly}; {counts['null']} without a value"


def explain(
    dataset: DatasetArg,
    sample: Annotated[
        str,
        typer.Argument(
            metavar="SAMPLE", help="Its id or the first digits of it, SOURCE/KEY, or the path of the file."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Everything known of one sample: signals, decisions, group, captions, weight.

    Examples: `zcurate explain ds 0f3c2a`, `zcurate explain ds Pictures/cat-12`, `zcurate explain ds ~/Pictures/cat-12.jpg`
    """
    from ..explaining import explain_sample, print_explanation
    from ..sample_names import named_sample
    from ..view import open_view

    facts = explain_sample(dataset, named_sample(open_view(dataset), sample))
    if as_json:
        print(json.dumps(facts))
    else:
        print_explanation(facts)


def report(
    dataset: DatasetArg,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; default: DATASET/report.html.")
    ] = None,
) -> None:
    """Write a self-contained report.html of the newest run.

    Example: `zcurate report ds`
    """
    from zcurate.curation.errors import ConfigError

    from ..reporting import write_report

    if out is None and "://" in dataset:
        raise ConfigError("the dataset is remote: say where the report goes with --out FILE")
    print(write_report(dataset, out or Path(dataset) / "report.html"))
