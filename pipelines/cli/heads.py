"""Commands train-head, train-reward and train-captioner: models from labels and reviews."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from zcurate.curation.errors import ConfigError

from .options import AsJson


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Make")(train_head)
    app.command(rich_help_panel="Make")(train_reward)
    app.command(rich_help_panel="Make")(train_captioner)


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


def train_captioner(
    conversations: Annotated[
        Path, typer.Option(help="Folder of `zcurate review-export DATASET --format conversations`.")
    ],
    model: Annotated[
        str, typer.Option(help="`transformers:DIRECTORY_OR_ID`; with `+ADAPTER`, goes on from that adapter.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new adapter; must not exist.")],
    previous: Annotated[
        Path | None,
        typer.Option(
            help="Adapter whose version is counted on from, when training begins at the base again."
        ),
    ] = None,
    rank: Annotated[int, typer.Option(help="Of the adapter's matrices.")] = 16,
    alpha: Annotated[float, typer.Option(help="The adapter's output is scaled by alpha / rank.")] = 32.0,
    dropout: Annotated[float, typer.Option(help="Share of the adapter's inputs left out in training.")] = 0.0,
    rate: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = 1e-4,
    epochs: Annotated[float, typer.Option(help="Rounds through the conversations.")] = 1.0,
    steps: Annotated[int | None, typer.Option(help="Steps, instead of epochs.")] = None,
    batch: Annotated[
        int, typer.Option(help="Conversations per step; gradients are added up one by one.")
    ] = 8,
    mix: Annotated[
        float,
        typer.Option(
            help="1: tasks by their numbers; 0: all tasks alike; 0.5: by the root of their numbers."
        ),
    ] = 0.5,
    max_tokens: Annotated[int, typer.Option(min=64, help="Longer conversations are passed over.")] = 8192,
    answers: Annotated[
        int,
        typer.Option(min=0, help="Answers written per task and compared, before and after; 0: losses alone."),
    ] = 16,
    checkpointing: Annotated[
        bool | None, typer.Option(help="Compute activations twice rather than keep them; default: on a GPU.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="`cuda` or `cpu`; default: a GPU where there is one.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the adapter's start and the order.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train the captioner on reviews: a LoRA adapter for a local model, over lettering, captions and differences at once.

    Prints scores per task on held-out pictures, before and after. Every training makes a new version; captions made with
    it are new rows. Going on from an adapter keeps its rank, alpha and dropout.

    Example: `zcurate train-captioner --conversations talks --model transformers:models/qwen --out captioner-v1`
    then `zcurate build caption --set source=photos/ --set vlm=transformers:models/qwen+captioner-v1`
    """
    from zcurate.captioner.training.fitting import FitSettings, TrainingError

    from ..training_captioner import CaptionerTraining
    from ..training_captioner import train_captioner as run_training

    try:
        fit = FitSettings(
            rank=rank, alpha=alpha, dropout=dropout, rate=rate, epochs=epochs, steps=steps, batch=batch, mix=mix,
            checkpointing=checkpointing, seed=seed,
        )  # fmt: skip
    except TrainingError as e:
        raise ConfigError(f"--{e}") from e
    asked = CaptionerTraining(conversations, model, out, previous, fit, max_tokens, answers, device)
    facts = run_training(asked, lambda text: print(text, file=sys.stderr))
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    for task, after in facts["scores"]["after"].items():
        before = facts["scores"]["before"][task]
        if "loss" not in after or "loss" not in before:
            print(
                f"{task}: all {after.get('too_long', 0)} held-out conversations are longer than --max-tokens"
            )
            continue
        worse = "  WORSE" if after["loss"] > before["loss"] else ""
        print(
            f"{task}: {after['conversations']} held out, loss {before['loss']:.3f} -> {after['loss']:.3f}{worse}"
        )
        for name, found in after.get("fields", {}).items():
            print(f"  {name:<16} {before['fields'][name]['loss']:.3f} -> {found['loss']:.3f}")
        for name, value in after.get("answers", {}).items():
            if name != "written":
                print(
                    f"  {name:<16} {before['answers'][name]:.2f} -> {value:.2f} of {after['answers']['written']} written"
                )
    print(f"version {facts['version']}: {facts['identity']}")
    print(f"use it as {facts['model']}")
