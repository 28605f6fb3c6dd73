"""Training recipes: one YAML file says what is trained on what. Everything is checked before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..config import PRESETS
from .errors import RecipeError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OptimizerConfig(Strict):
    """The report gives no settings; these are ours."""

    kind: Literal["adamw", "adamw8bit"] = "adamw"
    lr: float = Field(1e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float = Field(1.0, ge=0, description="largest norm of a step's gradients; 0: no limit")
    warmup_steps: int = Field(0, ge=0)
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    floor: float = Field(0.0, ge=0, le=1, description="last learning rate over the highest")
    ema_decay: float | None = Field(
        0.999, gt=0, lt=1, description="of the averaged weights; null: none are kept"
    )


class TimesConfig(Strict):
    """Logit-normal times, shifted by image tokens, or by a fixed factor where `shift` is given."""

    mean: float = 0.0
    std: float = Field(1.0, gt=0)
    shift: float | None = Field(None, gt=0)
    max_mu: float = 2.1


class LoraConfig(Strict):
    rank: int = Field(ge=1, le=1024)
    alpha: float | None = Field(None, gt=0)


class StageConfig(Strict):
    """One stretch of a run. Fields of `data` and `optimizer` replace those of the recipe."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    steps: int = Field(ge=1)
    data: dict[str, Any] = Field(default_factory=dict)
    optimizer: dict[str, Any] = Field(default_factory=dict)
    accumulate: int | None = Field(None, ge=1)


class SizeConfig(Strict):
    """What a stage's mean sample is like, for its estimated cost."""

    stage: str
    image_tokens: int = Field(ge=1)
    text_tokens: int = Field(128, ge=1)
    reference_share: float = Field(0.0, ge=0, le=1, description="share of samples with one source picture")
    tokens_per_gpu: int | None = Field(
        None, ge=1, description="of a micro-batch; default: the stage's data.token_budget"
    )


class EstimateConfig(Strict):
    """For the printed estimate. 400 TFLOP/s: half of an H800's dense bf16 peak; dollars: a usual rent."""

    gpus: int = Field(1, ge=1)
    tflops_per_gpu: float = Field(400.0, gt=0)
    dollars_per_gpu_hour: float = Field(2.0, ge=0)
    gpu_memory_gib: float = Field(80.0, gt=0)
    report_hours: float | None = Field(None, description="H800-hours that the report gives for this")
    report_of: str = Field("this stage", description="what those hours are of")
    sizes: list[SizeConfig] = Field(default_factory=list)


class VariantConfig(Strict):
    """A variant of the last stage to be merged: `data` and `optimizer` fields replace the stage's."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    data: dict[str, Any] = Field(default_factory=dict)
    optimizer: dict[str, Any] = Field(default_factory=dict)
    weight: float = Field(1.0, ge=0)


class TrainRecipe(Strict):
    """A whole run."""

    name: str
    out: str = Field(description="folder of the run: checkpoints, log, grids, models")
    seed: int = Field(0, ge=0, lt=2**31)
    start: str = Field(description=f"a model folder, or a preset with fresh weights: {', '.join(PRESETS)}")
    encoders: str | None = Field(None, description="model folder whose encoders a preset is trained with")
    semantic: bool = Field(False, description="give a fresh preset semantic tokens of reference pictures")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(
        None, ge=1, description="CPU threads of each process; default: torch's choice"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 on GPUs, else fp32")
    activation_checkpointing: bool = False
    compile: bool = Field(False, description="compile what a block does")
    lora: LoraConfig | None = Field(None, description="train low-rank additions only")
    data: dict[str, Any] = Field(description="kind: shapes or shards, and the fields of that feed")
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    times: TimesConfig = Field(default_factory=TimesConfig)
    accumulate: int = Field(1, ge=1, description="micro-batches of each process in a step")
    stages: list[StageConfig] = Field(min_length=1)
    variants: list[VariantConfig] = Field(
        default_factory=list, description="runs of the last stage to merge; the weights are the soup's"
    )
    merge: bool = Field(True, description="false: the variants are scored beside each other, and not merged")
    checkpoint_every: int = Field(500, ge=0)
    keep: int = Field(3, ge=1)
    sample_every: int = Field(0, ge=0)
    prompts: list[str] = Field(
        default_factory=list, description="drawn at fixed seeds, and at every stage's end"
    )
    sample_size_px: tuple[int, int] = Field((1024, 1024), description="width, height")
    sample_steps: int = Field(16, ge=1)
    spike_factor: float = Field(5.0, ge=0, description="stop where a loss is this times the median; 0: never")
    tensorboard: bool = True
    estimate: EstimateConfig | None = None

    @model_validator(mode="after")
    def _consistent(self) -> TrainRecipe:
        names = [s.name for s in self.stages] + [v.name for v in self.variants]
        if len(set(names)) < len(names):
            raise ValueError("stages and variants need different names")
        if self.variants and sum(v.weight for v in self.variants) <= 0:
            raise ValueError("the weights of variants must sum to more than 0")
        sized = {s.stage for s in self.estimate.sizes} if self.estimate else set()
        if sized - set(names):
            raise ValueError(f"estimate.sizes: there is no stage {', '.join(sorted(sized - set(names)))}")
        for stage in (*self.stages, *self.variants):
            self.optimizer_of(stage)
        return self

    def part_of(self, name: str) -> tuple[StageConfig | VariantConfig, ...]:
        """A stage by its name, or the last stage and a variant of it."""
        for stage in self.stages:
            if stage.name == name:
                return (stage,)
        return (self.stages[-1], next(v for v in self.variants if v.name == name))

    def optimizer_of(self, *overrides: StageConfig | VariantConfig) -> OptimizerConfig:
        """The optimizer of a stage, or of a stage and a variant of it."""
        values = self.optimizer.model_dump()
        for one in overrides:
            values |= one.optimizer
        return OptimizerConfig.model_validate(values)

    def data_of(self, *overrides: StageConfig | VariantConfig) -> dict[str, Any]:
        """The feed's fields of a stage, or of a stage and a variant of it."""
        values = dict(self.data)
        for one in overrides:
            values |= one.data
        return values


def read_recipe(path: Path | str, sets: Sequence[str] = ()) -> TrainRecipe:
    """From a YAML file, with `field=value` or `field.field=value` settings (YAML values; lists by number).

    Raises RecipeError that names the file, the field and what is wrong.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise RecipeError(f"{path}: a training recipe is a mapping with name, out, start, data and stages")
    for item in sets:
        _set(raw, item)
    try:
        return TrainRecipe.model_validate(raw)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']}" for e in error.errors()]
        raise RecipeError(f"{path}: {len(lines)} problem(s)\n" + "\n".join(lines)) from error


def _set(raw: dict, item: str) -> None:
    key, equals, text = item.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {item!r}: write FIELD=VALUE")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise RecipeError(f"--set {key}: {text!r} is not a YAML value") from error
    *path, last = key.split(".")
    at: Any = raw
    for part in path:
        if isinstance(at, list) and part.isdigit() and int(part) < len(at):
            at = at[int(part)]
        elif isinstance(at, dict):
            if at.get(part) is None:
                at[part] = {}
            at = at[part]
        else:
            raise RecipeError(f"--set {key}: there is no {part!r} in {at!r}")
    if isinstance(at, list) and last.isdigit() and int(last) < len(at):
        at[int(last)] = value
    elif isinstance(at, dict):
        at[last] = value
    else:
        raise RecipeError(f"--set {key}: {last!r} is looked for in {at!r}, which is not a mapping")


def known_fields(values: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Raise RecipeError for a field that is not there."""
    wrong = sorted(set(values) - set(known))
    if wrong:
        raise RecipeError(f"{where}: no field {', '.join(wrong)}; there are {', '.join(known)}")
