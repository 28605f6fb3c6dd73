"""`cycles.jsonl`: what was done because of a diagnosis, a line per run, beside the diagnosis it was done for."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zcurate.curation.errors import ConfigError

FILE = "cycles.jsonl"


def note(folder: Path, line: Mapping[str, Any]) -> None:
    """Append a line, with the time."""
    folder.mkdir(parents=True, exist_ok=True)
    stamped = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **line}
    with open(folder / FILE, "a", encoding="utf-8") as f:
        f.write(json.dumps(stamped, ensure_ascii=False) + "\n")


def noted(diagnosis: Path) -> list[dict[str, Any]]:
    """All lines of a diagnosis' folder and of the folders in it, oldest first. A line that a crash cut off is passed over.

    Raises:
        ConfigError: another line is no JSON object.
    """
    found = []
    for path in sorted({diagnosis / FILE, *diagnosis.glob(f"*/{FILE}")}):
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        lines = (
            text.removesuffix("\n").split("\n") if text else []
        )  # not at what Unicode takes for a line's end
        for number, line in enumerate(lines, 1):
            try:
                one = json.loads(line)
                if not isinstance(one, dict):
                    raise ValueError("no object")
            except ValueError as e:
                if number == len(lines) and not text.endswith("\n"):
                    continue
                raise ConfigError(f"{path}, line {number}: {e}; repair it or move the file away") from e
            found.append(one)
    return sorted(found, key=lambda line: str(line.get("time", "")))


def diagnosis_of(file: Path) -> Path | None:
    """The folder of the diagnosis that wrote a list, `DIAGNOSIS/wrong/CONCEPT.txt`; None for other files."""
    folder = file.resolve().parent.parent
    inside = file.resolve().parent.name == "wrong" and (folder / "diagnosis.json").is_file()
    return folder if inside else None


def findings(diagnosis: Path) -> list[dict[str, Any]]:
    """The findings of a folder that `zcurate diagnose` wrote, as they stand in diagnosis.json. Raises ConfigError."""
    return _read(diagnosis)["findings"]


def about(diagnosis: Path) -> dict[str, Any]:
    """What was tested, and how; {} of a diagnosis of an earlier version. Raises ConfigError."""
    return _read(diagnosis).get("about") or {}


def _read(diagnosis: Path) -> dict[str, Any]:
    path = diagnosis / "diagnosis.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for f in found["findings"]:
            str(f["concept"]["name"]), f["status"], f["tally"]["passed"], f["cause"]
        return found
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ConfigError(
            f"{path}: no diagnosis ({e}); make one: zcurate diagnose GENERATOR --out {diagnosis}"
        ) from e
