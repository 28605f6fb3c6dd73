"""Latents and text features of a training stage's data, written before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zcurate.curation.errors import ConfigError
from zcurate.model.train.recipe import read_recipe

from .training import Say, find_recipe, told

KINDS = ("latents", "text")


def precompute(
    recipe_path: Path | str,
    out: Path,
    stage: str | None = None,
    kinds: Sequence[str] = KINDS,
    dtype: str = "bfloat16",
    sets: Sequence[str] = (),
    say: Say = print,
) -> list[dict[str, Any]]:
    """Write `OUT/PART/latents` and `OUT/PART/text` for every part of a stage's data; edits have no text features.

    Args:
        stage: of the recipe; by default the first.

    Returns:
        per part its URL and, per kind, folder, values written and samples that could not be read.

    Raises:
        ConfigError: the recipe has no such stage, or its data are not shards. ZcurateError: as training would.
    """
    with told():
        import torch

        from zcurate.model.data.opening import open_parts, read_fields
        from zcurate.model.data.precompute import write_latents, write_text_features
        from zcurate.model.train.run import start_pipeline

        recipe = read_recipe(find_recipe(recipe_path), sets)
        names = [s.name for s in recipe.stages]
        if stage is not None and stage not in names:
            raise ConfigError(f"--stage {stage!r}: the recipe has {', '.join(names)}")
        values = recipe.data_of(recipe.stages[names.index(stage) if stage else 0])
        if values.pop("kind", None) != "shards":
            raise ConfigError("data of this stage are not of kind shards: there is nothing to compute before")
        fields = read_fields(values)
        fields.parts = [p.model_copy(update={"latents": None, "text_features": None}) for p in fields.parts]
        pipeline = start_pipeline(recipe)
        device = "cuda" if torch.cuda.is_available() and recipe.device != "cpu" else "cpu"
        for encoder in (pipeline.vae, pipeline.text_encoder):
            if encoder.module is not None:
                encoder.module.to(device)
        results: list[dict[str, Any]] = []
        for number, (part, wanted) in enumerate(zip(open_parts(fields, pipeline), fields.parts, strict=True)):
            facts: dict[str, Any] = {"url": wanted.url}
            for kind in kinds:
                folder = out / f"part-{number}" / kind
                if kind == "latents":
                    made = write_latents(part, pipeline.vae, folder, dtype, fields.threads, device)
                elif part.source.rows.references_px is None:
                    made = write_text_features(part, pipeline.text_encoder, folder, dtype, fields.threads)
                else:
                    continue
                facts[kind] = {"folder": str(folder), "written": made.written, "bad": made.bad}
                field = "latents" if kind == "latents" else "text_features"
                say(f"{wanted.url}: {made.written} {kind}; in its part of the recipe: {field}: {folder}")
                if made.bad:
                    say(f"  {made.bad} samples could not be read; the first: {made.first}")
            results.append(facts)
        return results
