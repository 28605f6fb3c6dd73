"""The bundled recipe as a user runs it: photographs and clips in one folder, one command, then export and report."""

from __future__ import annotations

import json

import pyarrow.parquet as pq

from zcurate.curation.store import Dataset
from zcurate.pipelines.edit_tables import pair_sets

from ..curation.clips import encoded
from .test_edits import picture, thing
from .test_video_pairs import moving


def test_one_command_makes_pairs_of_photographs_and_clips(zcurate, tmp_path):
    more, things = tmp_path / "more", tmp_path / "things"
    for i in range(3):
        picture(more / f"{i}.png", i)
        thing(things / "cup" / f"{i}.png", i)
    (more / "a.mp4").write_bytes(encoded(moving(1) + moving(2)))
    (more / "empty.mp4").write_bytes(b"")
    (more / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    values = {
        "photos": more,
        "things": things,
        "subjects": things,
        "more": "",
        "clips": more,
        "out": tmp_path / "ds",
    }
    sets = [a for k, v in values.items() for a in ("--set", f"{k}={v}")]
    quick = ("--set", "stages.edits.texts.ocr=null", "--engine", "inline")
    code, _, err = zcurate("build", "edits", *sets, *quick)
    assert code == 3, err  # the broken ones
    dataset = Dataset.open(str(tmp_path / "ds"))
    names = {
        r["sample_id"]: r["uri"]
        for s in dataset.samples().metas
        for r in dataset.read("samples", s).to_pylist()
    }
    (folder,) = (tmp_path / "ds/clips").iterdir()
    faults = {
        names[r["sample_id"]]: r["_error_class"]
        for s in dataset.samples().metas
        for r in dataset.read(f"clips/{folder.name}", s).to_pylist()
        if r["_status"] == "error"
    }
    assert faults == {"empty.mp4": "EmptyVideoError"}  # pictures are no faulty clips
    (folder,) = (tmp_path / "ds/profile").iterdir()
    profiled = {
        (names[r["sample_id"]], r["_status"])
        for s in dataset.samples().metas
        for r in dataset.read(f"profile/{folder.name}", s).to_pylist()
        if not names[r["sample_id"]].endswith(".png")
    }
    # and clips no faulty pictures
    assert profiled == {("broken.jpg", "error"), ("a.mp4", "not_selected"), ("empty.mp4", "not_selected")}
    made = {
        s.stage: [p for shard in s.shards() for p in s.pairs(shard)] for s in pair_sets(str(tmp_path / "ds"))
    }
    assert {"edits", "video_pairs", "photo_groups"} <= set(made)
    assert all(p["verdict"] == "reject" for p in made["video_pairs"])
    accepted = [p for p in made["edits"] if p["verdict"] == "accept"]
    assert len({t for p in accepted for t in p["types"]}) > 10
    code, out, err = zcurate("edits-report", tmp_path / "ds", "--json")
    assert code == 0, err
    assert json.loads(out)["accept"] == len(accepted)
    code, _, err = zcurate(
        "edits-export", tmp_path / "ds", "--out", tmp_path / "out", "--format", "parquet", "--stage", "sft"
    )
    assert code == 0, err
    table = pq.read_table(
        sorted((tmp_path / "out").glob("pairs-*.parquet")), columns=["types", "group_id", "split"]
    ).to_pylist()
    text = sum(any(t.startswith("text.") for t in r["types"]) for r in table)
    assert text <= 0.1 * len(table)
    splits = {}
    for row in table:
        splits.setdefault(row["group_id"], set()).add(row["split"])
    assert all(len(s) == 1 for s in splits.values())
