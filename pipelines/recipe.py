"""Recipes: one YAML file says what to build. Everything in it is checked before any work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zcurate.curation.errors import ConfigError

_PARAM = re.compile(r"\$\{(\w+)\}")
BUNDLED = Path(__file__).parent / "recipes"


class SourceConfig(BaseModel):
    """One place images come from."""

    model_config = ConfigDict(extra="forbid")
    name: str | None = Field(None, description="name in the dataset; default: last part of root")
    root: str = Field(description="folder, archive folder, Parquet file or manifest; a path or URL")
    kind: Literal["folder", "webdataset", "parquet", "manifest"] | None = Field(
        None, description="how to read it; default: by looking at root"
    )
    origin: Literal["camera", "rendered", "model", "unknown"] = "unknown"
    license: str | None = Field(None, description="as the source states it")


class ExportConfig(BaseModel):
    """One export, written after the last stage."""

    model_config = ConfigDict(extra="forbid")
    format: Literal["webdataset", "parquet", "datacomp"]
    out: str
    include_placeholders: bool = Field(False, description="placeholder captions are left out unless true")
    allow_model_origin: bool = Field(False, description="export images whose origin is a model")
    rows_per_shard: int = Field(1000, ge=1)
    images: bool = Field(True, description="Parquet only: include the original bytes")


class Recipe(BaseModel):
    """A whole build."""

    model_config = ConfigDict(extra="forbid")
    name: str
    params: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict, description="values for ${NAME} in this file; set with --set NAME=VALUE"
    )
    dataset: str = Field(description="directory or URL of the dataset")
    rows_per_shard: int | None = Field(None, ge=1, description="fixed at the first ingest; default by size")
    sources: list[SourceConfig] = Field(default_factory=list)
    stages: dict[str, dict[str, Any]] = Field(description="stage name -> its settings, in order")
    export: list[ExportConfig] = Field(default_factory=list)
    block: str | None = Field(None, description="file of content ids (hex, one a line) that are refused")
    storage_options: dict[str, Any] = Field(default_factory=dict, description="fsspec options (no secrets)")
    revisions: dict[str, str] = Field(default_factory=dict, description="model string -> revision")
    report: bool = True


def load_recipe(path: str | Path, sets: Sequence[str] = ()) -> Recipe:
    """Read a recipe file (or the name of a bundled one) and apply `k=v` settings.

    `k` is a parameter's name, or a dotted path such as `stages.dedup.threshold`. Values are YAML.

    Raises:
        ConfigError: names the file, the field and what is wrong.
    """
    file = Path(path)
    if not file.exists():
        bundled = BUNDLED / f"{file.name.removesuffix('.yaml')}.yaml"
        if (file.name != str(path) and not bundled.exists()) or not bundled.exists():
            names = ", ".join(sorted(p.stem for p in BUNDLED.glob("*.yaml")))
            raise ConfigError(f"{path}: no such recipe file; bundled recipes are {names}")
        file = bundled
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file}: not YAML: {e}") from e
    return build_recipe(raw, str(file), sets)


def build_recipe(raw: Any, where: str, sets: Sequence[str] = ()) -> Recipe:
    """Check a recipe given as plain values. Raises ConfigError."""
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: a recipe is a mapping with name, dataset, sources and stages")
    for item in sets:
        _apply(raw, item, where)
    params = raw.get("params") or {}
    raw = {**_substitute({k: v for k, v in raw.items() if k != "params"}, params, where), "params": params}
    try:
        return Recipe.model_validate(raw)
    except ValidationError as e:
        lines = [f"  {'.'.join(map(str, err['loc']))}: {err['msg']}" for err in e.errors()]
        raise ConfigError(f"{where}: {len(lines)} problem(s)\n" + "\n".join(lines)) from e


def _apply(raw: dict[str, Any], item: str, where: str) -> None:
    key, eq, text = item.partition("=")
    if not eq or not key:
        raise ConfigError(f"--set {item!r}: write NAME=VALUE")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise ConfigError(f"--set {key}: {text!r} is not a YAML value") from e
    params = raw.setdefault("params", {})
    if key in params:
        params[key] = value
        return
    parts = key.split(".")
    at: Any = raw
    for i, part in enumerate(parts[:-1]):
        if isinstance(at, list) and part.isdigit() and int(part) < len(at):
            at = at[int(part)]
            continue
        if not isinstance(at, dict) or part not in at:
            known = ", ".join(map(str, at)) if isinstance(at, dict) else f"items 0..{len(at) - 1}"
            raise ConfigError(
                f"--set {key}: no {'.'.join(parts[: i + 1])!r} in {where}; there is {known or 'nothing'}"
            )
        if at[part] is None:
            at[part] = {}
        at = at[part]
    if len(parts) == 1 and key not in Recipe.model_fields:
        names = ", ".join([*params, *Recipe.model_fields])
        raise ConfigError(f"--set {key}: neither a parameter nor a field of {where}; there is {names}")
    if not isinstance(at, dict):
        raise ConfigError(f"--set {key}: {'.'.join(parts[:-1])} is not a mapping")
    at[parts[-1]] = value


def _substitute(value: Any, params: dict[str, Any], where: str) -> Any:
    if isinstance(value, dict):
        return {k: _substitute(v, params, where) for k, v in value.items()}
    if isinstance(value, list):
        return [_substitute(v, params, where) for v in value]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in params:
            raise ConfigError(f"{where}: ${{{name}}} is not among its params ({', '.join(params) or 'none'})")
        if params[name] is None:
            raise ConfigError(f"{where}: parameter {name!r} has no value; give --set {name}=VALUE")
        return str(params[name])

    whole = _PARAM.fullmatch(value)
    if whole and not isinstance(params.get(whole.group(1)), str | None):
        return params[whole.group(1)]  # keeps numbers and booleans
    return _PARAM.sub(one, value)
