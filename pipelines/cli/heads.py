"""Commands train-head and train-reward: scoring heads from labels, the reward from reviews."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from zcurate.curation.errors import ConfigError

from .options import AsJson


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Make")(train_head)
    app.command(rich_help_panel="Make")(train_reward)


def train_head(
    dataset: Annotated[str, typer.Option(help="Dataset directory or URL; its `embed` stage has run.")],
    labels: Annotated[
        Path,
        typer.Option(
            help="CSV or Parquet: `sample_id` or `key` (and `source`, where keys repeat), "
            "and `label` or `score`."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The head, a .safetensors file; the model card is written beside it.")
    ],
    kind: Annotated[
        Literal["regression", "logistic"],
        typer.Option(help="`regression` for scores, `logistic` for labels 0 and 1."),
    ] = "regression",
    folds: Annotated[int, typer.Option(min=2, max=20, help="Rounds of cross-validation.")] = 5,
    range_: Annotated[
        str, typer.Option("--range", help="Regression: smallest and largest score, e.g. `1,10`.")
    ] = "1,10",
    as_json: AsJson = False,
) -> None:
    """Train a scoring head on a dataset's embeddings; use it as `linear:FILE` in the `scores` stage.

    Copies of a picture (equal bytes, or one group of the `dedup` stage) never stand on both sides of a
    split. Prints rank correlation (SRCC) or AUC, and calibration, of predictions for unseen rows.

    Example: `zcurate train-head --dataset ds --labels taste.csv --out taste.safetensors`
    then `zcurate run scores ds --set aesthetic=linear:taste.safetensors`
    """
    from ..training_heads import train_head as run_training

    limits = (0.0, 1.0) if kind == "logistic" else _range(range_)
    facts = run_training(str(dataset), labels, out, kind, folds, limits)
    if as_json:
        print(json.dumps(facts))
        return
    print(f"{facts['used']} labels in {facts['groups']} groups of copies, {facts['folds']} folds")
    if facts["unmatched"]:
        print(f"{facts['unmatched']} labels name no sample, e.g. {', '.join(facts['unmatched_examples'])}")
    if facts["without_embedding"]:
        print(f"{facts['without_embedding']} labeled samples have no embedding")
    print("  ".join(f"{name.upper()} {value:.3f}" for name, value in facts["metrics"].items()))
    print("predicted -> label (rows)")
    for b in facts["calibration"]:
        print(f"  {b['predicted']:8.3f} -> {b['observed']:.3f} ({b['rows']})")
    print(f"head: {facts['head']}\ncard: {facts['card']}")


def _range(text: str) -> tuple[float, float]:
    match = re.fullmatch(r"\s*(-?[0-9.]+)\s*,\s*(-?[0-9.]+)\s*", text)
    try:
        low, high = (float(g) for g in match.groups()) if match else (0.0, 0.0)
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise ConfigError(f"--range {text!r}: write the smallest and the largest score, e.g. 1,10")
    return low, high


def train_reward(
    dataset: Annotated[
        str, typer.Option(help="Dataset whose samples were reviewed; its `embed` stage has run.")
    ],
    reviewed: Annotated[Path, typer.Option(help="reviewed.parquet of a review export.")],
    out: Annotated[Path, typer.Option(help="The reward, a .safetensors file.")],
    plot: Annotated[Path | None, typer.Option(help="PNG of its calibration on elements held out.")] = None,
    seed: Annotated[int, typer.Option(help="Of the split and the training.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train the instruction head of the reward: which elements of a prompt a picture satisfies, from reviews.

    Looks of AI and aesthetics are heads of `zcurate train-head` on the same reviews.

    Example: `zcurate train-reward --dataset ds --reviewed export/reviewed.parquet --out reward.safetensors --plot calibration.png`
    """
    from ..training_reward import train_reward as run_training

    facts = run_training(dataset, reviewed, out, plot, seed)
    if as_json:
        print(json.dumps(facts))
        return
    held = facts["held_out"]
    area = "-" if held["auc"] is None else f"{held['auc']:.3f}"
    print(
        f"{facts['elements']} elements of {facts['pictures']} pictures; held out: AUC {area}, calibration error {held['calibration_error']:.3f}"
    )
    print(f"reward: {out}")
