"""The command `caption-report`."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from zcurate.curation.errors import ConfigError

from .options import AsJson


def register(app: typer.Typer) -> None:
    app.command(name="caption-report", rich_help_panel="Look")(caption_report)


def caption_report(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Dataset directory or URL.")],
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Strings known to be in the pictures: JSON of file name (or key, sample id) -> [strings], or lines with key and texts."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Second column: another dataset, or a folder of this one such as captions/1a2b3c."),
    ] = None,
    folder: Annotated[
        str | None, typer.Option(help="Captions of this folder, not of the newest run.")
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="From where a row needs review, e.g. `missing_lettering=0.1`; `off` switches off.",
        ),
    ] = None,
    review: Annotated[
        Path | None,
        typer.Option(
            help="Write rows for review here: Parquet with reasons, or ids only if it ends in .txt."
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", "--out", help="Write a page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Quality of captions without people: lettering, languages, inventions, repetition, lengths, speed.

    Lettering in long captions is held against the OCR stage's own reading and against strings known beforehand.
    Placeholders are reported apart. Nothing is decided: `--review` lists rows, a person drops them
    (`zcurate prune DATASET --ids doubtful.txt --reason ...`).

    Example: `zcurate caption-report ds --truth strings.json --html captions.html --review doubtful.parquet`;
    what a hint to the model changes: `zcurate caption-report ds-with-hint --against ds-without`.
    """
    from ..caption_reporting import report
    from ..caption_truth import read_truth
    from ..report.captions import render_captions, sections_of

    limits = _limits(limit or [])
    known = read_truth(truth) if truth else None
    found = [report(dataset, folder, known, limits, review)]
    if against:
        inside = against.startswith("captions/")
        found.append(report(dataset if inside else against, against if inside else None, known, limits))
    if html:
        html.expanduser().write_text(render_captions(found), encoding="utf-8")
    plain = [f.plain() for f in found]
    if as_json:
        print(json.dumps(plain[0] | ({"against": plain[1]} if against else {}), ensure_ascii=False))
        return
    for one in found:
        print(f"{one.dataset}  {one.folder}  {dict(one.statuses)}")
    for section in sections_of(found):
        print(f"\n{section.title}")
        for line in section.lines:
            print(f"  {line.name:66}" + "".join(f" {value:>16}" for value in line.values))
    for one in found:
        if one.clip:
            print(f"\nno CLIPScore: {one.clip}")
            break
    if review:
        print(f"\nrows for review: {review} ({found[0].review})")
    if html:
        print(f"page: {html}")


def _limits(settings: list[str]) -> Any:
    from zcurate.captioner.caption_report import Thresholds

    names = [f.name for f in fields(Thresholds)]
    values: dict[str, float | None] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in names:
            raise ConfigError(f"--limit {setting!r}: there is {', '.join(names)}")
        try:
            values[name] = None if text == "off" else float(text)
        except ValueError as e:
            raise ConfigError(f"--limit {setting!r}: write a number or off") from e
    return Thresholds(**values)
