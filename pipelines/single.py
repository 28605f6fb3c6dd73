"""One stage on its own: the newest recipe, or the bundled one, with a setting changed."""

from __future__ import annotations

from collections.abc import Sequence

from zcurate.curation.store import Dataset, Limit, read_sources

from .recipe import Recipe, build_recipe, load_recipe
from .registry import stage_module
from .runlog import latest_record


def single_stage_recipe(stage: str, url: str, sets: Sequence[str]) -> tuple[Recipe, Limit]:
    """The recipe of `zcurate run STAGE DATASET`: a whole one, of which the run goes as far as that stage.

    Args:
        sets: `k=v`, where k is a field of the stage's settings, or a dotted path in the recipe.

    Raises:
        ConfigError: unknown stage or field.
    """
    stage_module(stage)
    dataset = Dataset.open(url)
    record = latest_record(dataset)
    if record is not None:
        raw = dict(record.recipe)
    else:
        raw = load_recipe("photos", ["source=unused"]).model_dump(mode="json")
    raw["stages"] = {**raw["stages"]} if stage in raw["stages"] else {**raw["stages"], stage: {}}
    # Sources are in the dataset already; exports belong to whole builds.
    raw |= {"dataset": url, "params": {}}
    if record is None:
        raw |= {"sources": [], "export": [], "name": "-".join(read_sources(dataset)) or "dataset"}
    full = [s if s.split("=")[0].startswith("stages.") else f"stages.{stage}.{s}" for s in sets]
    limit = Limit(**record.limit) if record and record.limit else Limit()
    return build_recipe(raw, f"zcurate run {stage}", full), limit
