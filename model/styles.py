"""Styles, presets and seeds by name, in a YAML file that people keep.

styles:
  film: {suffix: ", 35 mm film, soft grain", negative: "text, watermark"}
presets:
  portrait: {preset: base, size: 768*1024, steps: 28, guidance: 4, style: film, seed: hero}
seeds:
  hero: 1234
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import yaml

from .canvas import parse_size
from .errors import GenerationError, SizeError
from .request import PRESETS, Settings


@dataclass(frozen=True)
class Style:
    """Words around a prompt."""

    prefix: str = ""
    suffix: str = ""
    negative: str = ""

    def apply(self, prompt: str, negative: str) -> tuple[str, str]:
        """Prompt and negative prompt in this style; both negatives count."""
        joined = ", ".join(part for part in (negative, self.negative) if part)
        return f"{self.prefix}{prompt}{self.suffix}", joined


@dataclass(frozen=True)
class NamedPreset:
    """Options that belong together. None: as the model's own preset has it."""

    preset: str | None = None
    size: str | None = None
    steps: int | None = None
    guidance: float | None = None
    cfg_normalization: float | None = None
    cfg_truncation: float | None = None
    sampler: str | None = None
    sde_noise: float | None = None
    shift: float | str | None = None
    style: str | None = None
    seed: int | str | None = None

    def settings(self, base: str) -> Settings:
        """Settings of a built-in preset with this one's changes. Raises GenerationError for bad values."""
        names = [f.name for f in fields(Settings)]
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(PRESETS[self.preset or base], **changes)


@dataclass(frozen=True)
class Shelf:
    """What a file of styles and presets holds. The built-in presets are always there."""

    styles: dict[str, Style] = field(default_factory=dict)
    presets: dict[str, NamedPreset] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)

    def preset(self, name: str) -> NamedPreset:
        if name in PRESETS:
            return NamedPreset(preset=name)
        return self._named("preset", self.presets, name, PRESETS)

    def style(self, name: str) -> Style:
        return self._named("style", self.styles, name)

    def seed(self, value: int | str) -> int:
        """A seed by number or name."""
        if isinstance(value, int):
            return value
        return int(value) if value.isdecimal() else self._named("seed", self.seeds, value)

    @staticmethod
    def _named(what: str, shelf: dict, name: str, builtin: dict | tuple = ()):
        if name not in shelf:
            known = ", ".join([*builtin, *shelf]) or "none"
            raise GenerationError(
                f"{what} {name!r} is not known; there are {known} (--presets FILE adds some)"
            )
        return shelf[name]


def read_shelf(path: Path | str) -> Shelf:
    """Raises GenerationError, with file and field, for anything that is not as described above."""
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text("utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise GenerationError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(values, dict) or not set(values) <= {"styles", "presets", "seeds"}:
        raise GenerationError(f"{path}: holds styles, presets and seeds, and nothing else")
    shelf = Shelf(
        styles={
            name: _made(Style, entry, f"{path}: style {name}")
            for name, entry in _part(values, "styles", path)
        },
        presets={
            name: _made(NamedPreset, entry, f"{path}: preset {name}")
            for name, entry in _part(values, "presets", path)
        },
        seeds=dict(_part(values, "seeds", path)),
    )
    for name, preset in shelf.presets.items():
        try:
            preset.settings("turbo")
            if preset.size is not None:
                parse_size(preset.size)
            if preset.style is not None:
                shelf.style(preset.style)
            if preset.seed is not None:
                shelf.seed(preset.seed)
        except KeyError as error:
            raise GenerationError(
                f"{path}: preset {name}: preset is {error}; there are {', '.join(PRESETS)}"
            ) from None
        except (GenerationError, SizeError, TypeError) as error:
            raise GenerationError(f"{path}: preset {name}: {error}") from error
    wrong = [name for name, seed in shelf.seeds.items() if type(seed) is not int or seed < 0]
    if wrong:
        raise GenerationError(
            f"{path}: seed {wrong[0]} is {shelf.seeds[wrong[0]]!r}; it must be a whole number"
        )
    return shelf


def _part(values: dict, name: str, path: Path) -> list:
    part = values.get(name) or {}
    if not isinstance(part, dict) or not all(isinstance(key, str) for key in part):
        raise GenerationError(f"{path}: {name} must map names to entries")
    return list(part.items())


def _made(kind: type, entry: object, where: str):
    known = {f.name: f for f in fields(kind)}
    if not isinstance(entry, dict) or not set(entry) <= set(known):
        wrong = sorted(set(entry) - set(known)) if isinstance(entry, dict) else entry
        raise GenerationError(f"{where}: unknown {wrong!r}; there are {', '.join(known)}")
    for name, value in entry.items():
        if kind is Style and not isinstance(value, str):
            raise GenerationError(f"{where}: {name} is {value!r}; it must be text")
    return kind(**entry)


def save_preset(path: Path | str, name: str, preset: NamedPreset) -> None:
    """Add a preset to a file, or replace the one of that name; other entries stay. Comments are lost."""
    if name in PRESETS:
        raise GenerationError(f"preset {name!r} is built in; choose another name")
    path = Path(path)
    values = {}
    if path.exists():
        read_shelf(path)
        values = yaml.safe_load(path.read_text("utf-8")) or {}
    entry = {key: value for key, value in asdict(preset).items() if value is not None}
    values["presets"] = {**(values.get("presets") or {}), name: entry}
    part = path.with_name(f".{path.name}.part")
    part.write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False), "utf-8")
    os.replace(part, path)
