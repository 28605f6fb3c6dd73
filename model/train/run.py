"""A recipe made to run: its stages one after another, resumed where they stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..config import PRESETS
from ..data.examples import Feed
from ..init import new_model
from ..pipeline_folder import Pipeline, load_pipeline, tiny_pipeline
from .adapters import add_lora, lora_state, save_lora
from .checkpoint import Checkpoints
from .conditioning import Encoders
from .ema import Ema
from .errors import RecipeError
from .estimate import matmul_rate
from .export import export
from .feeds import feed_of
from .grids import draw, page
from .logs import Logs
from .loop import Network, Settings, Trainer
from .objective import FlowMatching, Times
from .optim import learning_rate, optimizer_of
from .parallel import DTYPES, Group, checkpoint_activations, compile_blocks, join, shard
from .recipe import StageConfig, TrainRecipe, VariantConfig

Say = Callable[[str], None]
FeedOf = Callable[[dict, int, Group, Pipeline], Feed]


@dataclass(frozen=True)
class Outcome:
    """Of one stage: its name, the model folder it left, its last record (None where it had been done before)."""

    name: str
    model: Path
    last: dict | None


def group_of(recipe: TrainRecipe) -> Group:
    """Join the processes of this run, with the recipe's device and threads."""
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    cuda = recipe.device == "cuda" or (recipe.device == "auto" and torch.cuda.is_available())
    return join("cuda" if cuda else "cpu", sharded=precision_of(recipe, cuda) != "fp32")


def precision_of(recipe: TrainRecipe, cuda: bool) -> str:
    return recipe.precision if recipe.precision != "auto" else ("bf16" if cuda else "fp32")


def start_pipeline(recipe: TrainRecipe, start: str | Path | None = None) -> Pipeline:
    """Model and encoders to begin with. Raises RecipeError, ModelConfigError and WeightsError."""
    start = start or recipe.start
    if str(start) not in PRESETS:
        return load_pipeline(start)
    if recipe.encoders is None:
        if start != "tiny":
            raise RecipeError(f"start: {start}: encoders must name a model folder to take the encoders from")
        return tiny_pipeline(recipe.seed, semantic=recipe.semantic, name=recipe.name)
    pipeline = load_pipeline(recipe.encoders)
    config = PRESETS[str(start)]
    if recipe.semantic and pipeline.semantic is not None:
        config = config.with_siglip(pipeline.semantic.feat_dim)
    pipeline.transformer = new_model(config, recipe.seed)
    pipeline.__post_init__()
    return pipeline


def train(
    recipe: TrainRecipe, say: Say = print, feeds: FeedOf = feed_of, group: Group | None = None
) -> list[Outcome]:
    """Run all stages, then variants and their soup. Every stage starts from the model of the one before.

    Raises ModelError of every kind, each with the field, file or samples at fault.
    """
    group = group or group_of(recipe)
    tell = say if group.rank == 0 else lambda text: None
    out, start, outcomes = Path(recipe.out), None, []
    for stage in recipe.stages[: len(recipe.stages) - bool(recipe.variants)]:
        outcomes.append(run_stage(recipe, (stage,), out / stage.name, start, group, tell, feeds))
        start = outcomes[-1].model
    for variant in recipe.variants:
        parts = (recipe.stages[-1], variant)
        outcomes.append(run_stage(recipe, parts, out / variant.name, start, group, tell, feeds))
    if recipe.prompts and group.rank == 0:
        tell(f"prompts after every stage: {stages_page(recipe, [o.model for o in outcomes])}")
    group.barrier()
    return outcomes


def run_stage(
    recipe: TrainRecipe,
    parts: Sequence[StageConfig | VariantConfig],
    folder: Path,
    start: Path | None,
    group: Group,
    say: Say,
    feeds: FeedOf = feed_of,
) -> Outcome:
    """One stage, or a variant of one, in its own folder: log, checkpoints, grids, and `model` at its end."""
    stage, name, model_folder = parts[0], parts[-1].name, folder / "model"
    if steps_done(folder) >= stage.steps:
        say(f"stage {name}: was done before; its model is {model_folder}")
        return Outcome(name, model_folder, None)
    pipeline = start_pipeline(recipe, start)
    trainer = trainer_of(recipe, parts, folder, pipeline, group, feeds)
    network = trainer.networks["model"]
    count = sum(p.numel() for p in network.model.parameters() if p.requires_grad)
    if trainer.resume():
        say(f"stage {name}: goes on from step {trainer.step} of {stage.steps}")
    else:
        say(f"stage {name}: {stage.steps} steps, {count / 1e6:.1f} M weights are trained")
    if hasattr(trainer.feed, "facts"):
        trainer.logs.write({"event": "feed", **trainer.feed.facts()})
    every = max(1, stage.steps // 20)
    record = None
    try:
        while trainer.step < stage.steps:
            record = trainer.run(min(stage.steps, (trainer.step // every + 1) * every))[-1]
            say(progress(record, stage.steps))
    except BaseException:
        trainer.logs.close()
        raise
    if hasattr(trainer.feed, "facts"):
        facts = trainer.feed.facts()
        trainer.logs.write({"event": "fed", **facts})
        if facts["bad"]:
            say(
                f"stage {name}: {facts['bad']} of {facts['read']} samples of this rank could not be read "
                f"and were left out: {'; '.join(facts['first_bad'][:3])}"
            )
    if trainer.logs.missing:
        say(f"stage {name}: {trainer.logs.missing}; its numbers are in {folder / 'log.jsonl'} alone")
    trainer.logs.close()
    trainer.save(background=False)
    if recipe.lora:
        matrices = lora_state(network.model)
        if group.rank == 0:
            save_lora(matrices, folder / "lora.safetensors")
    export(model_folder, network, pipeline, group, bf16=group.device.type == "cuda")
    if group.rank == 0:
        part = folder / ".done.json.part"
        part.write_text(json.dumps({"steps": trainer.step, "last": record}), "utf-8")
        os.replace(part, folder / "done.json")
    group.barrier()
    say(f"stage {name}: model in {model_folder}")
    return Outcome(name, model_folder, record)


def steps_done(folder: Path) -> int:
    """Steps of a finished stage; 0 for one that is not. A stage that is given more steps later goes on."""
    try:
        return int(json.loads((folder / "done.json").read_text("utf-8"))["steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def trainer_of(
    recipe: TrainRecipe,
    parts: Sequence[StageConfig | VariantConfig],
    folder: Path,
    pipeline: Pipeline,
    group: Group,
    feeds: FeedOf = feed_of,
) -> Trainer:
    """The trainer of a stage, from its beginning."""
    stage = parts[0]
    options = recipe.optimizer_of(*parts)
    precision = precision_of(recipe, group.device.type == "cuda")
    model = pipeline.transformer.train().float().to(group.device)
    if recipe.lora:
        add_lora(model, recipe.lora.rank, recipe.lora.alpha, recipe.seed)
    else:
        model.requires_grad_(True)
    if recipe.activation_checkpointing:
        checkpoint_activations(model)
    if recipe.compile:
        compile_blocks(model)
    shard(model, group, precision)
    optimizer = optimizer_of(
        model, options.kind, options.lr, options.betas, options.eps, options.weight_decay, recipe.seed
    )
    network = Network(
        model,
        optimizer,
        lambda n: learning_rate(
            n, options.lr, options.warmup_steps, stage.steps, options.schedule, options.floor
        ),
        options.clip_norm,
        Ema(model, options.ema_decay) if options.ema_decay else None,
    )
    settings = Settings(
        seed=recipe.seed,
        accumulate=stage.accumulate or recipe.accumulate,
        times=Times(**recipe.times.model_dump()),
        checkpoint_every=recipe.checkpoint_every,
        sample_every=recipe.sample_every if recipe.prompts else 0,
        spike_factor=recipe.spike_factor,
        peak_flops=matmul_rate(group.device, DTYPES[precision]),
    )

    def sample(step: int) -> None:
        images = draw(model, pipeline, recipe.prompts, recipe.sample_size_px, recipe.sample_steps)
        if group.rank == 0:
            page([(f"step {step}", images)], folder / "grids" / f"step-{step:08}.png")

    checkpoints = Checkpoints(folder / "checkpoints", group, recipe.keep)
    logs = Logs(folder if group.rank == 0 else None, recipe.tensorboard)
    feed = feeds(recipe.data_of(*parts), recipe.seed, group, pipeline)
    encoders = Encoders(pipeline, group.device)
    return Trainer(
        {"model": network}, FlowMatching(), encoders, feed, group, settings, checkpoints, logs, sample
    )


def progress(record: dict, steps: int) -> str:
    """One line of a step's record."""
    mfu = f", MFU {record['mfu']:.0%}" if "mfu" in record else ""
    return (
        f"step {record['step']}/{steps}: loss {record['loss']:.4f}, gradient {record['grad_norm']:.3f}, "
        f"{record['samples_per_s']:.1f} samples/s, {record['tokens_per_s']:.0f} tokens/s{mfu}, "
        f"waiting for data {record['data_wait_share']:.0%}"
    )


def stages_page(recipe: TrainRecipe, models: Sequence[Path]) -> Path:
    """The recipe's prompts drawn by the model of every stage, one row each (the report's figure 12)."""
    rows = []
    for folder in models:
        pipeline = load_pipeline(folder)
        images = draw(
            pipeline.transformer, pipeline, recipe.prompts, recipe.sample_size_px, recipe.sample_steps
        )
        rows.append((folder.parent.name, images))
    return page(rows, Path(recipe.out) / "stages.png")
