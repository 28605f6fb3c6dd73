"""Command precompute: latents and text features of a training stage's data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import AsJson


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Model")(precompute)


def precompute(
    recipe: Annotated[Path, typer.Argument(help="Training recipe with data of kind shards.")],
    out: Annotated[Path, typer.Option(help="Folder for the stored features.")],
    stage: Annotated[str | None, typer.Option(help="Stage of the recipe; default: the first.")] = None,
    only: Annotated[
        Literal["latents", "text"] | None, typer.Option(help="Compute one kind; default: both.")
    ] = None,
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"], typer.Option(help="How values are stored.")
    ] = "bfloat16",
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="K=V", help="Set a field. Repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Encode the pictures and texts of a training stage once, for `latents` and `text_features` of its parts.

    What is stored carries the encoders' fingerprints: training with others refuses it.

    Example: `zcurate precompute my.yaml --stage low --out features`
    """
    from ..precomputing import KINDS, precompute

    kinds = (only,) if only else KINDS
    say = (lambda text: None) if as_json else print
    facts = precompute(recipe, out, stage, kinds, dtype, tuple(sets or ()), say)
    if as_json:
        print(json.dumps(facts))
