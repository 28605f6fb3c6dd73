"""Stored features from a training recipe, through the library the command calls."""

import json

import pytest
import yaml

from zcurate.curation.errors import ConfigError
from zcurate.model.data.opening import open_feed
from zcurate.model.pipeline_folder import tiny_pipeline
from zcurate.pipelines.precomputing import precompute

from ..model.data_case import export, export_pairs, pair


def recipe(tmp_path, **data):
    values = {
        "name": "t",
        "out": str(tmp_path / "run"),
        "start": "tiny",
        "data": {"kind": "shards", "resolution": {"side_px": 32}, "token_budget": 1024, **data},
        "stages": [{"name": "low", "steps": 1}, {"name": "none", "steps": 1, "data": {"kind": "shapes"}}],
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_features_of_a_recipe_are_used_by_its_feed(tmp_path):
    export(tmp_path / "pictures", 6)
    export_pairs(tmp_path / "pairs", [pair(i) for i in range(3)])
    parts = [{"url": str(tmp_path / n)} for n in ("pictures", "pairs")]
    said = []
    made = precompute(recipe(tmp_path, parts=parts), tmp_path / "features", say=said.append)
    assert json.loads(json.dumps(made)) == made
    assert [sorted(m) for m in made] == [["latents", "text", "url"], ["latents", "url"]]
    assert made[0]["text"]["written"] == 7
    assert len(said) == 3
    for part, facts in zip(parts, made, strict=True):
        part["latents"] = facts["latents"]["folder"]
        if "text" in facts:
            part["text_features"] = facts["text"]["folder"]
    values = {"parts": parts, "resolution": {"side_px": 32}, "token_budget": 1024}
    examples = [e for batch in open_feed(values, 0, 0, 1, tiny_pipeline(0)) for e in batch]
    assert len(examples) == 9
    assert all(e.latents is not None and e.pixels is None for e in examples)
    assert all((e.text_features is None) == bool(e.references) for e in examples)


def test_stages_without_shards_are_named(tmp_path):
    with pytest.raises(ConfigError, match="not of kind shards"):
        precompute(recipe(tmp_path, parts=[]), tmp_path / "f", "none")
    with pytest.raises(ConfigError, match="has low, none"):
        precompute(recipe(tmp_path, parts=[]), tmp_path / "f", "high")
    with pytest.raises(Exception, match="parts"):
        precompute(recipe(tmp_path, parts=[]), tmp_path / "f")
