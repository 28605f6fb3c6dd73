"""Recipes: one YAML file says what to build. Everything in it is checked before any work."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from zcurate.curation.errors import ConfigError

from .caption_mix import check_mix
from .strict_yaml import load_yaml

_SECRET = re.compile(r"key|secret|token|passw|credential|sas", re.I)
_PARAM = re.compile(r"\$\{(\w+)\}")
#: A parameter without a value, and what its line says about it.
_TO_SET = re.compile(r"^ +(\w+): null +# +(.+?) *$", re.M)
#: Parameters that may be left without a value: the field they stand for has none then.
_OPTIONAL = ("license", "block")
BUNDLED = Path(__file__).parent / "recipes"


class SourceConfig(BaseModel):
    """One place images, or clips, come from."""

    model_config = ConfigDict(extra="forbid")
    name: str | None = Field(None, description="name in the dataset; default: last part of root")
    root: str = Field(description="folder, archive folder, Parquet file or manifest; a path or URL")
    kind: Literal["folder", "webdataset", "parquet", "manifest", "video"] | None = Field(
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
    caption_mix: dict[str, float] = Field(
        default_factory=dict,
        description="training caption: kind (en_long, zh_user_prompts, ..., text for the alt text) -> share, drawn by a "
        "hash of the sample's id; a sample's missing kinds go to its others. Default: the first there is",
    )
    caption_seed: int = Field(0, ge=0, lt=2**62, description="another seed draws other captions")


def check_target(config: ExportConfig) -> None:
    """Raises ConfigError when an export cannot be written where it says, or its caption mix names what there is not."""
    check_mix(config.caption_mix, f"export to {config.out}: caption_mix")
    if "://" in config.out:
        raise ConfigError(
            f"export.out {config.out!r}: exports go to local disk; copy the finished folder from there"
        )


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
    storage_options: dict[str, Any] = Field(
        default_factory=dict,
        description="fsspec options, e.g. endpoint_url; secrets come from the environment",
    )
    revisions: dict[str, str] = Field(default_factory=dict, description="model string -> revision")
    report: bool = True

    @field_validator("stages", mode="before")
    @classmethod
    def _empty_settings(cls, value: Any) -> Any:
        """`profile:` with nothing behind it means its defaults."""
        return {k: {} if v is None else v for k, v in value.items()} if isinstance(value, dict) else value

    @field_validator("storage_options")
    @classmethod
    def _no_secrets(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Recipes are copied into run records, so they must not hold keys."""
        for path in _key_paths(value):
            if _SECRET.search(path.rsplit(".", 1)[-1]):
                raise ValueError(f"{path!r} looks like a secret; give it through the environment instead")
        return value


def _key_paths(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for k, v in value.items():
            yield f"{prefix}{k}"
            yield from _key_paths(v, f"{prefix}{k}.")


def load_recipe(path: str | Path, sets: Sequence[str] = ()) -> Recipe:
    """Read a recipe file (or the name of a bundled one) and apply `k=v` settings.

    `k` is a parameter's name, or a dotted path such as `stages.dedup.threshold`. Values are YAML.

    Raises:
        ConfigError: names the file, the field and what is wrong.
    """
    file = Path(path)
    if not file.is_file():
        bundled = BUNDLED / f"{file.name.removesuffix('.yaml')}.yaml"
        if (file.name != str(path) and not bundled.exists()) or not bundled.exists():
            names = ", ".join(sorted(p.stem for p in BUNDLED.glob("*.yaml")))
            raise ConfigError(f"{path}: no such recipe file; bundled recipes are {names}")
        file = bundled
    try:
        text = file.read_text(encoding="utf-8")
        raw = load_yaml(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as e:
        raise ConfigError(f"{file}: not YAML: {e}") from e
    except OSError as e:
        raise ConfigError(f"{file}: cannot be read: {e.strerror}") from e
    return build_recipe(raw, str(file), sets, dict(_TO_SET.findall(text)))


def build_recipe(
    raw: Any, where: str, sets: Sequence[str] = (), hints: Mapping[str, str] | None = None
) -> Recipe:
    """Check a recipe given as plain values. Raises ConfigError; `hints` says of a parameter what it may be."""
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: a recipe is a mapping with name, dataset, sources and stages")
    if not isinstance(raw.get("params") or {}, dict):
        raise ConfigError(f"{where}: params is a mapping of names to values")
    raw = {**raw, "params": dict(raw.get("params") or {})}
    for item in sets:
        _apply(raw, item, where)
    params = raw["params"]
    missing = sorted(_unset({k: v for k, v in raw.items() if k != "params"}, params))
    if missing:
        lines = [
            f"--set {name}=VALUE" + (f"    {(hints or {})[name]}" if name in (hints or {}) else "")
            for name in missing
        ]
        raise ConfigError(
            f"{where}: parameter{'s' * (len(missing) > 1)} without a value: {', '.join(missing)}; give\n  "
            + "\n  ".join(lines)
        )
    raw = {**_substitute({k: v for k, v in raw.items() if k != "params"}, params, where), "params": params}
    if isinstance(raw.get("sources"), list):  # a source whose root is empty is one that was not named
        raw["sources"] = [s for s in raw["sources"] if not (isinstance(s, dict) and s.get("root") == "")]
    try:
        return Recipe.model_validate(raw)
    except ValidationError as e:
        lines = [f"  {'.'.join(map(str, err['loc']))}: {err['msg']}" for err in e.errors()]
        raise ConfigError(f"{where}: {len(lines)} problem(s)\n" + "\n".join(lines)) from e


def _apply(raw: dict[str, Any], item: str, where: str) -> None:
    key, eq, text = item.partition("=")
    if not eq or not key:
        raise ConfigError(f"--set {item!r}: write NAME=VALUE")
    params = raw["params"]
    if key in params and (params[key] is None or isinstance(params[key], str)):
        params[key] = text  # paths and names as they are: YAML would cut 'a #b' and read 2024 as a number
        return
    try:
        value = load_yaml(text)
    except (yaml.YAMLError, RecursionError) as e:
        raise ConfigError(f"--set {key}: {text!r} is not a YAML value") from e
    if key in params:
        params[key] = value
        return
    at, last = _walk(raw, key, where)
    at[last] = value


def _walk(raw: dict[str, Any], key: str, where: str) -> tuple[Any, Any]:
    """The container and the key in it that a dotted path names. Keys that hold dots themselves match whole."""
    parts = key.split(".")
    if parts[0] not in Recipe.model_fields:
        names = ", ".join([*raw["params"], *Recipe.model_fields])
        raise ConfigError(f"--set {key}: neither a parameter nor a field of {where}; there is {names}")
    at: Any = raw
    while True:
        if isinstance(at, list):
            if not parts[0].isdigit() or int(parts[0]) >= len(at):
                raise ConfigError(
                    f"--set {key}: {parts[0]!r} is not one of the items 0..{len(at) - 1} in {where}"
                )
            step: Any = int(parts.pop(0))
        elif isinstance(at, dict):
            n = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in at), 1)
            step, parts = ".".join(parts[:n]), parts[n:]
            if parts and step not in at:
                known = ", ".join(map(str, at)) or "nothing"
                raise ConfigError(f"--set {key}: no {step!r} in {where}; there is {known}")
        else:
            raise ConfigError(f"--set {key}: {parts[0]!r} is looked for in {at!r}, which is not a mapping")
        if not parts:
            return at, step
        if at[step] is None:
            at[step] = {}
        at = at[step]


def _unset(value: Any, params: dict[str, Any]) -> set[str]:
    """Parameters that a value needs and that have none."""
    if isinstance(value, dict | list):
        return set().union(
            *(_unset(v, params) for v in (value.values() if isinstance(value, dict) else value))
        )
    if not isinstance(value, str):
        return set()
    whole = _PARAM.fullmatch(value)
    optional = {whole.group(1)} & set(_OPTIONAL) if whole else set()
    return {n for n in _PARAM.findall(value) if params.get(n, "") is None} - optional


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
        return str(params[name])

    whole = _PARAM.fullmatch(value)
    if whole and isinstance(params.get(whole.group(1)), bool | int | float):
        return params[whole.group(1)]  # keeps numbers and booleans
    if whole and whole.group(1) in _OPTIONAL and params.get(whole.group(1), "") is None:
        return None
    return _PARAM.sub(one, value)
