"""The command `augment`."""

from __future__ import annotations

import getpass
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from zcurate.curation.errors import ConfigError

from .options import Address, AsJson, EngineName


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Make")(augment)


def augment(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Dataset that is added to.")],
    pool: Annotated[
        str, typer.Option("--pool", help="Dataset that is searched: ingested, profiled, embedded.")
    ],
    diagnosis: Annotated[
        Path | None,
        typer.Option("--diagnosis", help="Folder of `zcurate diagnose`: what lacks data is looked for."),
    ] = None,
    concept: Annotated[
        list[str] | None, typer.Option("--concept", metavar="NAME", help="Look for this concept. Repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder; default: DIAGNOSIS/augment.")] = None,
    per_concept: Annotated[int, typer.Option(min=1, help="Samples added of each concept at most.")] = 100,
    look: Annotated[int, typer.Option(min=1, help="Candidates looked at per sample wanted.")] = 4,
    vlm: Annotated[
        str | None, typer.Option("--vlm", help="Model that checks candidates: `openai:URL#MODEL`.")
    ] = None,
    revision: Annotated[str | None, typer.Option("--revision", help="Which weights its server has.")] = None,
    verifier: Annotated[
        str | None, typer.Option("--verifier", help="`shapes`: of the procedural world.")
    ] = None,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Also what nobody can tell; look at the preview first.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Add them, and run the dataset's own stages.")
    ] = False,
    author: Annotated[str | None, typer.Option(help="Who does this; default: your user name.")] = None,
    engine: EngineName = "ray",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Look in a pool for what a diagnosis says is lacking, check it, show a preview; with --apply, add it.

    Example: `zcurate augment ds --pool web --diagnosis diagnosis --vlm openai:http://localhost:8000/v1#MODEL --revision 1`
    """
    from ..repairing import Options
    from ..repairing import augment as run

    if out is None and diagnosis is None:
        raise ConfigError("say where to: --out DIR (default: a folder in --diagnosis DIR)")
    judge: dict[str, Any] = {"ocr": None, "verifier": verifier}
    judge |= {"engine": vlm} if vlm else {}
    judge |= {"revision": revision} if revision else {}
    folder = out or diagnosis / "augment"
    done = run(
        Options(
            pool=pool,
            dataset=dataset,
            out=folder,
            diagnosis=diagnosis,
            names=tuple(concept or ()),
            per_concept=per_concept,
            look=look,
            judge=judge,
            unverified=unverified,
            apply=apply,
            author=author or getpass.getuser(),
            engine=engine,
            address=address,
        ),
        lambda text: print(text, file=sys.stderr),
    )
    if as_json:
        print(json.dumps([asdict(r) for r in done], ensure_ascii=False))
        return
    for r in done:
        refused = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in r.refused.items())
        print(
            f"  {len(r.accepted):>5} of {r.found:<5} {r.concept}"
            + (f"  (refused: {refused})" if refused else "")
        )
    total = sum(len(r.accepted) for r in done)
    print(
        f"{total} samples {'added' if apply else 'can be added with --apply'}; preview: {folder / 'augment.html'}"
    )
