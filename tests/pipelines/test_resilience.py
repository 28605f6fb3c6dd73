"""What goes wrong in a dataset's life: rot, races, moves, partial runs, and that nothing is lost or kept by them."""

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.curation.store import SAMPLES, Dataset, Limit
from zcurate.pipelines.build import BuildOptions, build, ingest_source
from zcurate.pipelines.exporting import export_one
from zcurate.pipelines.inspecting import error_rows, garbage_of, status_of
from zcurate.pipelines.preflight import preflight
from zcurate.pipelines.recipe import ExportConfig, SourceConfig, build_recipe, load_recipe
from zcurate.pipelines.removal import remove_samples
from zcurate.pipelines.runlog import recorded_recipe
from zcurate.pipelines.single import single_stage_recipe
from zcurate.pipelines.view import open_view

INLINE = {"engine": "inline", "quiet": True}


@pytest.fixture
def folder(tmp_path):
    """Nine different small pictures, so that three shards of three rows come out."""
    images = tmp_path / "in"
    images.mkdir()
    for i in range(9):
        rng = np.random.default_rng(i)
        small = rng.integers(0, 255, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize((240, 210), Image.Resampling.BICUBIC).save(images / f"{i}.png")
    return images


def recipe_of(folder, out, **more):
    raw = {
        "name": "small",
        "dataset": str(out),
        "rows_per_shard": 3,
        "sources": [{"name": "in", "root": str(folder)}],
        "stages": {
            "profile": {},
            "filter": {"rules": {"tiny": {"drop_if": "width_px < 9"}}},
            "embed": {},
            "dedup": {},
            "ocr": {},
        },
        "report": False,
    }
    return build_recipe(raw | more, "test")


def built(folder, out, options=None, **more):
    return build(recipe_of(folder, out, **more), BuildOptions(**(INLINE | (options or {}))))


def flip(path):
    """One bit, with the size and the time left as they were: what a dying disk does."""
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 8
    with open(path, "r+b") as f:
        f.write(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def ids_of(out):
    d = Dataset.open(out)
    return [
        i for s in sorted(d.samples().metas) for i in d.read(SAMPLES, s, ["sample_id"]).column(0).to_pylist()
    ]


def test_rot_in_any_group_is_mended_by_the_same_command(folder, tmp_path):
    out = tmp_path / "ds"
    exports = [{"format": "parquet", "out": str(tmp_path / "e"), "images": False}]
    assert built(folder, out, export=exports).exit_code == 0
    before = {p: p.read_bytes() for p in out.glob("*/**/0*.parquet") if "_index" not in str(p)}
    for group in ("profile", "thumbs", "decisions/filter", "embedding", "groups", "ocr"):
        flip(next(p for p in sorted(out.glob(f"{group}/*/*.parquet"))))
        for _ in range(2):  # at the latest the second time, whoever noticed it
            try:
                outcome = built(folder, out, export=exports)
            except DatasetError:
                continue
        assert outcome.exit_code == 0, group
        built(folder, out, options={"redo_errors": True}, export=exports)
    from zcurate.curation.store.maintenance import verify

    verify(Dataset.open(out))  # notes what nobody has read since
    assert built(folder, out, export=exports).exit_code == 0
    assert not verify(Dataset.open(out)).damaged
    assert {p: p.read_bytes() for p in before} == before


def test_a_damaged_sample_list_is_listed_anew_or_refused(folder, tmp_path):
    out = tmp_path / "ds"
    built(folder, out)
    flip(out / "samples" / "00000001.parquet")
    (out / "_index" / "samples.parquet").unlink()
    recipe, limit = single_stage_recipe("filter", str(out), [])
    refused = build(recipe, BuildOptions(**INLINE, ingest=False, until="filter", limit=limit))
    assert refused.exit_code == 1
    assert "samples/00000001.parquet" in refused.record.failed[0]
    with pytest.raises(DatasetError, match="samples/00000001"):
        open_view(str(out))
    healed = built(folder, out)
    assert healed.exit_code == 0
    assert status_of(str(out))["live"] == 9
    assert list(error_rows(str(out))) == []
    assert built(folder, out).record.stages["profile"]["rows_computed"] == 0


def test_one_stage_leaves_the_recipe_whole(folder, tmp_path):
    out = tmp_path / "ds"
    built(folder, out)
    recipe, limit = single_stage_recipe("filter", str(out), ["rules={}"])
    result = build(recipe, BuildOptions(**INLINE, ingest=False, export=False, until="filter", limit=limit))
    assert list(result.record.stages) == ["profile", "filter"]
    assert list(recorded_recipe(Dataset.open(out)).stages) == ["profile", "filter", "embed", "dedup", "ocr"]
    config = ExportConfig(format="webdataset", out=str(tmp_path / "e"))
    with pytest.raises(DatasetError, match="'dedup'"):
        export_one(open_view(str(out)), config)
    assert not (tmp_path / "e").exists()
    built(folder, out)
    assert export_one(open_view(str(out)), config)["rows"] == 9


def test_two_ingests_of_one_source_at_once_list_every_file_once(folder, tmp_path):
    config = SourceConfig(name="in", root=str(folder))
    barrier = threading.Barrier(4)

    def ingest(out):
        barrier.wait()
        ingest_source(str(out), config, 2)

    for attempt in range(3):
        out = tmp_path / f"ds{attempt}"
        threads = [threading.Thread(target=ingest, args=(out,)) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        ids = ids_of(out)
        assert (len(ids), len(set(ids))) == (9, 9)


def test_touched_files_are_profiled_again_and_nothing_else(folder, tmp_path):
    out = tmp_path / "ds"
    built(folder, out)
    for p in folder.iterdir():
        os.utime(p, (1, 1))
    stages = built(folder, out).record.stages
    assert stages["profile"]["rows_computed"] == 9
    assert {n: stages[n]["rows_computed"] for n in ("embed", "ocr")} == {"embed": 0, "ocr": 0}
    assert {n: stages[n]["rows_reused"] for n in ("embed", "ocr")} == {"embed": 9, "ocr": 9}
    assert status_of(str(out))["live"] == 9
    # a trial run counts live rows, not the superseded ones in front of them
    limited = built(folder, out, options={"limit": Limit(rows=4)})
    assert limited.record.stages["profile"]["rows_ok"] == 4
    assert preflight(recipe_of(folder, out), limited.plan.stages[0].bound.limit).rows == 4
    _, garbage = garbage_of(str(out), 1)
    assert not any("profile/" in g and "_index" not in g for g in garbage), (
        "a trial run makes no garbage of the whole"
    )


def test_what_cannot_be_listed_is_not_missing(folder, tmp_path):
    import tarfile

    out = tmp_path / "ds"
    tar = tmp_path / "tars" / "a.tar"
    tar.parent.mkdir()
    with tarfile.open(tar, "w") as t:
        for p in sorted(folder.iterdir()):
            t.add(p, p.name)
    config = SourceConfig(name="tars", root=str(tar.parent), kind="webdataset")
    assert ingest_source(str(out), config, 3)[1].new == 9
    tar.write_bytes(tar.read_bytes()[:-40_000])
    _, summary = ingest_source(str(out), config, 3)
    assert summary.errors == 1
    assert summary.missing == 0
    assert summary.unlisted > 0


def test_takedown_in_a_copied_dataset_cleans_the_copy(folder, tmp_path):
    out, copy = tmp_path / "ds", tmp_path / "copy"
    export = [{"format": "parquet", "out": str(out / "export"), "images": True}]
    built(folder, out, export=export, report=True)
    target = ids_of(out)[4]
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    shutil.copytree(out, copy)
    facts = remove_samples(str(copy), [target, b"x" * 16], "me", "asked for")
    assert (facts["samples"], facts["unknown"], facts["not_found"]) == (1, 1, [])
    assert facts["exports"] == {str(copy / "export"): 1}
    for p in copy.rglob("*"):
        if p.is_file() and "overlay" not in str(p):
            assert target not in p.read_bytes(), p
            assert target.hex().encode() not in p.read_bytes(), p
    assert {p: p.read_bytes() for p in before} == before, "the original is left alone"
    moved = recorded_recipe(Dataset.open(copy))
    assert (moved.dataset, moved.export[0].out) == (str(copy), str(copy / "export"))


def test_images_made_by_models_are_left_out_of_every_format(folder, tmp_path):
    out = tmp_path / "ds"
    built(folder, out, sources=[{"name": "in", "root": str(folder), "origin": "model"}])
    for name in ("webdataset", "parquet", "datacomp"):
        config = ExportConfig(format=name, out=str(tmp_path / name))
        facts = export_one(open_view(str(out)), config)
        assert (facts["rows"], facts["refused_model_origin"]) == (0, 9), name


def test_changed_originals_are_left_out_and_said(folder, tmp_path):
    out = tmp_path / "ds"
    built(folder, out)
    (folder / "3.png").write_bytes(b"something else")
    config = ExportConfig(format="webdataset", out=str(tmp_path / "e"))
    facts = export_one(open_view(str(out)), config)
    assert (facts["rows"], facts["unreadable"]) == (8, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"params": ["a"]}, "params is a mapping"),
        ({"storage_options": {"client": {"aws_secret_access_key": "x"}}}, "through the environment"),
        ({"export": [{"format": "webdataset", "out": "s3://b/x"}]}, "local disk"),
        ({"sources": [{"root": ".", "name": "a/b"}]}, "source name"),
        ({"sources": [{"root": ".", "name": ".."}]}, "source name"),
        ({"sources": [], "stages": {"profile": {"max_pixel": 3}}}, "max_pixel"),
    ],
)
def test_recipe_mistakes_are_found_before_anything_is_made(change, message, tmp_path):
    out = tmp_path / "ds"
    with pytest.raises(ConfigError, match=message):
        built(tmp_path, out, **change)
    assert not out.exists()


def test_a_name_that_stands_twice_in_a_recipe_is_refused(tmp_path):
    file = tmp_path / "r.yaml"
    text = "name: r\ndataset: d\nstages:\n  filter:\n    rules:\n      dark: width_px < 9\n      {}: width_px < 3\n"
    file.write_text(text.format("tiny"))
    assert list(load_recipe(file).stages["filter"]["rules"]) == ["dark", "tiny"]
    file.write_text(text.format("dark"))
    with pytest.raises(ConfigError, match=r"(?s)'dark' stands here a second time.*line 7, column 7"):
        load_recipe(file)


def test_a_merged_mapping_may_be_overridden(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(
        "name: r\ndataset: d\nstages:\n  profile: &p {}\n  filter: {<<: *p, rules: {a: width_px < 9}}\n"
    )
    assert load_recipe(file).stages["filter"] == {"rules": {"a": "width_px < 9"}}
    file.write_text("name: r\ndataset: d\nparams: &p {a: 1}\nstages:\n  own: {<<: *p, a: 2}\n")
    assert load_recipe(file).stages["own"] == {"a": 2}


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["stages.dedup.threshold.x.y=1"], "not a mapping"),
        (["stages.nothing.threshold=1"], "nothing"),
        (["sources.7.root=x"], "items"),
        (["source"], "NAME=VALUE"),
        (["stages.dedup.k=[[["], "not a YAML value"),
    ],
)
def test_settings_mistakes(sets, message):
    with pytest.raises(ConfigError, match=message):
        load_recipe("photos", ["source=x", "stages.dedup.threshold=0.9", *sets])


def test_settings_of_paths_are_taken_literally(tmp_path):
    recipe = load_recipe("photos", [f"source={tmp_path}/a #b: c", "out=2024", "license=CC0"])
    assert (recipe.sources[0].root, recipe.dataset, recipe.sources[0].license) == (
        f"{tmp_path}/a #b: c",
        "2024",
        "CC0",
    )
    assert load_recipe("photos", ["source=x"]).sources[0].license is None


def test_stages_without_settings_and_odd_yaml(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("name: r\ndataset: d\nparams:\nstages:\n  profile:\n")
    assert load_recipe(file, []).stages == {"profile": {}}
    file.write_text("a: " + "[" * 3000)
    with pytest.raises(ConfigError, match="not YAML"):
        load_recipe(file)
    with pytest.raises(ConfigError):
        load_recipe(tmp_path)


def test_records_hold_no_tracebacks_of_a_failed_start(folder, tmp_path):
    out = tmp_path / "ds"
    with pytest.raises(ConfigError, match="spark"):
        build(recipe_of(folder, out), BuildOptions(engine="spark"))
    assert not out.exists()
    built(folder, out)
    records = [json.loads(p.read_text()) for p in Path(out, "_runs").iterdir()]
    assert [r["state"] for r in records] == ["done"]
    assert yaml.safe_dump(records[0]["recipe"])
