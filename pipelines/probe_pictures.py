"""What is drawn to test a generator: a manifest of pictures, one folder per concept, for the stage `draw`."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

from zcurate.curation.active.choosing import Concept
from zcurate.curation.active.prompting import prompts_for
from zcurate.curation.errors import ConfigError

MANIFEST = "probes.jsonl"


@dataclass(frozen=True)
class Probes:
    """Which pictures of concepts were asked for. Whether they lie there, only the stage knows.

    Attributes:
        folder: OUT/pictures. asked: prompts of users. seed: of prompts and pictures.
    """

    folder: Path
    asked: tuple[str, ...] = ()
    seed: int = 0

    def counts(self) -> Counter[str]:
        """Concept -> pictures asked for so far. Raises ConfigError: the manifest is damaged."""
        return Counter(row["concept"] for row in self._rows())

    def ask(self, wanted: Sequence[tuple[Concept, int]]) -> int:
        """Ask for the first so many pictures of each concept, those asked for before left out; how many are new."""
        rows = self._rows()
        there = {row["path"] for row in rows}
        new = [
            {
                "path": f"{slug(concept.name)}/{index:05d}.png", "prompt": prompt, "seed": seed,
                "concept": concept.name, "parts": list(concept.parts), "probe": index,
            }
            for concept, count in wanted
            for index, (prompt, seed) in enumerate(prompts_for(concept, count, self.asked, self.seed))
        ]  # fmt: skip
        new = [row for row in new if row["path"] not in there]
        if new:
            self.folder.mkdir(parents=True, exist_ok=True)
            part = self.folder / f".{MANIFEST}.part"
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in [*rows, *new]]
            part.write_text("".join(lines), encoding="utf-8")
            os.replace(part, self.folder / MANIFEST)
        return len(new)

    def drawn_by(self, prefix: str) -> int:
        """Pictures that lie there, drawn by a model whose name begins so."""
        found = 0
        for sidecar in self.folder.glob("*/*.json"):
            try:
                record = json.loads(sidecar.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            made = isinstance(record, dict) and str(record.get("model")).startswith(prefix)
            found += made and sidecar.with_suffix(".png").exists()
        return found

    def _rows(self) -> list[dict]:
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
