"""One stage on its own: the newest recipe, or the bundled defaults, cut off behind that stage."""

from __future__ import annotations

from collections.abc import Sequence

from zcurate.curation.errors import ConfigError
from zcurate.curation.store import Dataset, read_sources

from .recipe import Recipe, build_recipe, load_recipe
from .registry import stage_module
from .runlog import latest_record


def single_stage_recipe(stage: str, url: str, sets: Sequence[str]) -> Recipe:
    """The recipe of `zcurate run STAGE DATASET`.

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
    if stage not in raw["stages"]:
        if record is None:
            raise ConfigError(
                f"stage {stage!r} is not part of the default recipe; write a recipe and use 'zcurate build'"
            )
        raw["stages"] = {**raw["stages"], stage: {}}
    names = list(raw["stages"])
    raw["stages"] = {n: raw["stages"][n] for n in names[: names.index(stage) + 1]}
    # Sources are in the dataset already; exports belong to whole builds.
    sources = read_sources(dataset)
    raw |= {"dataset": url, "sources": [], "export": [], "params": {}, "report": False}
    raw["name"] = raw["name"] if record is not None else "-".join(sources) or "dataset"
    full = [s if s.split("=")[0].startswith("stages.") else f"stages.{stage}.{s}" for s in sets]
    return build_recipe(raw, f"zcurate run {stage}", full)
