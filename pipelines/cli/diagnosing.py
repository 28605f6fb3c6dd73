"""The command `diagnose`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zcurate.curation.errors import ConfigError

from .options import Address, AsJson, EngineName

if TYPE_CHECKING:
    from zcurate.curation.active.comparing import Change, Comparison


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Model")(diagnose)


def diagnose(
    generator: Annotated[
        str,
        typer.Argument(
            metavar="GENERATOR",
            help="`s3dit:DIR`, `dashscope:z-image-turbo`, or `folder:DIR` of pictures with prompts.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the diagnosis; the same one goes on.")] = Path(
        "diagnosis"
    ),
    concept: Annotated[
        list[str] | None, typer.Option("--concept", metavar="NAME", help="Test this concept. Repeatable.")
    ] = None,
    concepts: Annotated[
        Path | None,
        typer.Option("--concepts", help="File: a name per line, or JSON lines with aliases and parts."),
    ] = None,
    graph: Annotated[
        str | None,
        typer.Option(
            "--graph", help="Choose concepts of this graph: by prior, rarity, lack of data, recent."
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Concepts chosen from the graph.")] = 100,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Training data: look for causes there.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts", help="File of user prompts, one per line: those that name a concept are used."
        ),
    ] = None,
    write_prompts: Annotated[
        int, typer.Option("--write-prompts", min=0, help="Prompts of each concept that --vlm writes, too.")
    ] = 0,
    vlm: Annotated[str | None, typer.Option("--vlm", help="Model that looks: `openai:URL#MODEL`.")] = None,
    revision: Annotated[str | None, typer.Option("--revision", help="Which weights its server has.")] = None,
    verifier: Annotated[
        str | None, typer.Option("--verifier", help="`shapes`: of the procedural world.")
    ] = None,
    reward: Annotated[str | None, typer.Option("--reward", help="File of `zcurate train-reward`.")] = None,
    encoder: Annotated[
        str, typer.Option("--encoder", help="Encoder the reward was trained on.")
    ] = "embedded",
    ocr: Annotated[bool, typer.Option("--ocr/--no-ocr", help="Read quoted text.")] = True,
    required: Annotated[float, typer.Option(help="Pass rate a healthy concept has.")] = 0.5,
    least: Annotated[int, typer.Option(min=1, help="Pictures of each concept at first.")] = 8,
    most: Annotated[int, typer.Option(min=1, help="Pictures of an undecided concept at most.")] = 64,
    budget: Annotated[int | None, typer.Option(min=0, help="Pictures in all.")] = None,
    max_spend: Annotated[
        float | None, typer.Option("--max-spend", min=0, help="USD for a paid generator.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Folder of an earlier diagnosis: test its concepts again, compare."),
    ] = None,
    size: Annotated[str | None, typer.Option(help="`W*H` px.")] = None,
    seed: Annotated[int, typer.Option(help="Of prompts and pictures.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Pictures drawn together.")] = 4,
    engine: EngineName = "ray",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Find what a generator does badly: probe concepts, judge element by element, look for causes in the training data.

    Example: `zcurate diagnose folder:made --vlm openai:http://localhost:8000/v1#MODEL --revision 1`

    Example: `zcurate diagnose s3dit:runs/first/model --graph graph --dataset ds --prompts users.txt`

    Example, after a cycle: `zcurate diagnose s3dit:runs/second/model --against diagnosis --out diagnosis2 --dataset ds`
    """
    from zcurate.curation.active.choosing import Choice
    from zcurate.curation.active.testing import Plan

    from ..diagnosing import Options
    from ..diagnosing import diagnose as run
    from ..diagnosis_record import plain

    try:
        plan = Plan(required=required, least=least, most=max(least, most))
    except ValueError as e:
        raise ConfigError(str(e)) from e
    if prompts is not None and not prompts.is_file():
        raise ConfigError(f"--prompts {prompts}: no such file")
    judge: dict[str, Any] = {"ocr": "rapidocr" if ocr else None, "verifier": verifier}
    judge |= {"reward": str(Path(reward).resolve()), "encoder": encoder} if reward else {}
    judge |= {"engine": vlm} if vlm else {}
    judge |= {"revision": revision} if revision else {}
    done = run(
        Options(
            generator=generator,
            out=out,
            names=tuple(concept or ()),
            file=concepts,
            graph=graph,
            dataset=dataset,
            asked=tuple(filter(str.strip, prompts.read_text("utf-8-sig").split("\n"))) if prompts else (),
            write_prompts=write_prompts,
            plan=plan,
            choice=Choice(count=count),
            judge=judge,
            budget=budget,
            size=size,
            seed=seed,
            batch=batch,
            max_spend=max_spend,
            against=against,
            engine=engine,
            address=address,
        ),
        lambda text: print(text, file=sys.stderr),
    )
    if as_json:
        print(json.dumps(plain(done), ensure_ascii=False))
        return
    print(
        f"{done.pictures:,} pictures, {done.unscored:,} of them cannot be told"
        + (
            f", {done.errors} could not be drawn or read (zcurate errors {out / 'dataset'})"
            if done.errors
            else ""
        )
    )
    for f in [f for f in done.findings if f.status == "fails"][:20]:
        cause = f"  {f.cause.name.replace('_', ' ')} -> {f.cause.action}" if f.cause else ""
        print(f"  {f.tally.passed:>4} of {f.tally.scored:<4} {f.concept.name}{cause}")
    if done.comparison is not None:
        _print_comparison(done.comparison, against)
    print(f"report: {out / 'diagnosis.html'}")


def _print_comparison(comparison: Comparison, against: Path | None) -> None:
    means = (("concepts repaired", comparison.repaired_points), ("healthy ones", comparison.healthy_points))
    said = ", ".join(f"{name} {points:+.1f}" for name, points in means if points is not None)
    print(f"since {against}, points on average: {said or 'nothing to compare'}")
    if comparison.settings:
        print(f"  rates may not compare: {', '.join(comparison.settings)} differ")
    for c in [c for c in comparison.changes if c.action not in ("", "review") or c.sure][:20]:
        print(f"  {_change(c)}" + (f"  ({c.action})" if c.action else ""))
    for c in comparison.harmed[:20]:
        print(f"  healthy before: {_change(c)}")


def _change(c: Change) -> str:
    counts = f"{c.before.passed} of {c.before.scored} -> {c.after.passed} of {c.after.scored}"
    return f"{c.points:+6.1f}  {c.concept}  {counts}" + ("" if c.sure else ", not sure")
