"""Prompt packs: the texts given to models, as versioned data files, with variants per model family.

A file `NAME.yaml` holds `name`, `version` (raised by hand when its meaning changes), `texts` (`system`, `user` and
any further sections the caller knows by name) and `families`, which replaces single texts for a family of models.
A placeholder is `{lower_case}`; other braces stand for themselves, so that JSON may be written as it is. The system
text has no placeholders: it is the same for all rows, and servers cache it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

DIRECTORY = Path(__file__).parent / "prompts"

#: Family -> how the names of its models look.
_FAMILIES = {
    "qwen2.5-vl": re.compile(r"qwen[-_ ]?2[._-]?5[-_ ]?vl", re.I),
    "qwen3-vl": re.compile(r"qwen[-_ ]?3[-_ ]?vl", re.I),
}
FAMILIES = ("default", *_FAMILIES)

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class PackError(ValueError):
    """A prompt pack is missing or malformed, or a prompt is filled wrongly; the message names file and field."""


@dataclass(frozen=True)
class Prompt:
    """One prompt for one family.

    Attributes:
        system: instructions, without placeholders.
        user: template of the user's turn.
        sections: further texts by name.
        sha: sha256 (hex) of the name and all texts as they apply to this family; stored in every row. Another
            family's variant or the version number does not change it.
        version: of the file.
    """

    name: str
    family: str
    version: int
    system: str
    user: str
    sections: Mapping[str, str]
    sha: str

    def fill(self, **values: str) -> str:
        """The user's turn. Raises PackError for a missing or unknown placeholder. Values are put in as they are."""
        return self._filled("user", self.user, values)

    def section(self, name: str, **values: str) -> str:
        """A further text, filled likewise."""
        if name not in self.sections:
            raise PackError(f"{self.name}.yaml has no text {name!r}; there are {', '.join(self.sections)}")
        return self._filled(name, self.sections[name], values)

    def _filled(self, name: str, template: str, values: Mapping[str, str]) -> str:
        wanted = set(_PLACEHOLDER.findall(template))
        missing, unknown = sorted(wanted - set(values)), sorted(set(values) - wanted)
        if missing or unknown:
            raise PackError(
                f"{self.name}.yaml, text {name!r}: missing values {missing}, values without a placeholder {unknown}"
            )
        # One pass: a value that looks like a placeholder is not filled again.
        return _PLACEHOLDER.sub(lambda m: values[m.group(1)], template)


def family_of(model: str) -> str:
    """The family of a model by its name (`Qwen/Qwen3-VL-8B-Instruct` is qwen3-vl); `default` for any other."""
    return next((family for family, pattern in _FAMILIES.items() if pattern.search(model)), "default")


def load(name: str, family: str = "default", directory: str | Path | None = None) -> Prompt:
    """Load a prompt. `directory` replaces the packs that come with the library, file by file.

    Raises:
        PackError: unknown family, no such file, or a file that breaks the format.
    """
    if family not in FAMILIES:
        raise PackError(f"unknown prompt family {family!r}; there are {', '.join(FAMILIES)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise PackError(f"prompt name {name!r} must be lower-case letters, digits and _")
    path = Path(directory or DIRECTORY) / f"{name}.yaml"
    if directory and not path.exists():
        path = DIRECTORY / f"{name}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as e:
        raise PackError(f"prompt pack {path} cannot be read: {e}") from e
    return _prompt(str(path), text, name, family)


@lru_cache(maxsize=256)
def _prompt(path: str, text: str, name: str, family: str) -> Prompt:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise PackError(f"{path} is no YAML: {e}") from e
    _check(path, data, name)
    texts = {**data["texts"], **(data.get("families") or {}).get(family, {})}
    texts = {key: value.strip() for key, value in texts.items()}
    if _PLACEHOLDER.search(texts["system"]):
        raise PackError(f"{path}: the system text has a placeholder; it must be the same for all rows")
    hashed = json.dumps([name, texts], ensure_ascii=False, sort_keys=True)
    return Prompt(
        name=name,
        family=family,
        version=data["version"],
        system=texts.pop("system"),
        user=texts.pop("user"),
        sections=texts,
        sha=hashlib.sha256(hashed.encode()).hexdigest(),
    )


def _check(path: str, data: Any, name: str) -> None:
    if not isinstance(data, dict):
        raise PackError(f"{path} must hold a mapping with name, version, texts and families")
    unknown = set(data) - {"name", "version", "texts", "families"}
    if unknown:
        raise PackError(f"{path}: unknown fields {sorted(unknown)}")
    if data.get("name") != name:
        raise PackError(f"{path}: name is {data.get('name')!r}, must be {name!r} like the file")
    if not isinstance(data.get("version"), int) or isinstance(data["version"], bool) or data["version"] < 1:
        raise PackError(f"{path}: version must be a whole number from 1")
    texts = data.get("texts")
    _check_texts(path, "texts", texts)
    for required in ("system", "user"):
        if required not in texts:
            raise PackError(f"{path}: texts.{required} is missing")
    families = data.get("families") or {}
    if not isinstance(families, dict):
        raise PackError(f"{path}: families must map a family to its texts")
    for family, changed in families.items():
        if family not in FAMILIES or family == "default":
            raise PackError(f"{path}: families.{family} is none of {', '.join(FAMILIES[1:])}")
        _check_texts(path, f"families.{family}", changed)
        strange = sorted(set(changed) - set(texts))
        if strange:
            raise PackError(f"{path}: families.{family} replaces texts that do not exist: {strange}")


def _check_texts(path: str, field: str, texts: Any) -> None:
    if not isinstance(texts, dict) or not texts:
        raise PackError(f"{path}: {field} must map names to texts")
    for key, value in texts.items():
        if not isinstance(key, str) or not isinstance(value, str) or not value.strip():
            raise PackError(f"{path}: {field}.{key} must be a text")
