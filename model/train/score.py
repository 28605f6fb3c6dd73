"""How much of its prompts a model draws, counted on scenes whose pictures can be read back exactly."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from ..data.shapes.reading import verify
from ..data.shapes.words import prompt_of
from ..data.shapes.world import held_out_concepts, scene_of
from ..pipeline_folder import Pipeline
from .grids import draw

SIDE_PX = 32
HELD_OUT = 0.15


def scene_scores(
    pipeline: Pipeline, prompts: int = 100, seed: int = 0, steps: int = 12, batch: int = 50
) -> dict[str, float]:
    """Share of claims that hold, by kind of claim, and of all claims under `overall`.

    Scenes have one or two things whose (color, shape) combinations are never trained on.
    """
    rng = np.random.default_rng([seed, 7])
    concepts = held_out_concepts(HELD_OUT)
    specs = []
    for i in range(prompts):
        chosen = rng.choice(len(concepts), 1 + i % 2, replace=False)
        specs.append(scene_of([concepts[int(c)] for c in chosen], rng))
    held: dict[str, list[bool]] = defaultdict(list)
    model = pipeline.transformer.eval()
    for start in range(0, prompts, batch):
        part = specs[start : start + batch]
        images = draw(model, pipeline, [prompt_of(s) for s in part], (SIDE_PX, SIDE_PX), steps)
        for spec, image in zip(part, images, strict=True):
            for claim, true in verify(np.asarray(image), spec):
                held[claim.kind].append(true)
                held["overall"].append(true)
    return {kind: float(np.mean(values)) for kind, values in sorted(held.items())}
