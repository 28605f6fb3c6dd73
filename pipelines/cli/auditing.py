"""The command `dedup-audit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson


def register(app: typer.Typer) -> None:
    app.command(name="dedup-audit", rich_help_panel="Look")(dedup_audit)


def dedup_audit(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Dataset directory or URL.")],
    encoder: Annotated[
        str | None,
        typer.Option(help="Encoder the threshold is for; refused unless the dataset was embedded by it."),
    ] = None,
    low: Annotated[float, typer.Option(help="Smallest cosine.")] = 0.8,
    high: Annotated[float, typer.Option(help="Largest cosine.")] = 1.0,
    step: Annotated[float, typer.Option(help="Width of a bin.")] = 0.01,
    per_bin: Annotated[
        int, typer.Option("--per-bin", min=0, max=1_000, help="Pairs shown per bin at most.")
    ] = 12,
    seed: Annotated[int, typer.Option(help="Another seed draws other pairs.")] = 0,
    html: Annotated[Path | None, typer.Option(help="Write a page with both pictures of every pair.")] = None,
    as_json: AsJson = False,
) -> None:
    """Pairs of samples per 0.01 of cosine, to set the duplicate threshold of an encoder by eye.

    Example: `zcurate dedup-audit ds --low 0.7 --html pairs.html`; then set `stages.dedup.threshold` in the recipe.
    """
    from ..auditing import audit, write_page

    found = audit(dataset, encoder, low, high, step, per_bin, seed)
    if html:
        write_page(found, html)
    if as_json:
        print(json.dumps(found.plain()))
        return
    print(f"{found.samples} samples, encoder {found.encoder}, threshold {found.threshold:g}")
    drawn = False
    for b in reversed(found.bins):
        if not drawn and b.high <= found.threshold + 1e-9:
            print(f"  ---- threshold {found.threshold:g} ----")
            drawn = True
        about = "~" if b.estimated and b.pairs else " "
        merged = "" if b.merged is None else f"   {b.merged:.0%} in one group"
        print(f"  {b.low:.3f}-{b.high:.3f} {about}{b.pairs:>9}{merged}")
    if html:
        print(f"pairs: {html}")
