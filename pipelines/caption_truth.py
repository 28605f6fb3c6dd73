"""Strings known to be in pictures, from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zcurate.curation.errors import ConfigError


def read_truth(path: Path) -> dict[str, list[str]]:
    """Known strings per picture: a JSON object of key -> strings, or JSON lines with `key` and `texts`.

    Raises:
        ConfigError: naming file and line.
    """
    found: dict[str, list[str]] = {}
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise ConfigError(f"--truth {path}: not UTF-8 ({e})") from e
    try:
        value = json.loads(text)
        items = value.items() if isinstance(value, dict) and "texts" not in value else [_pair(value)]
    except ValueError:
        items = []
        for number, line in enumerate(text.splitlines(), 1):
            try:
                items += [_pair(json.loads(line))] if line.strip() else []
            except ValueError as e:
                raise ConfigError(f"--truth {path}, line {number}: needs key and texts ({e})") from e
    for key, texts in items:
        texts = texts.get("texts") if isinstance(texts, dict) else texts
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
            raise ConfigError(f"--truth {path}, {key!r}: the strings must be a list of texts")
        found[str(key)] = texts
    if not found:
        raise ConfigError(f"--truth {path}: holds no strings")
    return found


def _pair(value: Any) -> tuple[str, Any]:
    if not isinstance(value, dict) or "key" not in value or "texts" not in value:
        raise ValueError("an object with key and texts is expected")
    return str(value["key"]), value["texts"]
