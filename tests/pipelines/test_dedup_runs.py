"""Deduplication through the command line: a dataset that grows, other datasets to stay clear of, refused mismatches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from .conftest import group_bytes


def picture(seed, size=240):
    small = np.random.default_rng(seed).integers(0, 255, (6, 6, 3)).astype(np.float32)
    return np.clip(cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def save(folder, name, image, quality=92):
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def recipe(tmp_path, name, images, **dedup):
    stages = {"profile": {"quality": False}, "embed": {}, "dedup": dedup}
    if not dedup.pop("wanted", True):
        del stages["dedup"]
    path = tmp_path / f"{name}.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "name": name,
                "dataset": str(tmp_path / name),
                "sources": [{"root": str(images)}],
                "stages": stages,
                "report": False,
            },
            sort_keys=False,
        )
    )
    return path


def facts_of(dataset):
    record = json.loads(max((Path(dataset) / "_runs").iterdir()).read_text())
    return record["stages"]["dedup"]["facts"]


def rows_of(zcurate, dataset):
    """key -> (reason, keep) of every sample."""
    from zcurate.pipelines.view import open_view

    view, found = open_view(str(dataset)), {}
    for _, table in view.tables(["samples.key", "groups.reason", "groups.keep"]):
        for row in table.to_pylist():
            found[Path(row["samples.key"]).stem] = (row["groups.reason"], row["groups.keep"])
    return found


def test_a_growing_dataset_is_deduplicated_as_a_whole_and_searched_by_its_new_rows(zcurate, tmp_path):
    images = tmp_path / "images"
    for i in range(6):
        save(images, f"p{i}", picture(i))
    save(images, "p0-again", picture(0), 60)
    path = recipe(tmp_path, "ds", images)
    assert zcurate("build", path, "--engine", "inline")[0] == 0
    first = facts_of(tmp_path / "ds")
    assert (first["rows_new"], first["rows_known"], first["dropped"]) == (7, 0, 1)
    save(images, "p3-again", picture(3), 50)
    save(images, "p4-turned", np.ascontiguousarray(picture(4).transpose(1, 0, 2)), 90)
    assert zcurate("build", path, "--engine", "inline")[0] == 0
    second = facts_of(tmp_path / "ds")
    assert (second["rows_new"], second["rows_known"], second["dropped"]) == (2, 7, 3)
    assert second["quantizer"] == first["quantizer"]
    rows = rows_of(zcurate, tmp_path / "ds")
    assert rows["p0-again"] == ("near_duplicate", False)
    assert rows["p3-again"] == ("near_duplicate", False)
    assert rows["p4-turned"] == ("rotated", False)
    assert rows["p1"] == ("unique", True)
    # the kept graph is a cache: without it all is done anew, with the same outcome
    import shutil

    shutil.rmtree(tmp_path / "ds" / "_index")
    assert zcurate("run", "dedup", tmp_path / "ds", "--engine", "inline", "--set", "retrain=1")[0] == 0
    assert facts_of(tmp_path / "ds")["rows_new"] == 9
    assert rows_of(zcurate, tmp_path / "ds") == rows


def test_samples_of_an_evaluation_set_are_kept_out(zcurate, tmp_path):
    for i in range(3):
        save(tmp_path / "eval", f"e{i}", picture(i))
    for i in range(5):
        save(tmp_path / "train", f"t{i}", picture(i + 2), 70)
    evaluation = recipe(tmp_path, "evalset", tmp_path / "eval", wanted=False)
    assert zcurate("build", evaluation, "--engine", "inline")[0] == 0
    path = recipe(tmp_path, "trainset", tmp_path / "train", against=[str(tmp_path / "evalset")])
    assert zcurate("build", path, "--engine", "inline")[0] == 0
    rows = rows_of(zcurate, tmp_path / "trainset")
    assert rows == {"t0": ("in_reference", False)} | {f"t{i}": ("unique", True) for i in range(1, 5)}
    # a reference that grows is looked at again
    save(tmp_path / "eval", "e9", picture(6))
    assert zcurate("build", tmp_path / "evalset.yaml", "--engine", "inline")[0] == 0
    assert zcurate("build", path, "--engine", "inline")[0] == 0
    assert rows_of(zcurate, tmp_path / "trainset")["t4"] == ("in_reference", False)
    code, _, err = zcurate(
        "build", recipe(tmp_path, "lost", tmp_path / "train", against=["nowhere"]), "--engine", "inline"
    )
    assert code != 0
    assert "nowhere" in err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"encoder": "openclip:ViT-B-32/laion2b"}, "embed.model is 'embedded'"),
        ({"keeper": ["aesthetic"]}, "needs group 'scores'"),
        ({"keeper": ["beauty"]}, "use one or more of"),
        ({"threshold": 0.9, "floor": 0.95}, "floor <= threshold"),
        ({"device": "cuda"}, "set mirror: false"),
        ({"device": "tpu"}, "stages.dedup.device"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_any_work(zcurate, tmp_path, settings, said):
    save(tmp_path / "images", "a", picture(1))
    code, _, err = zcurate(
        "build", recipe(tmp_path, "ds", tmp_path / "images", **settings), "--engine", "inline"
    )
    assert code == 2
    assert said in err


@pytest.mark.ray
@pytest.mark.timeout(420)
@pytest.mark.xdist_group("ray")
def test_ray_writes_the_groups_and_communities_of_one_process(tmp_path):
    for i in range(8):
        save(tmp_path / "images", f"p{i}", picture(i))
    save(tmp_path / "images", "p0-again", picture(0), 60)
    written = {}
    for engine in ("inline", "ray"):
        folder = tmp_path / engine
        folder.mkdir()
        path = recipe(folder, "ds", tmp_path / "images")
        settings = yaml.safe_load(path.read_text())
        settings["stages"]["communities"] = {"k": 3}
        path.write_text(yaml.safe_dump(settings, sort_keys=False))
        command = [str(Path(sys.executable).parent / "zcurate"), "build", str(path), "--engine", engine]
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, "RAY_ADDRESS": "local"}, capture_output=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-2_000:]
        written[engine] = group_bytes(folder / "ds")
    assert any(name.startswith("communities/") for name in written["ray"])
    assert any(name.startswith("_tables/communities/") for name in written["ray"])
    assert written["ray"] == written["inline"]
