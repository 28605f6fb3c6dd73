"""Commands that look after a dataset: verify, gc, diff, remove."""

from __future__ import annotations

import dataclasses
import getpass
import json
from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson, sample_ids

DatasetArg = Annotated[str, typer.Argument(metavar="DATASET", help="Dataset directory or URL.")]


def register(app: typer.Typer) -> None:
    for function in (verify, gc, diff, remove):
        app.command(rich_help_panel="Look after")(function)


def verify(dataset: DatasetArg, as_json: AsJson = False) -> None:
    """Read every shard in full and name those that are damaged. Exit code 1 when there are any.

    Example: `zcurate verify ds`
    """
    from zcurate.curation.store import Dataset
    from zcurate.curation.store.maintenance import verify as run_verify

    report = run_verify(Dataset.open(dataset))
    if as_json:
        print(json.dumps(dataclasses.asdict(report)))
    else:
        for reason in report.damaged.values():
            print(reason)
        print(f"{report.shards} shards, {report.bytes / 1e6:,.1f} MB, {len(report.damaged)} damaged")
        if report.damaged:
            print("run the same build again: damaged shards count as absent and are made anew")
    raise typer.Exit(1 if report.damaged else 0)


def gc(
    dataset: DatasetArg,
    keep_runs: Annotated[int, typer.Option(min=1, help="Keep what the newest N different recipes use.")] = 1,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete; without it the list is only printed.")
    ] = False,
) -> None:
    """Find what no recent recipe uses: other folders of the groups, dead temporary files.

    Do not run it beside a build. Example: `zcurate gc ds --keep-runs 3 --delete`
    """
    from ..inspecting import garbage_of

    store, paths = garbage_of(dataset, keep_runs)
    total = 0
    for path in paths:
        total += store.storage.info(path).size_bytes
        print(path)
        if delete:
            store.storage.delete(path)
    print(
        f"{len(paths)} objects, {total / 1e6:,.1f} MB {'deleted' if delete else 'could go; repeat with --delete'}"
    )


def diff(
    a: Annotated[str, typer.Argument(help="Dataset.")],
    b: Annotated[str, typer.Argument(help="Dataset to compare with.")],
    rtol: Annotated[float, typer.Option(help="Relative tolerance of numbers.")] = 1e-5,
    atol: Annotated[float, typer.Option(help="Absolute tolerance of numbers.")] = 1e-6,
    as_json: AsJson = False,
) -> None:
    """Compare two datasets: keys exactly, numbers within tolerance. Exit code 1 when they differ.

    Example: `zcurate diff ds-laptop ds-cluster`
    """
    from ..inspecting import diff_datasets

    notes, found = diff_datasets(a, b, rtol, atol)
    if as_json:
        print(json.dumps({"notes": notes, "columns": [dataclasses.asdict(d) for d in found]}))
    else:
        for note in notes:
            print(note)
        for d in found:
            largest = f", largest difference {d.largest:.3g}" if d.largest is not None else ""
            print(f"{d.group}.{d.column}: {d.different} of {d.rows} rows differ{largest}")
        if not notes and not found:
            print("the same")
    raise typer.Exit(1 if notes or found else 0)


def remove(
    dataset: DatasetArg,
    ids: Annotated[Path, typer.Option("--ids", help="File of sample ids, one a line (32 hex digits).")],
    reason: Annotated[str, typer.Option(help="Why; kept with the decision.")],
    author: Annotated[str | None, typer.Option(help="Who; default: the login name.")] = None,
    export: Annotated[
        list[Path] | None, typer.Option(help="More export folders to clean. Repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take samples down: from every group, side table and export. Nothing brings them back.

    Example: `zcurate remove ds --ids ids.txt --reason "asked by the author"`
    """
    from zcurate.curation.errors import ConfigError

    from ..removal import remove_samples

    try:
        lines = ids.read_text(encoding="utf-8").splitlines()
    except OSError as e:
        raise ConfigError(f"{ids}: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise ConfigError(f"{ids}: not a text file; write one id a line, 32 hex digits each") from e
    wanted = sample_ids([s for line in lines if (s := line.split("#")[0].strip())])
    facts = remove_samples(dataset, wanted, author or getpass.getuser(), reason, export or [])
    code = 3 if facts["not_found"] else 0
    if as_json:
        print(json.dumps(facts))
        raise typer.Exit(code)
    print(f"{facts['samples']} samples removed, {facts['shards_rewritten']} shards rewritten")
    for path, count in facts["exports"].items():
        print(f"  {path}: {count} rows removed")
    if facts["unknown"]:
        print(f"{facts['unknown']} ids are not in this dataset")
    if facts["content_ids"]:
        print("to refuse copies of them too, add these to the recipe's block list:")
        for c in facts["content_ids"]:
            print(f"  {c}")
    for path in facts["not_found"]:
        print(f"not found: {path}: clean it where it is now with --export FOLDER")
    raise typer.Exit(code)
