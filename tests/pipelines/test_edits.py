"""Stage `edits` through real runs: versions, pairs, the same bytes on any number of workers."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from zcurate.curation.edits.spec import EditSpec, canonical
from zcurate.curation.edits.tables import PAIRS
from zcurate.curation.store import Dataset


def picture(path: Path, seed: int, shape=(192, 256)) -> None:
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(0, 1, (shape[0] // s, shape[1] // s, 3)), shape[::-1]) * s
        for s in (1, 2, 4, 16)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.clip(sum(layers) * 8 + 110, 0, 255).astype(np.uint8))


def thing(path: Path, seed: int) -> None:
    """A red or blue figure on plain ground, in a folder that says what it is."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:160j, -1:1:160j]
    mask = (np.hypot(x / 0.4, y / 0.6) < 1) & ~((np.abs(x + 0.12) < 0.1) & (y < 0))
    color = [(40, 40, 190), (170, 60, 30)][seed % 2]
    rgb = np.where(mask[..., None], np.array(color) * (1 - 0.2 * x)[..., None], (228, 226, 222))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.clip(rgb + rng.normal(0, 1.2, rgb.shape), 0, 255).astype(np.uint8))


@pytest.fixture
def sources(tmp_path):
    for i in range(6):
        picture(tmp_path / "pictures" / "scenes" / f"{i}.png", i)
    for i in range(4):
        thing(tmp_path / "pictures" / "hat" / f"{i}.png", i)
        thing(tmp_path / "things" / ("cup" if i % 2 else "shirt") / f"{i}.png", 10 + i)
    (tmp_path / "pictures" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    cv2.imwrite(str(tmp_path / "pictures" / "tiny.png"), np.zeros((40, 40, 3), np.uint8))
    return tmp_path


def build(zcurate, root: Path, name: str, *arguments: str, **edits) -> Path:
    recipe = {
        "name": "edits",
        "dataset": str(root / name),
        "rows_per_shard": 4,
        "sources": [{"name": "pictures", "root": str(root / "pictures"), "kind": "folder"}],
        "stages": {"profile": {}, "edits": {"sprites": [str(root / "things")], **edits}},
    }
    (root / f"{name}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    code, _, err = zcurate("build", root / f"{name}.yaml", *arguments)
    assert code in (0, 3), err
    (child,) = (root / name / "_children" / "edits").iterdir()
    return child


def read(child: Path):
    dataset = Dataset.open(str(child))
    pairs, versions, bytes_of = [], {}, {}
    for shard in sorted(dataset.samples().metas):
        pairs += dataset.read("_tables/pairs", shard).to_pylist()
        versions |= {v["key"]: v for v in dataset.read("_tables/versions", shard).to_pylist()}
        for row in dataset.read("samples", shard).to_pylist():
            with open(child / row["uri"], "rb") as f:
                f.seek(row["offset"])
                bytes_of[row["key"]] = f.read(row["length"])
    return pairs, versions, bytes_of


def test_every_pair_is_instructed_exact_and_counted(zcurate, sources):
    child = build(zcurate, sources, "one", "--engine", "inline", versions=4, validation_share=0.3)
    pairs, versions, bytes_of = read(child)
    groups = {v["group_id"] for v in versions.values()}
    assert len(groups) == 10  # broken and tiny pictures have none
    dataset = Dataset.open(str(child))
    refused = [r for s in dataset.samples().metas for r in dataset.read("_tables/refused", s).to_pylist()]
    # What cannot be read at all is an error row of `profile`.
    assert [(r["key"], r["error_class"]) for r in refused] == [("tiny", "PictureTooSmallError")]
    assert "40 x 40" in refused[0]["error"]
    assert set(bytes_of) == set(versions)
    for group in groups:
        own = [v for v in versions.values() if v["group_id"] == group and v["state"] is not None]
        left_out = json.loads(next(v["skipped"] for v in own if v["number"] == 0))["by_reason"]
        of_pairs = (
            "degraded_target",
            "geometry_and_more",
            "two_geometries",
            "too_many_changes",
            "unspeakable",
            "same_state",
            "unseen_color",
            "too_many_tones",
            "two_grounds",
            "two_weathers",
            "ambiguous_overlap",
            "style_and_tones",
            "unseen_change",
        )
        found = sum(p["group_id"] == group and p["kind"] != "reference" for p in pairs)
        found += sum(left_out.get(k, 0) for k in of_pairs)
        assert found == len(own) * (len(own) - 1)
        assert len({p["split"] for p in pairs if p["group_id"] == group}) <= 1
    accepted = [p for p in pairs if p["verdict"] == "accept"]
    assert len(accepted) > 0.9 * len(pairs)
    assert {"object.add", "object.remove"} & {t for p in accepted for t in p["types"]}
    for pair in accepted:
        if pair["kind"] == "reference":
            continue
        source, target = (
            json.loads(versions[k]["state"]) for k in (pair["source_keys"][0], pair["target_key"])
        )
        assert canonical(dict(EditSpec.from_json(pair["spec"]).apply(source))) == canonical(target)
        assert pair["target_is_real"] == (target == {})
        assert pair["en_short"].endswith(".")
        assert pair["zh_long"].endswith("。")
        one, other = (
            cv2.imdecode(np.frombuffer(bytes_of[k], np.uint8), 1)
            for k in (pair["source_keys"][0], pair["target_key"])
        )
        assert all(side % 16 == 0 for side in (*one.shape[:2], *other.shape[:2]))
        if pair["mask_keys"] and one.shape == other.shape and "geometry" not in pair["spec"]:
            mask = np.zeros(one.shape[:2], bool)
            for key in pair["mask_keys"]:
                mask |= cv2.imdecode(np.frombuffer(versions[key]["mask"], np.uint8), 0) > 127
            assert not ((cv2.absdiff(one, other).max(axis=2) > 3) & ~mask).any()
        if pair["outside_psnr_db"] is not None:
            assert pair["outside_psnr_db"] >= 45
    assert set(pairs[0]) == set(PAIRS.names)


@pytest.mark.slow
@pytest.mark.ray
def test_same_bytes_inline_and_on_two_workers(zcurate, sources):
    settings = {"texts": {"ocr": None, "weight": 1}, "encoder": "embedded"}
    first = build(zcurate, sources, "inline", "--engine", "inline", **settings)
    second = build(zcurate, sources, "ray", **settings)
    assert first.name == second.name
    for path in sorted(
        p for p in first.rglob("*") if p.is_file() and p.name != "dataset.json" and "_sources" not in p.parts
    ):
        other = second / path.relative_to(first)
        if path.suffix == ".tar":
            assert path.read_bytes() == other.read_bytes()
    for a, b in zip(read(first), read(second), strict=True):
        assert a == b
    assert any("text/" in (v["state"] or "") for v in read(first)[1].values())


def test_a_missing_folder_of_sprites_is_named(zcurate, sources):
    recipe = sources / "bad.yaml"
    recipe.write_text(
        yaml.safe_dump(
            {
                "name": "bad",
                "dataset": str(sources / "bad"),
                "sources": [{"name": "p", "root": str(sources / "pictures"), "kind": "folder"}],
                "stages": {"profile": {}, "edits": {"sprites": [str(sources / "nowhere")]}},
            }
        )
    )
    code, _, err = zcurate("build", recipe, "--engine", "inline")
    assert code == 2
    assert "nowhere" in err
