"""Pictures drawn to test a generator: one folder per concept, file by file, so that a stopped run goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from zcurate.curation.active.choosing import Concept
from zcurate.curation.active.prompting import prompts_for

from .generating import SIZE, TINY_SIZE, model_errors

if TYPE_CHECKING:
    from .generators import GeneratorEngine

#: Pictures asked for in one call; those drawn before a stop are kept.
_CHUNK = 64


@dataclass(frozen=True)
class Probes:
    """Where pictures of concepts lie and how they are drawn.

    Attributes:
        folder: OUT/pictures. size: `W*H` px; None for the model's own.
        asked: prompts of users. seed: of prompts and pictures.
        batch: pictures drawn together.
    """

    folder: Path
    size: str | None = None
    asked: tuple[str, ...] = ()
    seed: int = 0
    batch: int = 4

    def draw(self, generator: GeneratorEngine, wanted: Sequence[tuple[Concept, int]]) -> int:
        """Draw the first so many pictures of each concept, those that are there left out. Returns how many were drawn.

        Raises what the generator raises, as ConfigError or ZcurateError.
        """
        drawn = 0
        with model_errors():
            missing = self._missing(generator, wanted)
            while chunk := list(islice(missing, _CHUNK)):
                pictures = generator.generate([request for _, _, request in chunk], self.batch)
                for (concept, index, _), picture in zip(chunk, pictures, strict=True):
                    facts = {"concept": concept.name, "parts": list(concept.parts), "probe": index}
                    folder = self.folder / slug(concept.name)
                    for left in folder.glob(f"{index:05d}*.json"):  # of a picture that was never finished
                        left.unlink()
                    replace(picture, record=picture.record | facts).save(folder, f"{index:05d}")
                    drawn += 1
        return drawn

    def _missing(
        self, generator: Any, wanted: Sequence[tuple[Concept, int]]
    ) -> Iterator[tuple[Concept, int, Any]]:
        from zcurate.model.canvas import parse_size
        from zcurate.model.request import PRESETS, Request, preset_of

        pipeline = getattr(generator, "pipeline", None)
        default = TINY_SIZE if pipeline is not None and pipeline.in_pixels else SIZE
        size = parse_size(self.size or default)
        settings = PRESETS[preset_of(pipeline)] if pipeline is not None else PRESETS["turbo"]
        for concept, count in wanted:
            folder = self.folder / slug(concept.name)
            for index, (prompt, seed) in enumerate(prompts_for(concept, count, self.asked, self.seed)):
                if not (folder / f"{index:05d}.png").exists():
                    yield concept, index, Request(prompt, size, seed, settings)


def slug(name: str) -> str:
    """A folder name for a concept: readable, and its own."""
    words = re.sub(r"[^\w]+", "-", name.lower()).strip("-_")[:40] or "concept"
    return f"{words}-{xxhash.xxh3_64_hexdigest(name.encode())[:8]}"
