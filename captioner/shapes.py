"""JSON schemas of answers, and whether an answer has all that its schema requires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def closed_object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def lacks(value: Any, schema: Mapping[str, Any], name: str = "") -> str:
    """The first required property that a value does not have, as a dotted path; "" if it has all, at every depth."""
    if isinstance(value, dict):
        for key in schema.get("required", ()):
            if key not in value:
                return f"{name}.{key}".lstrip(".")
        for key, inner in schema.get("properties", {}).items():
            missing = lacks(value[key], inner, f"{name}.{key}") if key in value else ""
            if missing:
                return missing
    elif isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            missing = lacks(item, schema["items"], f"{name}.{i}")
            if missing:
                return missing
    return ""
