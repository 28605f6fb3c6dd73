"""Training recipes and soups from the command line: reading, estimating, running, telling."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

from zcurate.curation.errors import ConfigError, ZcurateError
from zcurate.model.errors import ModelConfigError, ModelError, SizeError, WeightsError
from zcurate.model.train.errors import RecipeError
from zcurate.model.train.recipe import TrainRecipe, read_recipe

from .recipe import BUNDLED

Say = Callable[[str], None]


def silent(text: str) -> None:
    """What ranks other than the first say."""


@contextmanager
def told():
    """The model's errors as the command line tells them: a recipe's as wrong arguments, others as failures."""
    try:
        yield
    except (RecipeError, ModelConfigError, SizeError, WeightsError) as error:
        raise ConfigError(str(error)) from error
    except ModelError as error:
        raise ZcurateError(str(error)) from error


def find_recipe(path: Path | str) -> Path:
    """A file, or a bundled recipe by name. Raises ConfigError."""
    file = Path(path)
    bundled = BUNDLED / f"{file.name.removesuffix('.yaml')}.yaml"
    if file.is_file():
        return file
    if file.name == str(path) and bundled.is_file():
        return bundled
    names = ", ".join(sorted(p.stem for p in BUNDLED.glob("train_*.yaml")))
    raise ConfigError(f"{path}: no such recipe file; bundled training recipes are {names}")


def run_recipe(path: Path, sets: Sequence[str], estimate: bool, say: Say = print) -> dict | None:
    """Estimate, or train. Returns what `--json` prints; None on ranks other than the first."""
    if os.environ.get("RANK", "0") != "0":
        say = silent
    with told():
        recipe = read_recipe(find_recipe(path), sets)
        if estimate or recipe.estimate:
            rows = estimates(recipe)
            for line in estimate_lines(recipe, rows):
                say(line)
            if estimate:
                return {"estimate": rows}
        from zcurate.model.train.run import group_of, train

        group = group_of(recipe)
        outcomes = train(recipe, say, group=group)
        if group.rank:
            return None
        facts: dict = {"stages": {o.name: {"model": str(o.model), "last": o.last} for o in outcomes}}
        if recipe.variants:
            facts |= merge_variants(recipe, {o.name: o.model for o in outcomes}, say)
        return facts


def estimates(recipe: TrainRecipe) -> list[dict]:
    """Cost and memory of every stage that `estimate.sizes` describes. Raises RecipeError without any."""
    from zcurate.model.config import PRESETS, S3DiTConfig
    from zcurate.model.train.estimate import RECOMPUTED, TRAIN, cost, memory, parameters, sample_flops

    if recipe.estimate is None:
        raise RecipeError("the recipe has no `estimate`: give gpus and the sizes of its stages")
    options = recipe.estimate
    preset = PRESETS.get(recipe.start) or PRESETS["full"]
    if recipe.start not in PRESETS and (Path(recipe.start) / "transformer" / "config.json").is_file():
        preset = S3DiTConfig.read(Path(recipe.start) / "transformer" / "config.json")
    times = RECOMPUTED if recipe.activation_checkpointing else TRAIN
    rows = []
    for size in options.sizes:
        parts = recipe.part_of(size.stage)
        own = recipe.data_of(*parts).get("token_budget", 0)
        tokens = size.tokens_per_gpu or (own if isinstance(own, int) and own > 0 else 32768)
        mean = size.image_tokens * (1 + size.reference_share) + size.text_tokens
        stage = parts[0]
        accumulate = getattr(stage, "accumulate", None) or recipe.accumulate
        samples = stage.steps * accumulate * options.gpus * tokens / mean
        plain = sample_flops(preset, size.image_tokens, size.text_tokens)
        edit = sample_flops(preset, size.image_tokens, size.text_tokens, references=1)
        flops = times * samples * ((1 - size.reference_share) * plain + size.reference_share * edit)
        spent = cost(flops, options.tflops_per_gpu, options.dollars_per_gpu_hour)
        held = memory(
            preset,
            options.gpus,
            tokens,
            recipe.optimizer.kind,
            recipe.optimizer.ema_decay is not None,
            recipe.activation_checkpointing,
        )
        rows.append(
            {
                "stage": size.stage,
                "parameters": parameters(preset),
                "samples": samples,
                "zettaflop": spent.flops / 1e21,
                "gpu_hours": spent.gpu_hours,
                "days": spent.gpu_hours / options.gpus / 24,
                "dollars": spent.dollars,
                "gib_per_gpu": held.total / 2**30,
                "fits": held.total / 2**30 <= options.gpu_memory_gib,
            }
        )
    return rows


def estimate_lines(recipe: TrainRecipe, rows: Sequence[dict]) -> list[str]:
    """The estimate as text."""
    options = recipe.estimate
    assert options is not None
    lines = [
        f"estimate: {options.gpus} GPUs at {options.tflops_per_gpu:g} TFLOP/s each, "
        f"${options.dollars_per_gpu_hour:g} per GPU-hour"
    ]
    for row in rows:
        fits = "" if row["fits"] else f" (more than the {options.gpu_memory_gib:g} GiB of a GPU)"
        lines.append(
            f"  {row['stage']:>14}: {row['samples']:.3g} samples, {row['gpu_hours']:,.2f} GPU-hours, "
            f"{row['days']:,.2f} days, ${row['dollars']:,.0f}; {row['gib_per_gpu']:.1f} GiB per GPU{fits}"
        )
    total = sum(row["gpu_hours"] for row in rows)
    dollars = sum(row["dollars"] for row in rows)
    beside = ""
    if options.report_hours:
        beside = f"; the report: {options.report_hours:,.0f} H800-hours for {options.report_of}"
    lines.append(f"  {'all':>14}: {total:,.2f} GPU-hours, ${dollars:,.0f}{beside}")
    return lines


def merge_variants(recipe: TrainRecipe, models: dict[str, Path], say: Say) -> dict:
    """The soup of a recipe's variants where they are to be merged, and scores of each beside the soup's."""
    names = [v.name for v in recipe.variants]
    facts: dict = {}
    if recipe.merge:
        out = Path(recipe.out) / "soup" / "model"
        shutil.rmtree(out, ignore_errors=True)  # of a run before, which this one repeats
        facts["soup"] = run_merge([models[n] for n in names], out, [v.weight for v in recipe.variants])
        say(f"soup of {', '.join(names)}: {out}")
        names, models = [*names, "soup"], {**models, "soup": out}
    if recipe.data.get("kind") == "shapes":
        facts["scores"] = scores_of({n: models[n] for n in names}, say)
    return facts


def scores_of(models: dict[str, Path], say: Say) -> dict[str, dict[str, float]]:
    """Shares of claims on held-out scenes that hold, printed as a row for each model."""
    from zcurate.model.pipeline_folder import load_pipeline
    from zcurate.model.train.score import scene_scores

    scores = {name: scene_scores(load_pipeline(folder)) for name, folder in models.items()}
    dimensions = list(next(iter(scores.values())))
    say("share of claims on held-out scenes that hold:")
    say(f"{'':>16}" + "".join(f"{d:>12}" for d in dimensions))
    for name, values in scores.items():
        say(f"{name:>16}" + "".join(f"{values[d]:>12.3f}" for d in dimensions))
    return scores


def run_merge(
    models: Sequence[Path], out: Path, weights: Sequence[float], greedy: bool = False, prompts: int = 100
) -> dict:
    """Write the soup of model folders. Returns shares, and scores where they were asked for."""
    import torch

    from zcurate.model.model import S3DiT
    from zcurate.model.pipeline_folder import load_pipeline
    from zcurate.model.train.export import write_folder
    from zcurate.model.train.merge import check_weights, greedy_soup, ingredient, soup
    from zcurate.model.train.score import scene_scores
    from zcurate.model.weights import in_memory, load_weights

    with told():
        if out.exists() and any(out.iterdir()):
            raise ConfigError(f"--out {out}: is not empty; name a new folder")
        first = load_pipeline(models[0])
        config = first.transformer.config
        parts = [ingredient(Path(m) / "transformer", config) for m in models]
        names = [str(m) for m in models]

        def built(state: dict[str, torch.Tensor]) -> S3DiT:
            with torch.device("meta"):
                model = S3DiT(config)
            model.to_empty(device="cpu")
            load_weights(model.to(next(iter(state.values())).dtype), in_memory(state))
            return model.eval().requires_grad_(False)

        def score(state: dict[str, torch.Tensor]) -> float:
            first.transformer = built(state)
            return scene_scores(first, prompts)["overall"]

        facts: dict = {"out": str(out), "scores": {}}
        if greedy:
            best = greedy_soup(parts, config, score)
            own = dict(zip((p.name for p in parts), names, strict=True))
            facts["scores"] = {own[n]: v for n, v in best.scores.items()}
            facts["shares"] = {m: (own_share(m, best.kept, own)) for m in names}
            facts["score"], state = best.score, best.state
        else:
            facts["shares"] = dict(zip(names, check_weights(weights, len(parts)), strict=True))
            state = soup(parts, weights, config)
        write_folder(out, built(state).state_dict(), first)
        return facts


def own_share(model: str, kept: Sequence[str], own: dict[str, str]) -> float:
    """Share of a model in the equal mean of those kept."""
    chosen = [own[name] for name in kept]
    return 1 / len(chosen) if model in chosen else 0.0
