"""Clips and photo groups through real runs: shots, frames, pairs, errors, and the same bytes on any number of workers."""

import json
import re
from collections import Counter

import numpy as np
import pytest
import yaml
from PIL import Image

from zcurate.curation.edits.tables import PAIRS, VERSIONS
from zcurate.curation.ingest import detect_kind
from zcurate.curation.store import Dataset

from ..captioner.server import Reply, images_of, texts_of
from ..curation.clips import encoded, lettered, scene, thing
from .pictures import captions_of

LINES = ("Where have you been?", "I went to the market.", "Nobody told me so.")


def moving(seed, count=45):
    return [thing(scene(seed), 40 + 5 * n, 120) for n in range(count)]


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.mp4").write_bytes(encoded(moving(1) + moving(2)))
    (folder / "a.txt").write_text("a ball rolls")
    (folder / "inner/b.mkv").write_bytes(
        encoded([lettered(scene(3), LINES[n // 10]) for n in range(30)], container="mkv")
    )
    (folder / "c.webm").write_bytes(encoded(moving(4, 30), container="webm"))
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "one.mp4").write_bytes(encoded(moving(5, 1)))
    (folder / "cut.mkv").write_bytes(encoded(moving(6), container="mkv")[:600])
    (folder / "text.mp4").write_bytes(b"#EXTM3U\nfile:///etc/passwd\n")
    Image.new("RGB", (64, 64)).save(folder / "still.png")
    return folder


def build(zcurate, root, name, source, stages, *arguments, kind=None):
    recipe = {
        "name": name,
        "dataset": str(root / name),
        "rows_per_shard": 3,
        "sources": [{"name": "s", "root": str(source), "license": "CC0", **({"kind": kind} if kind else {})}],
        "stages": stages,
        "report": False,
    }
    (root / f"{name}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return zcurate("build", root / f"{name}.yaml", *arguments)


def read(root, stage):
    """(pairs, versions, funnel, samples, child) of the only child of a stage."""
    (child,) = (root / "_children" / stage).iterdir()
    dataset = Dataset.open(str(child))
    shards = sorted(dataset.samples().metas)
    tables = [
        [row for s in shards for row in dataset.read(t, s).to_pylist()]
        for t in ("_tables/pairs", "_tables/versions", "_tables/funnel", "samples")
    ]
    return (*tables, child)


def test_clips_are_listed_only_as_video(tmp_path, clips):
    assert detect_kind(str(clips)) == "folder"
    (clips / "still.png").unlink()
    assert detect_kind(str(clips)) == "video"


def test_frames_and_pairs_of_clips(zcurate, tmp_path, clips):
    code, out, err = build(
        zcurate,
        tmp_path,
        "v",
        clips,
        {"clips": {}, "video_pairs": {"band": [-1, 1]}},
        "--engine",
        "inline",
        kind="video",
    )
    assert code == 3, err  # quarantined rows
    dataset = Dataset.open(str(tmp_path / "v"))
    samples = {
        r["sample_id"].hex(): r["uri"]
        for s in sorted(dataset.samples().metas)
        for r in dataset.read("samples", s).to_pylist()
    }
    assert "still.png" not in samples.values()
    (folder,) = (tmp_path / "v/clips").iterdir()
    rows = {
        samples[r["sample_id"].hex()]: r
        for s in sorted(dataset.samples().metas)
        for r in dataset.read(f"clips/{folder.name}", s).to_pylist()
    }
    assert {u: r["_error_class"] for u, r in rows.items() if r["_status"] == "error"} == {
        "empty.mp4": "EmptyVideoError",
        "text.mp4": "NotAVideoError",
        "cut.mkv": "EmptyVideoError",
    }
    assert len(rows["a.mp4"]["shots"]) == 2
    assert rows["one.mp4"]["shots"] == []
    pairs, versions, funnel, children, _ = read(tmp_path / "v", "video_pairs")
    assert set(pairs[0]) >= set(PAIRS.names)
    assert set(versions[0]) >= set(VERSIONS.names)
    by_clip = {samples[f["group_id"]]: f for f in funnel}
    assert set(by_clip) == {"a.mp4", "inner/b.mkv", "c.webm", "one.mp4"}
    assert by_clip["a.mp4"]["pairs"] > 4
    assert by_clip["c.webm"]["pairs"] > 0
    assert by_clip["one.mp4"]["candidates"] == 0
    refused = json.loads(by_clip["inner/b.mkv"]["refused"])
    assert refused.get("subtitle_only", 0) >= 2
    assert by_clip["inner/b.mkv"]["pairs"] == 0
    keys = {c["key"]: c for c in children}
    assert set(keys) == {v["key"] for v in versions}
    for pair in pairs:
        assert pair["kind"] == "frames"
        assert pair["target_is_real"]
        assert pair["spec"] is None
        assert {*pair["source_keys"], pair["target_key"]} <= set(keys)
        # Nobody has looked: kept, but not accepted, and no words are made up.
        assert pair["verdict"] == "reject"
        assert pair["reasons"]
        assert pair["instructed_by"] is None
        assert pair["en_short"] is None
        assert pair["zh_long"] is None
    ends = {(p["source_keys"][0], p["target_key"]) for p in pairs}
    assert {(b, a) for a, b in ends} == ends
    assert len({p["pair_id"] for p in pairs}) == len(pairs)
    assert any(p["reasons"] == ["no_instruction"] and p["types"] == ["video.action"] for p in pairs)
    assert all(keys[p["target_key"]]["text"] in (None, "a ball rolls") for p in pairs)
    assert all(len(c["parent_ids"]) == 1 and c["license"] == "CC0" for c in children)


def test_a_band_refuses_by_similarity(zcurate, tmp_path, clips):
    stages = {"clips": {}, "video_pairs": {"band": [0.99999, 1.0]}}
    build(zcurate, tmp_path, "v", clips, stages, "--engine", "inline", kind="video")
    pairs, *_, funnel, children, _ = read(tmp_path / "v", "video_pairs")
    assert not pairs
    assert not children
    assert sum(json.loads(f["refused"]).get("too_different", 0) for f in funnel) > 5


def instructions(body):
    """Three steps as a model would: captions of each picture, an analysis that tells of one thing, an instruction."""
    if len(images_of(body)) == 2:
        items = [{"kind": "attribute", "what": "the ball", "before": "at the left", "after": "at the right"}]
        return Reply(json.dumps({"unchanged": "The ground stays.", "differences": items}))
    if images_of(body):
        wanted = body["response_format"]["json_schema"]["schema"]["properties"]
        answer = {"ocr": []} | captions_of(1)
        return Reply(json.dumps({k: answer[k] for k in wanted}))
    rows = [json.loads(line) for line in re.findall(r"^\{.*\}$", texts_of(body)[-1], re.M)]
    after = rows[0]["after"]
    side = "左边" if "left" in after else "右边"
    return Reply(json.dumps({"en": f"Move the ball so that it is {after}.", "zh": f"把球移到画面的{side}。"}))


def test_a_model_instructs_both_ways(zcurate, tmp_path, clips, vlm_server):
    vlm_server.script = instructions
    for path in clips.iterdir():
        if path.is_file() and path.name != "c.webm":
            path.unlink()
    settings = {
        "band": [-1, 1],
        "engine": vlm_server.engine,
        "revision": "test",
        "most_pairs": 2,
    }
    code, _, err = build(
        zcurate,
        tmp_path,
        "v",
        clips,
        {"clips": {}, "video_pairs": settings},
        "--engine",
        "inline",
        kind="video",
    )
    assert code == 0, err
    pairs, *_ = read(tmp_path / "v", "video_pairs")
    told = [p for p in pairs if p["verdict"] == "accept"]
    assert len(told) == 4
    for pair in told:
        assert pair["instructed_by"].endswith("test (unverified)")
        assert pair["reasons"] == []
        forward = pair["source_keys"][0] < pair["target_key"]
        assert pair["en_short"] == f"Move the ball so that it is at the {'right' if forward else 'left'}."
        assert pair["zh_short"]
        assert pair["en_long"] is None
        code, out, _ = zcurate("describe-pair", tmp_path / "v", "--pair", pair["pair_id"], "--json")
        assert code == 0
        steps = json.loads(out)
        assert steps["source"]["en"] == steps["target"]["en"] == captions_of(1)["en"]["long"]
        assert not steps["source"]["reused"]
        (difference,) = steps["differences"]
        assert difference["after"] == f"at the {'right' if forward else 'left'}"
        assert steps["forward"]["en"] == pair["en_short"]
    asked = len(vlm_server.seen)
    build(
        zcurate,
        tmp_path,
        "v",
        clips,
        {"clips": {}, "video_pairs": settings},
        "--engine",
        "inline",
        kind="video",
    )
    assert len(vlm_server.seen) == asked


def test_stored_captions_of_photographs_are_not_written_again(zcurate, tmp_path, vlm_server):
    vlm_server.script = instructions
    root = tmp_path / "photos"
    (root / "mug").mkdir(parents=True)
    for n in range(2):
        Image.fromarray(thing(scene(50 + n), 100 + 30 * n, 120, 90)).save(root / f"mug/{n}.png")
    model = {"engine": vlm_server.engine, "revision": "test"}
    stages = {
        "profile": {"quality": False},
        "caption": model,
        "photo_groups": model | {"band": [-1, 1]},
    }
    code, _, err = build(zcurate, tmp_path, "p", root, stages, "--engine", "inline")
    assert code == 0, err
    names = Counter(b["response_format"]["json_schema"]["name"] for b in vlm_server.bodies)
    assert names == {"lettering": 2, "captions": 2, "pair_analysis": 1, "pair_instruction": 2}
    pairs, *_ = read(tmp_path / "p", "photo_groups")
    code, out, _ = zcurate("describe-pair", tmp_path / "p", "--pair", pairs[0]["pair_id"], "--json")
    steps = json.loads(out)
    assert steps["source"]["reused"]
    assert steps["target"]["zh"] == captions_of(1)["zh"]["long"]


def test_photographs_of_one_subject_are_paired_within_their_folder(zcurate, tmp_path):
    root = tmp_path / "photos"
    for k, subject in enumerate(("mug", "vase")):
        (root / subject).mkdir(parents=True)
        for n in range(3):
            picture = thing(scene(50 + 10 * k + n), 100 + 30 * n, 120, 90)
            Image.fromarray(picture).save(root / subject / f"{n}.png")
    Image.fromarray(thing(scene(50), 100, 120, 90)).save(root / "mug/copy.png")
    Image.new("RGB", (320, 240)).save(root / "mug/black.png")
    (root / "mug/broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    Image.fromarray(scene(9)).save(root / "alone.png")
    stages = {"profile": {"quality": False}, "photo_groups": {"band": [-1, 1]}}
    code, _, err = build(
        zcurate, tmp_path, "p", root, {**stages}, "--engine", "inline", "--set", "rows_per_shard=100"
    )
    assert code in (0, 3), err
    pairs, versions, funnel, _, _ = read(tmp_path / "p", "photo_groups")
    assert {f["group_id"] for f in funnel} == {v["group_id"] for v in versions}
    assert len(funnel) == 2
    good = [p for p in pairs if p["reasons"] == ["no_instruction"]]
    assert {tuple(p["types"]) for p in good} == {("reference.subject",)}
    # mug: 4 pictures make 6 pairs, one of them of copies; vase: 3; each there and back.
    assert len(good) == 2 * (5 + 3)
    assert any(p["reasons"] == ["near_duplicate"] for p in pairs)
    refused = [json.loads(f["refused"]) for f in funnel]
    assert sum(r.get("black", 0) for r in refused) == 4


def test_a_folder_of_frames_is_a_clip(zcurate, tmp_path):
    root = tmp_path / "frames"
    (root / "take").mkdir(parents=True)
    for n, frame in enumerate(moving(7, 25) + moving(8, 25)):
        Image.fromarray(frame).save(root / f"take/{n:04d}.png")
    stages = {"profile": {"quality": False}, "photo_groups": {"band": [-1, 1], "frame_rate_hz": 10}}
    code, _, err = build(
        zcurate, tmp_path, "f", root, stages, "--engine", "inline", "--set", "rows_per_shard=100"
    )
    assert code == 0, err
    pairs, versions, *_ = read(tmp_path / "f", "photo_groups")
    assert {t for p in pairs for t in p["types"]} == {"video.action"}
    assert all(json.loads(p["scores"])["gap_s"] <= 2.4 for p in pairs)
    assert len(versions) > 3


def test_a_band_upside_down_is_named(zcurate, tmp_path, clips):
    code, _, err = build(
        zcurate,
        tmp_path,
        "v",
        clips,
        {"clips": {}, "video_pairs": {"band": [0.9, 0.5]}},
        "--engine",
        "inline",
        kind="video",
    )
    assert code == 2
    assert "band" in err


@pytest.mark.slow
@pytest.mark.ray
def test_same_bytes_inline_and_on_two_workers(zcurate, tmp_path, clips):
    stages = {"clips": {}, "video_pairs": {}}
    found = []
    for name, arguments in (("one", ("--engine", "inline")), ("two", ())):
        code, _, err = build(zcurate, tmp_path, name, clips, stages, *arguments, kind="video")
        assert code == 3, err
        *tables, child = read(tmp_path / name, "video_pairs")
        archives = {p.name: p.read_bytes() for p in sorted((child / "blobs").glob("*.tar"))}
        found.append((tables[:3], archives, child.name))
    assert found[0] == found[1]
    assert np.sum([len(a) for a in found[0][1].values()]) > 100_000
