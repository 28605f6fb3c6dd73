"""What is drawn to test a generator: a manifest of pictures, one folder per concept, for the stage `draw`."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from zcurate.curation.active.choosing import Concept
from zcurate.curation.active.prompting import prompts_for
from zcurate.curation.errors import ConfigError

MANIFEST = "probes.jsonl"


@dataclass(frozen=True)
class Probes:
    """Which pictures of concepts are asked for. Whether they lie there, only the stage knows.

    Attributes:
        folder: OUT/pictures. asked: prompts of users. seed: of prompts and pictures.
        written: concept -> prompts that a model wrote for it.
    """

    folder: Path
    asked: tuple[str, ...] = ()
    seed: int = 0
    written: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def start(self, concepts: Sequence[Concept]) -> None:
        """What was asked for of these concepts before, with the parts that their names have now; nothing of any other.

        Pictures of others stay where they are, and count again when their concept is asked for again.

        Raises:
            ConfigError: the manifest is damaged.
        """
        parts = {c.name: list(c.parts) for c in concepts}
        self._write([{**r, "parts": parts[r["concept"]]} for r in self._read() if r["concept"] in parts])

    def counts(self) -> Counter[str]:
        """Concept -> pictures asked for so far. Raises ConfigError."""
        return Counter(row["concept"] for row in self._read())

    def pending(self) -> int:
        """Pictures asked for that do not lie there, by prompt and seed. Raises ConfigError."""
        return sum(not self._lies_there(row) for row in self._read())

    def _lies_there(self, row: Mapping[str, Any]) -> bool:
        path = self.folder / row["path"]
        try:
            record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            return path.exists() and all(record.get(k) == row.get(k) for k in ("prompt", "seed"))
        except (OSError, ValueError, AttributeError):
            return False

    def ask(self, wanted: Sequence[tuple[Concept, int]]) -> int:
        """Ask for the first so many pictures of each concept; how many of them are new."""
        rows = self._read()
        counts = Counter(row["concept"] for row in rows)
        new = [row for c, count in wanted for row in self._rows(c, count)[counts[c.name] :]]
        if new:
            self._write([*rows, *new])
        return len(new)

    def _rows(self, concept: Concept, count: int) -> list[dict[str, Any]]:
        asked = (*self.written.get(concept.name, ()), *self.asked)
        return [
            {
                "path": f"{slug(concept.name)}/{index:05d}.png", "prompt": prompt, "seed": seed,
                "concept": concept.name, "parts": list(concept.parts), "probe": index,
            }
            for index, (prompt, seed) in enumerate(prompts_for(concept, count, asked, self.seed))
        ]  # fmt: skip

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        lines = [json.dumps(r, ensure_ascii=False) + "\n" for r in sorted(rows, key=lambda r: r["path"])]
        path, text = self.folder / MANIFEST, "".join(lines)
        if text == (path.read_text(encoding="utf-8") if path.exists() else ""):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{MANIFEST}.part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)

    def _read(self) -> list[dict[str, Any]]:
        path = self.folder / MANIFEST
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
            return [{**row, "path": row["path"], "concept": row["concept"]} for row in rows]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise ConfigError(f"{path}: not a list of probes ({e!r}); delete it to ask anew") from e


def slug(name: str) -> str:
    """A folder name for a concept: readable, and its own."""
    words = re.sub(r"[^\w]+", "-", name.lower()).strip("-_")[:40] or "concept"
    return f"{words}-{xxhash.xxh3_64_hexdigest(name.encode())[:8]}"
