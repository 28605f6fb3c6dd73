"""The commands that act on a diagnosis: augment, reweight."""

from __future__ import annotations

import getpass
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from zcurate.curation.errors import ConfigError

from .graph_upkeep import GraphDir
from .options import Address, AsJson, EngineName


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Make")(augment)
    app.command(rich_help_panel="Graph")(reweight)


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
    turns: Annotated[
        int, typer.Option(min=1, max=2, help="2: search again by the look of what was found to show it.")
    ] = 2,
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
            turns=turns,
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


def reweight(
    diagnosis: Annotated[Path, typer.Option("--diagnosis", help="Folder of `zcurate diagnose --dataset`.")],
    graph: GraphDir = Path("graph"),
    concept: Annotated[
        list[str] | None,
        typer.Option("--concept", metavar="NAME", help="This concept, whatever its cause. Repeatable."),
    ] = None,
    most: Annotated[float, typer.Option(help="Largest factor of one step.")] = 4.0,
    apply: Annotated[bool, typer.Option("--apply", help="Set the weights; else only show them.")] = False,
    author: Annotated[str | None, typer.Option(help="Who does this; default: your user name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give concepts that training drew too seldom, by a diagnosis, more weight in the graph; a preview without --apply.

    The factor is the inverse of how often the concept was drawn for its part of the data. `zcurate graph undo` takes a
    weight back. The next `zcurate run balance` draws by the new weights.

    Example: `zcurate reweight --diagnosis diagnosis --graph graph --apply`
    """
    from ..graphing import errors_for_people
    from ..reweighting import Options
    from ..reweighting import reweight as run

    with errors_for_people():
        done = run(Options(diagnosis, graph, tuple(concept or ()), most, apply, author or getpass.getuser()))
    if as_json:
        print(json.dumps(asdict(done), ensure_ascii=False))
        return
    width = max([7, *(len(w.concept) for w in done.weights)])
    if done.weights:
        print(f"  {'concept':<{width}}  {'now':>8}  {'proposed':>8}  why")
    for w in done.weights:
        change = f"  (change {w.change})" if w.change is not None else ""
        print(f"  {w.concept:<{width}}  {w.now:>8.3g}  {w.proposed:>8.3g}  {w.why}{change}")
    for name, why in done.refused.items():
        print(f"  not {name}: {why}")
    print(
        f"{len(done.weights)} weights {f'set, graph version {done.version}; next: zcurate run balance DATASET' if apply else 'can be set with --apply'}"
    )
