"""Golden outputs: a stage whose output changes must raise its version, or old rows would be taken for new.

`ZCURATE_WRITE_GOLDEN=1 pytest tests/pipelines/test_golden.py` writes the file anew.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from zcurate.curation.store import Dataset, read_sources
from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.planned import plan_stages
from zcurate.pipelines.recipe import build_recipe, load_recipe
from zcurate.pipelines.view import View

GOLDEN = Path(__file__).with_name("golden.json")
STAGES = [
    *("profile", "filter", "embed", "scores", "filter_scores", "dedup", "communities", "sampling"),
    *("ocr", "caption", "concepts", "balance"),
]


def draw(folder):
    """Four pictures by integer arithmetic and PIL's own drawing, stored without loss."""
    y, x = np.mgrid[0:260, 0:340]
    ground = np.stack([(x * 3 + y) % 256, (x * y // 50) % 256, (255 - x // 2 - y // 3) % 256], -1).astype(
        np.uint8
    )
    image = Image.fromarray(ground)
    image.save(folder / "waves.png")
    image.resize((680, 520), Image.Resampling.BICUBIC).save(folder / "waves large.png")
    scene = Image.new("RGB", (400, 300), (120, 170, 230))
    pen = ImageDraw.Draw(scene)
    pen.rectangle([0, 190, 400, 300], fill=(60, 130, 50))
    pen.ellipse([300, 20, 360, 80], fill=(250, 220, 60))
    for i in range(24):
        pen.polygon(
            [(i * 17, 190), (i * 17 + 8, 120 + i * 7 % 60), (i * 17 + 16, 190)], fill=(20 + i * 5, 80, 40)
        )
    scene.save(folder / "trees.png")
    (folder / "trees.txt").write_text("A row of trees under a yellow sun")
    Image.new("RGB", (300, 300), (200, 30, 30)).save(folder / "red.png")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """stage -> {version, values of every column} over the four pictures."""
    folder = tmp_path_factory.mktemp("golden")
    (folder / "in").mkdir()
    draw(folder / "in")
    raw = load_recipe("photos", ["source=unused"]).model_dump(mode="json")
    raw |= {
        "dataset": str(folder / "ds"),
        "sources": [{"name": "golden", "root": str(folder / "in"), "kind": "folder"}],
        "export": [],
        "report": False,
    }
    # few rules: what they drop, later stages do not see
    raw["stages"]["filter"] = {"rules": {"flat": {"drop_if": "reencode_bpp < 0.01", "reason": "empty"}}}
    raw["stages"]["filter_scores"] = {"rules": {"ugly": {"drop_if": "aesthetic < 1", "reason": "ugly"}}}
    recipe = build_recipe(raw, "golden")
    outcome = build(recipe, BuildOptions(engine="inline", quiet=True))
    assert outcome.exit_code == 0
    dataset = Dataset.open(folder / "ds")
    view = View(
        dataset, recipe, plan_stages(recipe, read_sources(dataset)), outcome.plan.stages[0].bound.limit
    )
    found = {}
    for stage in view.plan.stages:
        columns = [
            f"{g}.{f.name}" for g, s in stage.bound.spec.outputs.items() for f in s if f.name != "thumb"
        ]
        columns += [f"{g}._status" for g in stage.bound.spec.outputs]
        rows = [r for _, t in view.tables(["samples.key", *columns]) for r in t.to_pylist()]
        ids = {r["sample_id"]: r["samples.key"] for r in rows}
        found[stage.name] = {
            "version": stage.bound.spec.version,
            "values": {r["samples.key"]: {c: plain(r[c], ids) for c in columns} for r in rows},
        }
    return found


def plain(value, ids):
    if isinstance(value, bytes):
        return ids.get(value, value.hex())
    if isinstance(value, float | np.floating):
        return round(float(value), 5)
    if isinstance(value, list):
        return [plain(v, ids) for v in (value if len(value) <= 64 else value[::16])]
    if isinstance(value, dict):
        return {k: plain(v, ids) for k, v in value.items()}
    return value


def same(a, b):
    """Equal, numbers within what another CPU or library build may change."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float | int):
        return abs(a - b) <= 2e-3 * max(1.0, abs(b))
    return a == b


@pytest.mark.parametrize("stage", STAGES)
def test_output_is_the_recorded_one_of_this_version(stage, outputs):
    if os.environ.get("ZCURATE_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(outputs, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    golden = json.loads(GOLDEN.read_text())[stage]
    new = json.loads(json.dumps(outputs[stage]))
    if new["version"] == golden["version"]:
        changed = [
            f"{key} {column}: {golden['values'].get(key, {}).get(column)!r} -> {value!r}"
            for key, row in new["values"].items()
            for column, value in row.items()
            if not same(value, golden["values"].get(key, {}).get(column))
        ]
        assert not changed, (
            f"output of {stage} changed at version {new['version']}: raise the version\n"
            + "\n".join(changed[:8])
        )
    assert new["version"] >= golden["version"], "a version never goes back"
    assert new["version"] == golden["version"], "write the golden file of the new version (see the docstring)"
