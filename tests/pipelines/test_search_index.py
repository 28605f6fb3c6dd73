"""The indexes behind a search follow their dataset: growth, changes, takedowns, encoders, bad vectors, remote ones."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from zcurate.curation.retrieval.files import MANIFEST
from zcurate.curation.store import Dataset
from zcurate.pipelines.search_indexes import forget_removed, index_root
from zcurate.pipelines.searching import open_search

from .search_dataset import build, images, lines, openclip_dir, picture  # noqa: F401 - fixtures among them

# ruff: noqa: F811


def test_growth_updates_the_indexes_and_equals_a_rebuild(build, images, lines, tmp_path):
    out = build()
    before, _ = lines("search", out, "--image", images / "p05.png", "-k", "50")
    lines("search", out, "red")
    for i in range(30, 36):
        picture(i).save(images / f"p{i}.png")
    (images / "p30.txt").write_text("a red kite")
    build()
    after, _ = lines("search", out, "--image", images / "p05.png", "-k", "50")
    words, _ = lines("search", out, "red")
    assert len(after) == len(before) + 6
    assert "p30" in {r["key"] for r in words}
    vectors, texts = open_search(out).vectors.facts, open_search(out).texts.facts
    assert vectors["rows_encoded"] == 6
    assert texts["rows_split"] == 6
    shutil.rmtree(index_root(Dataset.open(out)))
    assert lines("search", out, "--image", images / "p05.png", "-k", "50")[0] == after
    assert lines("search", out, "red")[0] == words


def test_a_changed_and_a_vanished_file(build, images, lines):
    out = build()
    lines("search", out, "red")
    picture(77).save(images / "p00.png")
    (images / "p00.txt").write_text("a blue door")
    (images / "p01.png").unlink()
    (images / "p01.txt").unlink()
    build()
    assert lines("search", out, "red")[0] == []
    assert [r["key"] for r in lines("search", out, "door")[0]] == ["p00"]
    found, _ = lines("search", out, "--image", images / "p00.png", "-k", "50")
    assert found[0]["key"] == "p00"
    assert "p01" not in {r["key"] for r in found}
    assert [r["key"] for r in found].count("p00") == 1


def test_takedown_leaves_no_trace_in_results_or_index_files(build, images, lines, zcurate, tmp_path):
    out = build()
    (hit, *_), _ = lines("search", out, "village dawn")
    vector = open_search(out).vectors
    stored = bytes(np.asarray(vector.vectors[vector.position_of(bytes.fromhex(hit["sample_id"]))]))
    ids = tmp_path / "ids.txt"
    ids.write_text(hit["sample_id"] + "\n")
    assert zcurate("remove", out, "--ids", ids, "--reason", "asked for")[0] == 0
    assert hit["sample_id"] not in {r["sample_id"] for r in lines("search", out, "village dawn")[0]}
    found, _ = lines("search", out, "--image", images / "p03.png", "-k", "100", "--dropped")
    assert hit["sample_id"] not in {r["sample_id"] for r in found}
    forget_removed(str(out))
    twin = {"p03", "copy"} - {hit["key"]}
    held = [p for p in index_root(Dataset.open(out)).rglob("*") if p.is_file()]
    assert not [p for p in held if bytes.fromhex(hit["sample_id"]) in p.read_bytes()]
    if not twin & {r["key"] for r in found}:
        assert not [p for p in held if stored in p.read_bytes()]
    if hit["key"] == "p03":
        assert not [p for p in held if b"village" in p.read_bytes()]


def test_shards_of_two_encoders_are_refused_by_name(build, zcurate, images, openclip_dir):
    out = build()
    ours = sorted(out.glob("embedding/*/*.parquet"))
    build(f"openclip:{openclip_dir}")
    (theirs,) = {p.parent for p in out.glob("embedding/*/*.parquet")} - {ours[0].parent}
    (theirs / ours[-1].name).write_bytes(ours[-1].read_bytes())
    code, _, err = zcurate("search", out, "--image", images / "p05.png")
    assert code == 1
    assert f"{ours[-1].stem}: embedded by embedded" in err
    assert "openclip" in err
    assert "changed half-way" in err


def test_another_encoder_in_the_newest_run_that_has_not_run_yet(
    build, zcurate, images, openclip_dir, tmp_path
):
    out = build()
    model = f"openclip:{openclip_dir}"
    assert zcurate("run", "filter", out, "--engine", "inline", "--set", f"stages.embed.model={model}")[0] in (
        0,
        2,
        3,
    )
    spec = json.loads(sorted(out.glob("_runs/*.json"))[-1].read_text())
    spec["recipe"]["stages"]["embed"]["model"] = model
    (out / "_runs" / "99999999T000000000Z-ffffff.json").write_text(json.dumps(spec))
    code, _, err = zcurate("search", out, "--image", images / "p05.png")
    assert code == 1
    assert "embedded by embedded" in err
    assert "openclip" in err
    assert "zcurate build" in err


def test_bad_vectors_in_the_dataset_are_left_out_and_named(build, lines, images):
    out = build()
    (path,) = {p.parent for p in out.glob("embedding/*/*.parquet")}
    dataset = Dataset.open(out)
    group = f"embedding/{path.name}"
    shard = sorted(dataset.index(group).metas)[0]
    table, meta = dataset.read(group, shard), dataset.index(group).metas[shard]
    flat = table["vector"].combine_chunks()
    values = flat.flatten().to_numpy(zero_copy_only=False).reshape(len(flat) - flat.null_count, -1).copy()
    values[0], values[1, 3] = 0, np.nan
    rows = iter(values)
    column = pa.array([next(rows) if v.is_valid else None for v in flat], flat.type)
    dataset.commit(group, table.set_column(table.column_names.index("vector"), "vector", column), meta)
    found, err = lines("search", out, "--image", images / "p09.png", "-k", "100", "--dropped")
    assert len(found) == 23 - 2
    assert f"2 vectors hold NaN, infinity or only zeros (shard {shard}: 2)" in err


def test_index_ahead_and_again(build, zcurate, lines):
    out = build()
    (facts,), _ = lines("index", out)
    assert facts["vectors"]["rows"] == 23
    assert facts["texts"]["rows"] == 24
    assert facts["vectors"]["encoder"].startswith("embedded")
    manifest = Path(facts["vectors"]["folder"]) / MANIFEST
    stamp = manifest.stat().st_mtime_ns
    assert zcurate("index", out)[0] == 0
    assert manifest.stat().st_mtime_ns == stamp
    assert zcurate("verify", out)[0] == 0
    assert zcurate("gc", out, "--delete")[0] == 0
    assert zcurate("index", out)[0] == 0


def test_a_remote_dataset_is_indexed_in_the_users_cache(build, images, monkeypatch, tmp_path, lines):
    import fsspec

    out = build()
    local, _ = lines("search", out, "--image", images / "p05.png", "-k", "5")
    memory = fsspec.filesystem("memory")
    for path in sorted(p for p in out.rglob("*") if p.is_file() and "_index" not in p.parts):
        memory.pipe_file(f"/search-test/{path.relative_to(out)}", path.read_bytes())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    try:
        remote, _ = lines("search", "memory://search-test", "--image", images / "p05.png", "-k", "5")
        assert remote == local
        assert lines("search", "memory://search-test", "red")[0] == lines("search", out, "red")[0]
        assert list((tmp_path / "cache/zcurate/search").rglob(MANIFEST))
        assert not [p for p in memory.find("/search-test") if "/search/" in p]
    finally:
        memory.rm("/search-test", recursive=True)


def test_two_processes_index_at_once(build, zcurate):
    out = build()
    command = [str(Path(sys.executable).parent / "zcurate"), "index", str(out), "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    results = [p.communicate() for p in both]
    assert [p.returncode for p in both] == [0, 0], results
    first, second = (json.loads(o)["vectors"] for o, _ in results)
    assert first == second, "one built it, the other waited and opened it"
    assert not list(index_root(Dataset.open(out)).rglob(".tmp-*"))
