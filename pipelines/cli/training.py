"""Commands train and merge: models from training recipes, and soups of models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from zcurate.curation.errors import ConfigError

from .options import AsJson


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Model")(train)
    app.command(rich_help_panel="Model")(merge)


def train(
    recipe: Annotated[
        Path, typer.Argument(help="Training recipe, a YAML file or the name of a bundled one.")
    ],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="K=V", help="Set a field, e.g. `optimizer.lr=1e-4`. Repeatable."),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Print memory, GPU-hours and dollars, and train nothing.")
    ] = False,
    ray_workers: Annotated[
        int, typer.Option(min=0, help="Processes under Ray Train, on the cluster of RAY_ADDRESS or here.")
    ] = 0,
    ray_gpu: Annotated[bool, typer.Option("--ray-gpu", help="A GPU for each of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on exported shards, stage by stage. The same command goes on after a stop.

    One process, as many as torchrun starts, or Ray's. Each stage leaves a model folder for `zcurate generate`.

    Example: `zcurate train pipelines/recipes/train_tiny.yaml --set out=runs/first`

    Example: `torchrun --nproc-per-node 8 --no-python zcurate train train_omni_full --set start=MODEL`
    """
    if ray_workers and not estimate:
        from ..training_ray import run_on_ray

        facts = run_on_ray(recipe, tuple(sets or ()), ray_workers, ray_gpu)
        if as_json:
            print(json.dumps(facts))
            return
        for name, stage in facts.get("stages", {}).items():
            loss = f", last loss {stage['last']['loss']:.4f}" if stage["last"] else ""
            print(f"stage {name}: model in {stage['model']}{loss}; its steps are in log.jsonl beside it")
        return
    from ..training import run_recipe

    outcome = run_recipe(recipe, tuple(sets or ()), estimate, say=(lambda text: None) if as_json else print)
    if as_json and outcome is not None:
        print(json.dumps(outcome))


def merge(
    models: Annotated[list[Path], typer.Argument(help="Model folders of one ancestor.")],
    out: Annotated[Path, typer.Option(help="Folder of the merged model.")],
    weights: Annotated[
        str | None, typer.Option(help="One number per model, e.g. `0.5,0.3,0.2`; default: equal ones.")
    ] = None,
    greedy: Annotated[
        bool,
        typer.Option(
            "--greedy", help="Keep a model only where the mean scores no worse with it on held-out scenes."
        ),
    ] = False,
    prompts: Annotated[
        int, typer.Option(min=1, help="Held-out prompts that a greedy soup is scored on.")
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """Average the weights of models (a soup), in float32. Encoders are those of the first.

    Example: `zcurate merge runs/a/model runs/b/model --weights 2,1 --out soup`
    """
    from ..training import run_merge

    facts = run_merge(models, out, _numbers(weights, len(models)), greedy, prompts)
    if as_json:
        print(json.dumps(facts))
        return
    for name, share in facts["shares"].items():
        score = facts["scores"].get(name)
        print(f"  {share:6.1%} {name}" + (f"  score {score:.3f}" if score is not None else ""))
    print(f"merged model: {facts['out']}" + (f", score {facts['score']:.3f}" if "score" in facts else ""))


def _numbers(text: str | None, count: int) -> list[float]:
    if text is None:
        return [1.0] * count
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or any(v != v for v in values) or sum(values) <= 0:
        raise ConfigError(f"--weights {text!r}: write {count} numbers with commas, which sum to more than 0")
    return values
