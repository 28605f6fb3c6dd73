"""`zcurate train` and `zcurate merge` as a person runs them: shards to a model that draws."""

import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.model.data_case import export
from zcurate.model.train.recipe import read_recipe
from zcurate.pipelines.recipe import BUNDLED
from zcurate.pipelines.training import estimate_lines, estimates

ZCURATE = Path(sys.executable).with_name("zcurate")
FULL = sorted(p.stem for p in BUNDLED.glob("train_*_full.yaml"))
TINY = sorted(p.stem for p in BUNDLED.glob("train_*_tiny.yaml"))


def zcurate(*arguments, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [str(ZCURATE), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=280)


def recipe_in(folder, **values):
    """A few steps on what `export` wrote beside it."""
    recipe = {
        "name": "little",
        "out": "run",
        "start": "tiny",
        "threads": 1,
        "data": {
            "kind": "shards",
            "parts": [{"url": "shards"}],
            "include_placeholders": True,
            "resolution": {"side_px": 16, "max_upscale": 4.0},
            "token_budget": 512,
        },
        "optimizer": {"lr": 3e-3, "ema_decay": 0.9},
        "stages": [{"name": "first", "steps": 12}],
        "checkpoint_every": 4,
        "prompts": ["a picture"],
        "sample_size_px": [16, 16],
        "sample_steps": 2,
        **values,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), "utf-8")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    export(folder / "shards")
    done = zcurate("train", recipe_in(folder), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_shards_become_a_model_that_draws(trained):
    folder, said = trained
    assert "stage first: 12 steps" in said
    records = [json.loads(line) for line in (folder / "run/first/log.jsonl").read_text().splitlines()]
    losses = [r["loss"] for r in records if "step" in r]
    assert len(losses) == 12
    assert statistics.mean(losses[-4:]) < 0.7 * statistics.mean(losses[:4])
    assert any(r.get("event") == "feed" and r["samples"] == 24 for r in records)
    done = zcurate(
        "generate", "a picture", "--model", "s3dit:run/first/model", "--size", "16*16", "--out", "drawn",
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (picture,) = (folder / "drawn").glob("*.png")
    assert Image.open(picture).size == (16, 16)
    assert Image.open(folder / "run/stages.png").width > 0


def test_a_finished_stage_is_not_trained_again_and_goes_on_where_it_gets_more_steps(trained):
    folder, _ = trained
    again = zcurate("train", "recipe.yaml", cwd=folder)
    assert "was done before" in again.stdout
    more = zcurate("train", "recipe.yaml", "--set", "stages.0.steps=14", cwd=folder)
    assert "goes on from step 12 of 14" in more.stdout
    (folder / "run/first/done.json").unlink()  # stopped between its last checkpoint and the model
    assert zcurate("train", "recipe.yaml", "--set", "stages.0.steps=14", cwd=folder).returncode == 0
    assert json.loads((folder / "run/first/done.json").read_text())["steps"] == 14


def test_two_models_of_one_ancestor_are_merged(trained):
    folder, _ = trained
    shutil.copytree(folder / "run/first/model", folder / "copy")
    done = zcurate("merge", "run/first/model", "copy", "--weights", "3,1", "--out", "soup", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "75.0% run/first/model" in done.stdout
    first, soup = (folder / f"{name}/transformer" for name in ("copy", "soup"))
    (file,) = first.glob("*.safetensors")
    assert (soup / file.name).read_bytes() == file.read_bytes()
    refused = zcurate("merge", "run/first/model", "copy", "--out", "soup", cwd=folder)
    assert refused.returncode == 2
    assert "not empty" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--set", "optimizer.lrr=1"], "optimizer.lrr"),
        (["--set", "data.parts.0.url=nowhere", "--set", "out=other"], "nowhere"),
        (["--set", "data.token_budget=4", "--set", "out=other"], "token_budget"),
        (["--set", "start=absent", "--set", "out=other"], "absent"),
        (["--set", "seed=7"], "seed 0, not 7"),
        (["--set", "optimizer.kind=adamw8bit"], "of another model, optimizer"),
        (["--set", "data.token_budget=600"], "other data"),
    ],
    ids=["field", "shards", "budget", "model", "seed", "optimizer", "data"],
)
def test_mistakes_are_told_without_a_traceback(trained, arguments, fault):
    folder, _ = trained
    (folder / "run/first/done.json").unlink(missing_ok=True)
    done = zcurate("train", "recipe.yaml", "--set", "stages.0.steps=16", *arguments, cwd=folder)
    assert done.returncode in (1, 2)
    assert fault in done.stderr
    assert "Traceback" not in done.stderr


def test_every_stage_of_the_report_has_a_full_and_a_tiny_recipe():
    stages = ["edit", "edit_sft", "merge", "omni", "pretrain", "sft"]
    assert {f"train_{s}_full" for s in stages} == set(FULL)
    assert {f"train_{s}_tiny" for s in stages} == set(TINY)
    omni = read_recipe(BUNDLED / "train_omni_full.yaml")
    resolutions = [omni.data_of(stage)["resolution"]["max_px"] for stage in omni.stages]
    assert resolutions == sorted(resolutions)
    assert len(resolutions) >= 2
    assert resolutions[-1] == 1536


@pytest.mark.parametrize("name", FULL)
def test_full_recipes_say_what_they_would_cost(name):
    recipe = read_recipe(BUNDLED / f"{name}.yaml")
    rows = estimates(recipe)
    trained = {s.name for s in recipe.stages[: len(recipe.stages) - bool(recipe.variants)]}
    assert {r["stage"] for r in rows} == trained | {v.name for v in recipe.variants}
    assert all(r["fits"] and r["parameters"] == 6_154_908_736 for r in rows)
    text = estimate_lines(recipe, rows)[-1]
    assert f"{recipe.estimate.report_hours:,.0f} H800-hours" in text


def test_the_feed_fields_of_full_recipes_are_known():
    from zcurate.model.data.opening import read_fields

    for name in FULL:
        recipe = read_recipe(BUNDLED / f"{name}.yaml")
        for parts in [*((s,) for s in recipe.stages), *((recipe.stages[-1], v) for v in recipe.variants)]:
            values = recipe.data_of(*parts)
            assert values.pop("kind") == "shards"
            read_fields(values)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train_omni_tiny", "train_merge_tiny"])
def test_tiny_recipes_with_variants_score_them(name, tmp_path):
    recipe = read_recipe(BUNDLED / f"{name}.yaml")
    few = [x for i in range(len(recipe.stages)) for x in ("--set", f"stages.{i}.steps=2")]
    done = zcurate(
        "train", name, *few, "--set", "data.batch=4", "--set", "sample_steps=2", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    expected = [v.name for v in recipe.variants] + (["soup"] if recipe.merge else [])
    assert list(facts["scores"]) == expected
    assert all(0 <= x <= 1 for scores in facts["scores"].values() for x in scores.values())


@pytest.mark.slow
@pytest.mark.ray
def test_ray_trains_the_same_recipe(tmp_path):
    export(tmp_path / "shards")
    recipe = recipe_in(tmp_path, stages=[{"name": "first", "steps": 3}], prompts=[])
    done = zcurate("train", recipe, "--ray-workers", 2, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["stages"]["first"]["last"]["step"] == 3
    assert (
        json.loads((tmp_path / "run/first/checkpoints/step-00000003/checkpoint.json").read_text())["world"]
        == 2
    )
    assert (tmp_path / "run/first/model/model_index.json").exists()
