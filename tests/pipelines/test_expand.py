"""Expanding stages: frames of moving pictures as a child dataset."""

import io

import numpy as np
from PIL import Image

from zcurate.curation.store import SAMPLES, Dataset
from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.recipe import build_recipe


def animation(path, count, seed):
    """An animated GIF of flat colored frames, each different."""
    rng = np.random.default_rng(seed)
    frames = [
        Image.new("RGB", (64, 48), tuple(int(c) for c in rng.integers(0, 255, 3))) for _ in range(count)
    ]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, disposal=2)


def test_frames_become_a_child_dataset(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    animation(folder / "a.gif", 5, 1)
    animation(folder / "b.gif", 12, 2)
    Image.new("RGB", (64, 48), "red").save(folder / "still.png")
    (folder / "a.txt").write_text("a moving picture")
    recipe = {
        "name": "frames",
        "dataset": str(tmp_path / "ds"),
        "sources": [{"root": str(folder), "origin": "rendered", "license": "CC0"}],
        "stages": {"profile": {}, "frames": {"most": 6}},
        "report": False,
    }
    options = BuildOptions(engine="inline", quiet=True)
    outcome = build(build_recipe(recipe, "test"), options)
    assert outcome.exit_code == 0
    child_url = tmp_path / "ds" / outcome.plan.stages[1].primary.removesuffix(f"/{SAMPLES}")
    child = Dataset.open(child_url)
    rows = child.read(SAMPLES, "00000000").to_pylist()
    parents = Dataset.open(tmp_path / "ds").read(SAMPLES, "00000000").to_pylist()
    ids = {r["sample_id"]: r["uri"] for r in parents}
    assert sorted(ids[p] for r in rows for p in r["parent_ids"]) == ["a.gif"] * 5 + ["b.gif"] * 6
    assert {r["text"] for r in rows if ids[r["parent_ids"][0]] == "a.gif"} == {"a moving picture"}
    assert {(r["origin"], r["license"]) for r in rows} == {("rendered", "CC0")}

    # The child is a dataset like any other: its own recipe runs on it.
    inner = {"name": "inner", "dataset": str(child_url), "stages": {"profile": {}}, "report": False}
    result = build(build_recipe(inner, "test"), options)
    assert result.exit_code == 0
    assert result.record.stages["profile"]["rows_ok"] == 11

    again = build(build_recipe(recipe, "test"), options)
    assert again.record.stages["frames"]["shards_run"] == 0


def test_a_picture_whose_frames_are_damaged_has_no_children(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    animation(folder / "a.gif", 6, 1)
    data = (folder / "a.gif").read_bytes()
    (folder / "b.gif").write_bytes(data[: len(data) * 2 // 3])
    sink = io.BytesIO()
    Image.new("RGB", (9, 9)).save(sink, "PNG")
    (folder / "c.png").write_bytes(sink.getvalue())
    recipe = {
        "name": "frames",
        "dataset": str(tmp_path / "ds"),
        "sources": [{"root": str(folder)}],
        "stages": {"profile": {}, "frames": {}},
        "report": False,
    }
    outcome = build(build_recipe(recipe, "test"), BuildOptions(engine="inline", quiet=True))
    assert outcome.result.complete
    child = Dataset.open(tmp_path / "ds" / outcome.plan.stages[1].primary.removesuffix(f"/{SAMPLES}"))
    rows = child.read(SAMPLES, "00000000").to_pylist()
    assert len({r["parent_ids"][0] for r in rows}) in (1, 2)
    assert len(rows) >= 6
