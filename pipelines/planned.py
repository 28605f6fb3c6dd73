"""From a recipe to bound stages: what would run, with every folder known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from zcurate.curation.errors import ConfigError
from zcurate.curation.stage import ExpandStage, GlobalStage, StageSpec
from zcurate.curation.store import SAMPLES, BoundStage, Limit, SourceInfo, bind
from zcurate.curation.store.expand import child_path
from zcurate.curation.uris import check_root

from .context import StageContext
from .recipe import Recipe
from .registry import stage_module

#: The group of the stage that makes pictures.
DRAWN = "draw"


@dataclass(frozen=True)
class StageRef:
    """How to build a stage anywhere: its name, checked settings, and context."""

    name: str
    config: Mapping[str, Any]
    context: StageContext

    def build(self) -> Any:
        module = stage_module(self.name)
        return module.build(module.Config.model_validate(dict(self.config)), self.context)


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a recipe, bound to its place in the dataset."""

    ref: StageRef
    bound: BoundStage
    kind: str  # map | global | expand

    @property
    def name(self) -> str:
        return self.ref.name

    @property
    def primary(self) -> str:
        """Path of the first output group; of an expanding stage, the children's sample list."""
        return self.output_paths[0]

    @property
    def output_paths(self) -> list[str]:
        if self.kind == "expand":
            return [f"{child_path(self.bound)}/{SAMPLES}"]
        return [self.bound.paths[g] for g in self.bound.spec.outputs]


@dataclass(frozen=True)
class Plan:
    """All stages of a recipe in order."""

    stages: tuple[PlannedStage, ...]
    paths: Mapping[str, str] = field(default_factory=dict)

    def path(self, group: str) -> str | None:
        """Folder of a group in this plan, None when no stage writes it."""
        return self.paths.get(group)

    def until(self, stage: str | None) -> Plan:
        """The same plan, cut off behind a stage; folders stay known."""
        if stage is None:
            return self
        names = [s.name for s in self.stages]
        return Plan(self.stages[: names.index(stage) + 1], self.paths)

    def used_paths(self) -> set[str]:
        used = set(self.paths.values())
        for s in self.stages:
            used |= {s.bound.table_path(t) for t in s.bound.spec.side_tables} | set(s.output_paths)
            used |= {s.bound.spec.answers} - {None}
        return used


def plan_stages(recipe: Recipe, sources: Mapping[str, SourceInfo], limit: Limit | None = None) -> Plan:
    """Build every stage of a recipe once, to read its declaration, and bind them.

    Raises:
        ConfigError: a wrong setting (names stage and field), an unknown engine, or wrong wiring.
    """
    groups: set[str] = set()
    settings_so_far: dict[str, Mapping[str, Any]] = {}
    refs, specs, kinds = [], [], []
    block = read_block_list(recipe.block)
    for name, settings in recipe.stages.items():
        module = stage_module(name)
        config = check_config(module.Config, settings or {}, f"stages.{name}")
        context = StageContext(
            sources,
            frozenset(groups),
            dict(settings_so_far),
            block,
            recipe.storage_options,
            recipe.revisions,
            check_root(recipe.dataset),
        )
        ref = StageRef(name, config.model_dump(mode="json"), context)
        settings_so_far[name] = ref.config
        stage = ref.build()
        kinds.append(
            "global"
            if isinstance(stage, GlobalStage)
            else "expand"
            if isinstance(stage, ExpandStage)
            else "map"
        )
        refs.append(ref)
        specs.append(_after_drawing(stage.spec) if DRAWN in groups else stage.spec)
        groups |= set(stage.spec.outputs)
    bound = bind(specs, limit)
    paths = {g: b.paths[g] for b in bound for g in b.spec.outputs}
    return Plan(tuple(PlannedStage(*t) for t in zip(refs, bound, kinds, strict=True)), paths)


def _after_drawing(spec: StageSpec) -> StageSpec:
    """Who opens pictures that this recipe draws waits until they are there, and opens them anew when they are others."""
    opens = "samples.uri" in spec.reads
    return replace(spec, reads=(*spec.reads, f"{DRAWN}.digest")) if opens else spec


def check_config(model: type[BaseModel], settings: Mapping[str, Any], where: str) -> BaseModel:
    """Validate settings; a ConfigError names every wrong field."""
    try:
        return model.model_validate(dict(settings))
    except ValidationError as e:
        lines = [f"  {where}.{'.'.join(map(str, err['loc']))}: {err['msg']}" for err in e.errors()]
        known = ", ".join(model.model_fields)
        raise ConfigError("\n".join([*lines, f"  ({where} takes: {known})"])) from e


def read_block_list(path: str | None) -> frozenset[bytes]:
    """Content ids to refuse: 32 hex digits a line, '#' starts a comment."""
    if path is None:
        return frozenset()
    ids = set()
    try:
        with open(path, encoding="utf-8") as f:
            lines = f.read().splitlines()
    except OSError as e:
        raise ConfigError(f"block list {path}: {e.strerror}") from e
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        try:
            value = bytes.fromhex(text)
        except ValueError:
            value = b""
        if len(value) != 16:
            raise ConfigError(f"block list {path}, line {number}: {text[:40]!r} is not 32 hex digits")
        ids.add(value)
    return frozenset(ids)
