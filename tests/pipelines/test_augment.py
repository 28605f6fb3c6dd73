"""`zcurate augment`: what a diagnosis says is lacking, found in a pool, checked, previewed, added with provenance."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zcurate.curation.store import Dataset
from zcurate.model.data.shapes.world import COLORS, SHAPES

from .test_diagnose import save, scene

# Its pictures and models are made once, not once per worker.
pytestmark = pytest.mark.xdist_group("augment")

CHECKED = ("--verifier", "shapes", "--engine", "inline", "--json")


def command(*arguments):
    """Run the installed command."""
    program = Path(sys.executable).parent / "zcurate"
    subprocess.run([program, *arguments], check=True, capture_output=True, timeout=240)


def recipe(tmp_path, name, folder):
    path = tmp_path / f"{name}.yaml"
    path.write_text(
        f"name: {name}\ndataset: {tmp_path / name}\nsources: [{{root: {folder}}}]\nreport: false\n"
        "stages: {profile: {quality: false}, embed: {model: embedded}}\n"
    )
    return str(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A dataset without blue stars, and a pool of 200 with 12 of them, one twice, 4 mislabelled, 2 made by a model, 1 known;
    and 3 more whose captions do not say so."""
    tmp_path = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    names = [f"{c} {s}" for c in COLORS for s in SHAPES if (c, s) != ("blue", "star")]
    for i in range(30):
        name = names[int(rng.integers(len(names)))]
        save(tmp_path / "train", f"t{i}", scene(name), caption=f"a {name}")
    known = scene("blue star", "red bar")
    save(tmp_path / "train", "known", known, caption="two things")
    for i in range(180):
        name = names[int(rng.integers(len(names)))]
        save(tmp_path / "pool", f"p{i}", scene(name, "black bar"), caption=f"a {name} and a black bar")
    others = [f"{c} ring" for c in COLORS if c != "blue"] + [
        "green cross",
        "red cross",
        "cyan cross",
        "purple cross",
        "black cross",
    ]
    for i, other in enumerate(others[:12]):
        save(tmp_path / "pool", f"star{i}", scene("blue star", other), caption="a blue star and something")
    save(tmp_path / "pool", "twice", scene("blue star", others[0]), caption="a blue star and something")
    for i, ground in enumerate(("gray", "pink", "beige")):
        save(tmp_path / "pool", f"unnamed{i}", scene("blue star", background=ground), caption="my favorite")
    # a copy of what is found by its name, without one
    save(tmp_path / "pool", "untold", scene("blue star", others[1]), caption="my favorite")
    for i in range(4):
        save(
            tmp_path / "pool",
            f"wrong{i}",
            scene("blue circle", others[i]),
            caption="a blue star and something",
        )
    save(tmp_path / "pool", "copy", known, caption="a blue star and something")
    for i in range(2):
        save(tmp_path / "made", f"made{i}", scene("blue star", "red bar", others[i]), caption="a blue star")
    for name in ("train", "pool"):
        command("build", recipe(tmp_path, name + "_ds", tmp_path / name), "--engine", "inline")
    made = ["ingest", str(tmp_path / "made"), "--out", str(tmp_path / "pool_ds"), "--origin", "model"]
    command(*made)
    return tmp_path


def test_only_what_shows_it_and_is_new_is_accepted_and_nothing_is_added_unasked(zcurate, world, tmp_path):
    arguments = ("augment", str(world / "train_ds"), "--pool", str(world / "pool_ds"), "--concept", "blue star", "--out", str(tmp_path / "a"), *CHECKED)  # fmt: skip
    code, out, err = zcurate(*arguments, "--turns", "1")
    assert code == 0, err
    (done,) = json.loads(out)
    assert len(done["accepted"]) == 12
    assert (tmp_path / "a" / "augment.html").read_text().count("data:image/jpeg") == 12
    # Those without the name are found by the look of the others.
    code, out, err = zcurate(*arguments)
    assert code == 0, err
    (done,) = json.loads(out)
    assert len(done["accepted"]) == 15
    assert done["refused"]["already_there"] == 1
    assert done["refused"]["copy"] >= 1
    assert done["refused"]["not_shown"] >= 4
    assert done["refused"].get("made_by_model", 0) <= 2
    assert (tmp_path / "a" / "augment.html").read_text().count("data:image/jpeg") == 15
    assert len(Dataset.open(str(world / "train_ds")).samples().metas) == 1
    records = [json.loads(x) for x in (tmp_path / "a" / "cycles.jsonl").read_text().splitlines()]
    assert [(r["source"], r["concepts"][0]["accepted"]) for r in records] == [(None, 12), (None, 15)]


def test_without_anyone_who_can_tell_nothing_is_accepted_unless_asked_for(zcurate, world, tmp_path):
    arguments = ["augment", str(world / "train_ds"), "--pool", str(world / "pool_ds"), "--concept", "blue star",
                 "--engine", "inline", "--json", "--out"]  # fmt: skip
    (done,) = json.loads(zcurate(*arguments, str(tmp_path / "a"))[1])
    assert done["accepted"] == []
    assert done["refused"]["cannot_tell"] >= 12
    (done,) = json.loads(zcurate(*arguments, str(tmp_path / "b"), "--unverified", "--per-concept", "5")[1])
    assert len(done["accepted"]) == 5


def test_additions_go_through_the_stages_of_the_dataset_with_provenance(zcurate, world, tmp_path):
    assert zcurate("build", recipe(tmp_path, "ds", world / "train"), "--engine", "inline")[0] == 0
    train = (tmp_path / "ds").rename(tmp_path / "moved")
    arguments = ("augment", str(train), "--pool", str(world / "pool_ds"), "--concept", "blue star", "--out", str(tmp_path / "a"), "--apply", *CHECKED)  # fmt: skip
    # What a preview took without anyone looking is not added by a run that looks.
    preview = [a for a in arguments if a not in ("--apply", "--verifier", "shapes")]
    assert zcurate(*preview, "--unverified")[0] == 0
    assert zcurate(*arguments)[0] == 0
    # As if it had been stopped within the dataset's own stages: the same command ends them.
    last = sorted((train / "embedding").glob("*/*.parquet"))[-1]
    last.unlink()
    code, out, err = zcurate(*arguments)
    assert code == 0, err
    assert last.exists()
    (again,) = json.loads(out)
    assert again["refused"]["already_there"] == 18
    dataset = Dataset.open(str(train))
    rows = []
    for path in sorted((train / "samples").glob("*.parquet")):
        rows += pq.read_table(path, columns=["source", "text", "metadata"]).to_pylist()
    added = [r for r in rows if r["source"].startswith("augment-")]
    assert len(added) == 15
    facts = {r["text"]: json.loads(r["metadata"])["provenance"] for r in added}
    assert {f["pool"] for f in facts.values()} == {str(world / "pool_ds")}
    assert "text: blue star" in facts["a blue star and something"]["queries"]
    assert all(q.startswith("looks like: ") for q in facts["blue star"]["queries"])
    code, out, _ = zcurate("status", str(train), "--json")
    assert code == 0
    assert len(dataset.samples().metas) == 2
    code, out, _ = zcurate("search", str(train), "blue star", "--json")
    assert sum("blue star" in (json.loads(x)["text"] or "") for x in out.splitlines()) == 10


def test_pictures_that_were_away_are_looked_for_again(zcurate, world, tmp_path):
    arguments = ("augment", str(world / "train_ds"), "--pool", str(world / "pool_ds"), "--concept", "blue star", "--out", str(tmp_path / "a"), "--turns", "1", *CHECKED)  # fmt: skip
    (world / "pool").rename(world / "away")
    try:
        (done,) = json.loads(zcurate(*arguments)[1])
        assert (done["accepted"], set(done["refused"])) == (
            [],
            {"unreadable"} | ({"made_by_model"} & set(done["refused"])),
        )
    finally:
        (world / "away").rename(world / "pool")
    (done,) = json.loads(zcurate(*arguments)[1])
    assert len(done["accepted"]) == 12


def test_a_pool_in_a_parquet_file_names_its_pictures_by_what_they_are(zcurate, world, tmp_path):
    files = [world / "pool" / f"{n}.png" for n in ("star1", "star2", "p1", "p2")]
    texts = [json.loads(f.with_suffix(".json").read_text())["caption"] for f in files]
    table = pa.table({"image": [f.read_bytes() for f in files], "caption": texts})
    pq.write_table(table, tmp_path / "pool.parquet")
    assert zcurate("build", recipe(tmp_path, "ds", tmp_path / "pool.parquet"), "--engine", "inline")[0] == 0
    code, out, err = zcurate("augment", str(world / "train_ds"), "--pool", str(tmp_path / "ds"), "--concept", "blue star", "--out", str(tmp_path / "a"), *CHECKED)  # fmt: skip
    assert code == 0, err
    (done,) = json.loads(out)
    assert sorted(f.rsplit(".")[-1] for f in done["accepted"]) == ["png", "png"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to repair"),
        (["--diagnosis", "nowhere"], "no diagnosis"),
    ],
)
def test_wrong_options(zcurate, world, tmp_path, arguments, said):
    code, _, err = zcurate(
        "augment",
        str(world / "train_ds"),
        "--pool",
        str(world / "pool_ds"),
        "--out",
        str(tmp_path / "a"),
        *arguments,
    )
    assert code == 2
    assert said in err
    code, _, err = zcurate(
        "augment", str(world / "train_ds"), "--pool", str(world / "train_ds"), "--concept", "x", "--out", "a"
    )
    assert code == 2
    assert "the same" in err
