"""Pairs exported and read back with the libraries that trainers use."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from zcurate.pipelines.edit_tables import pair_sets

from .test_edits import build, sources  # noqa: F401 - a fixture


@pytest.fixture
def pairs(zcurate, sources):  # noqa: F811
    """The dataset of a build, and its pairs by id."""
    build(zcurate, sources, "ds", "--engine", "inline", versions=3, validation_share=0.3)
    root = sources / "ds"
    (made,) = pair_sets(str(root))
    rows = [(shard, row) for shard in made.shards() for row in made.pairs(shard)]
    return root, made, {row["pair_id"]: (shard, row) for shard, row in rows}


def accepted(pairs) -> dict:
    return {i: row for i, (_, row) in pairs[2].items() if row["verdict"] == "accept"}


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_webdataset_holds_every_accepted_pair(zcurate, pairs, tmp_path):
    import webdataset

    root, made, known = pairs
    out = tmp_path / "out"
    arguments = ("edits-export", root, "--out", out, "--rows-per-shard", "40", "--task-balance", "1")
    code, _, err = zcurate(*arguments)
    assert code == 0, err
    wanted = accepted(pairs)
    found = {}
    for shard in sorted(out.glob("*.tar")):
        for sample in webdataset.WebDataset(str(shard), shardshuffle=False, empty_check=False):
            facts = json.loads(sample["json"])
            found[facts["pair_id"]] = facts
            place, row = known[facts["pair_id"]]
            reader = made.reader(place)
            given = [sample[f"source{i}.png"] for i in range(len(row["source_keys"]))]
            assert f"source{len(given)}.png" not in sample
            assert given == [reader.read(k) for k in row["source_keys"]]
            assert sample["target.png"] == reader.read(row["target_key"])
            assert facts["source_sha256"] == [hashlib.sha256(s).hexdigest() for s in given]
            assert facts["target_sha256"] == hashlib.sha256(sample["target.png"]).hexdigest()
            assert ("mask.png" in sample) == (facts["mask_sha256"] is not None)
            for name in (
                "en_short",
                "en_long",
                "zh_short",
                "zh_long",
                "types",
                "spec",
                "group_id",
                "target_is_real",
            ):
                assert facts[name] == row[name]
    assert set(found) == set(wanted)
    assert len(list(out.glob("*.tar"))) > 1
    weights = {i: f["weight"] for i, f in found.items()}
    assert np.mean(list(weights.values())) == pytest.approx(1)
    # Fully balanced: pairs of one type only weigh as the inverse of how many pairs have it.
    count = {t: sum(t in f["types"] for f in found.values()) for f in found.values() for t in f["types"]}
    single = [(f["weight"], count[f["types"][0]]) for f in found.values() if len(f["types"]) == 1]
    assert np.ptp([w * n for w, n in single]) < 1e-9
    assert len({n for _, n in single}) > 2
    before = hashes(out)
    assert zcurate(*arguments)[0] == 0
    assert hashes(out) == before
    record = json.loads((out / "export.json").read_bytes())
    assert record["sampling"]["shares"]["sft"] == {"text_to_image": 0.8, "image_to_image": 0.2}
    assert record["exported"]["pairs"] == len(wanted)


def test_parquet_is_read_by_datasets(zcurate, pairs, tmp_path):
    import datasets

    root, made, known = pairs
    out = tmp_path / "out"
    code, _, err = zcurate(
        "edits-export", root, "--out", out, "--format", "parquet", "--split", "train", "--mix", "sft=3:1"
    )
    assert code == 0, err
    files = sorted(str(p) for p in out.glob("pairs-*.parquet"))
    data = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    wanted = {i for i, row in accepted(pairs).items() if row["split"] == "train"}
    assert 0 < len(wanted) < len(accepted(pairs))
    assert {row["pair_id"] for row in data.select_columns(["pair_id"])} == wanted
    masked = 0
    for row in data.select(range(0, len(data), 5)):
        place, stored = known[row["pair_id"]]
        version = made.versions(place)[stored["target_key"]]
        assert row["target"].size == (version["width_px"], version["height_px"])
        assert len(row["sources"]) == len(stored["source_keys"])
        assert row["mask"] is None or set(np.unique(np.asarray(row["mask"].convert("L")))) <= {0, 255}
        masked += row["mask"] is not None
        assert row["types"] == stored["types"]
    assert masked
    raw = pq.read_table(files[0], columns=["target", "target_sha256"]).to_pylist()
    assert all(hashlib.sha256(r["target"]["bytes"]).hexdigest() == r["target_sha256"] for r in raw)
    assert json.loads((out / "export.json").read_bytes())["sampling"]["shares"] == {
        "sft": {"text_to_image": 0.75, "image_to_image": 0.25}
    }


def test_a_removed_picture_takes_its_pairs_with_it(zcurate, pairs, sources, tmp_path):  # noqa: F811
    root, made, known = pairs
    group = next(row["group_id"] for _, row in known.values())
    (tmp_path / "ids.txt").write_text(group)
    code, _, err = zcurate(
        "remove", root, "--ids", tmp_path / "ids.txt", "--reason", "asked", "--author", "me"
    )
    assert code == 0, err
    assert not [row for shard in made.shards() for row in made.pairs(shard) if row["group_id"] == group]
    build(zcurate, sources, "ds", "--engine", "inline", versions=3, validation_share=0.3)
    assert zcurate("edits-export", root, "--out", tmp_path / "out", "--format", "parquet")[0] == 0
    table = pq.read_table(sorted((tmp_path / "out").glob("pairs-*.parquet"))[0], columns=["group_id"])
    groups = set(table["group_id"].to_pylist())
    assert group not in groups
    assert groups == {row["group_id"] for row in accepted(pairs).values()} - {group}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--format", "zip"), "webdataset or parquet"),
        (("--split", "test"), "train or validation"),
        (("--task-balance", "2"), "0 (as they are) to 1"),
        (("--mix", "sft"), "STAGE=RATIO"),
    ],
)
def test_wrong_options_are_named(zcurate, pairs, tmp_path, arguments, said):
    code, _, err = zcurate("edits-export", pairs[0], "--out", tmp_path / "out", *arguments)
    assert code == 2
    assert said in err


def test_a_dataset_without_pairs_is_refused(zcurate, tmp_path):
    code, _, err = zcurate("edits-export", tmp_path, "--out", tmp_path / "out")
    assert code == 1
    assert "no dataset here" in err
