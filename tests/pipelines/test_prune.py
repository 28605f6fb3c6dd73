"""`zcurate prune`: marks samples out of a real dataset by id, rule or community, and takes that back."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from zcurate.curation.errors import DatasetError
from zcurate.curation.store import Dataset
from zcurate.curation.store.overlay import add_decisions, read_overlay
from zcurate.pipelines.pruning import entries
from zcurate.pipelines.searching import open_search

COMMUNITIES = '''
import pyarrow as pa
from pydantic import BaseModel
from zcurate.curation.stage import StageSpec


class Config(BaseModel):
    pass


class Stage:
    """Communities of three by the number in the key; nobody where it is 9 or more."""

    spec = StageSpec(
        name="communities", version=1, reads=("samples.key",),
        outputs={"communities": pa.schema([("path", pa.list_(pa.int32())), ("community", pa.int32())])},
    )

    def setup_node(self):
        pass

    def setup(self):
        pass

    def __call__(self, table, monitor):
        monitor.start(0, max(0, table.num_rows - 1))
        fine = [int(k[1:]) // 3 for k in table["samples.key"].to_pylist()]
        fine = [f if f < 3 else None for f in fine]
        return pa.table({
            "path": pa.array([None if f is None else [f // 2, 10 + f] for f in fine], pa.list_(pa.int32())),
            "community": pa.array([None if f is None else 10 + f for f in fine], pa.int32()),
        })


def build(config, context):
    return Stage()
'''


@pytest.fixture
def dataset(zcurate, tmp_path, monkeypatch):
    """Twelve noise pictures p00..p11, embedded, in communities."""
    package = tmp_path / "zcprune"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "communities.py").write_text(COMMUNITIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [m for m in sys.modules if m.startswith("zcprune")]:
        monkeypatch.delitem(sys.modules, name)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(pixels).resize((240, 180), Image.Resampling.BICUBIC).save(folder / f"p{i:02d}.png")
    raw = {
        "name": "prune",
        "dataset": str(tmp_path / "ds"),
        "rows_per_shard": 5,
        "sources": [{"name": "s", "root": str(folder), "kind": "folder"}],
        "stages": {
            "profile": {},
            "filter": {"rules": {"last": {"drop_if": 'key == "p11"'}}},
            "embed": {},
            "zcprune.communities": {},
        },
        "export": [{"format": "parquet", "out": str(tmp_path / "export")}],
        "report": False,
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(raw))
    code, _, err = zcurate("build", tmp_path / "recipe.yaml", "--engine", "inline")
    assert code == 0, err
    return tmp_path / "ds"


def kept(dataset):
    """Keys of the samples that every decision, people's included, keeps."""
    searcher = open_search(str(dataset))
    rows = np.flatnonzero(searcher.rows.states["kept"])
    return {f["samples.key"] for f in searcher.rows.take(rows, ["samples.key"]).values()}


def ids_of(dataset, *keys):
    searcher = open_search(str(dataset))
    found = searcher.rows.take(range(len(searcher.rows)), ["samples.key"]).values()
    return [f["sample_id"].hex() for f in found if f["samples.key"] in keys]


def keys(*numbers):
    return {f"p{n:02d}" for n in numbers}


def test_by_community_and_back(dataset, zcurate):
    assert kept(dataset) == keys(*range(11))
    code, text, _ = zcurate(
        "prune", dataset, "--community", "11", "--reason", "screenshots", "--dry-run", "--json"
    )
    facts = json.loads(text)
    assert (code, facts["samples"], facts["kept_before"], facts["entry"]) == (0, 3, 3, None)
    assert {e["key"] for e in facts["examples"]} == keys(3, 4, 5)
    assert kept(dataset) == keys(*range(11)), "a dry run changes nothing"
    code, text, _ = zcurate(
        "prune", dataset, "--community", "11", "--reason", "screenshots", "--author", "wang", "--json"
    )
    entry = json.loads(text)["entry"]
    assert kept(dataset) == keys(0, 1, 2, 6, 7, 8, 9, 10)
    (listed,) = entries(str(dataset))
    assert (listed["author"], listed["reason"], listed["samples"], listed["undone"]) == (
        "wang",
        "screenshots",
        3,
        None,
    )
    assert listed["time"].endswith("Z")
    code, text, _ = zcurate("prune", dataset, "--list")
    assert entry in text
    assert "wang: screenshots" in text
    code, text, _ = zcurate("prune", dataset, "--undo", entry, "--author", "li", "--reason", "a mistake")
    assert code == 0
    assert kept(dataset) == keys(*range(11))
    (listed,) = entries(str(dataset))
    assert listed["undone"]["author"] == "li"
    assert listed["undone"]["reason"] == "a mistake"
    code, _, err = zcurate("prune", dataset, "--undo", entry)
    assert code == 2
    assert "no such entry" in err


def test_search_and_builds_honor_it(dataset, zcurate, tmp_path):
    image = tmp_path / "pictures/p04.png"
    code, text, _ = zcurate("search", dataset, "--image", image, "-k", "1", "--json")
    assert json.loads(text)["key"] == "p04"
    zcurate("prune", dataset, "--where", 'key == "p04"', "--reason", "no")
    code, text, _ = zcurate("search", dataset, "--image", image, "-k", "20", "--json")
    found = [json.loads(line)["key"] for line in text.splitlines()]
    assert set(found) == keys(*range(11)) - {"p04"}
    code, text, _ = zcurate("search", dataset, "--image", image, "-k", "1", "--dropped", "--json")
    assert (json.loads(text)["key"], json.loads(text)["kept"]) == ("p04", False)
    code, text, err = zcurate("build", tmp_path / "recipe.yaml", "--engine", "inline", "--json")
    assert code == 0, err
    assert [e["rows"] for e in json.loads(text)["exports"]] == [10]
    (entry,) = entries(str(dataset))
    zcurate("prune", dataset, "--undo", entry["entry"])
    code, text, _ = zcurate("build", tmp_path / "recipe.yaml", "--engine", "inline", "--json")
    assert [e["rows"] for e in json.loads(text)["exports"]] == [11]


def test_by_path_ids_and_rule_together(dataset, zcurate, tmp_path):
    code, text, _ = zcurate(
        "prune", dataset, "--community", "11", "--community", "1", "--reason", "x", "--json"
    )
    assert json.loads(text)["samples"] == 6
    assert kept(dataset) == keys(0, 1, 2, 9, 10)
    ids = tmp_path / "ids.txt"
    ids.write_text("# comment\n" + "\n".join([*ids_of(dataset, "p00", "p03"), "ff" * 16]) + "\n")
    code, text, _ = zcurate(
        "prune", dataset, "--ids", ids, "--where", 'key in ("p01", "p11")', "--reason", "y", "--json"
    )
    facts = json.loads(text)
    assert (facts["samples"], facts["already_pruned"], facts["kept_before"], facts["unknown"]) == (3, 1, 2, 1)
    assert kept(dataset) == keys(2, 9, 10)
    code, text, _ = zcurate("prune", dataset, "--where", 'key == "p00"', "--reason", "again", "--json")
    assert json.loads(text)["entry"] is None, "nothing new, no entry"


def test_undo_takes_back_one_entry_and_nothing_else(dataset, zcurate):
    both = [bytes.fromhex(i) for i in ids_of(dataset, "p00", "p01")]
    store = Dataset.open(dataset)
    first = add_decisions(store, "prune", both, "a", "first").rsplit("/", 1)[-1]
    add_decisions(store, "prune", both[:1], "b", "second")
    add_decisions(store, "takedown", [bytes.fromhex(i) for i in ids_of(dataset, "p02")], "c", "asked for")
    assert zcurate("prune", dataset, "--undo", first)[0] == 0
    assert kept(dataset) == keys(1, *range(3, 11)), "the second prune and the takedown stand"
    assert read_overlay(store).forced == {both[0]: False}


def test_an_undo_appends_and_changes_no_file(dataset, zcurate):
    zcurate("prune", dataset, "--where", 'key == "p00"', "--reason", "x")
    (entry,) = entries(str(dataset))
    path = dataset / "overlay/prune" / f"{entry['entry']}.json"
    before = path.read_bytes()
    assert zcurate("prune", dataset, "--undo", entry["entry"][:12])[0] == 0, "a beginning of the name will do"
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 2
    assert "p00" in kept(dataset)
    assert len(entries(str(dataset))) == 1
    assert zcurate("prune", dataset, "--undo", entry["entry"])[0] == 2, "it is undone already"


def test_what_cannot_be_pruned(dataset, zcurate, tmp_path):
    (tmp_path / "bad.txt").write_text("not an id\n")
    (tmp_path / "none.txt").write_text("# nothing\n")
    cases = {
        (): "give what to prune",
        ("--where", "key == 1", "--reason", "x"): "key",
        ("--where", 'key == "p00"'): "--reason",
        ("--where", 'key == "p00"', "--reason", "  "): "--reason",
        ("--where", 'key == "p00"', "--list"): "or --list",
        ("--community", "77", "--reason", "x"): "nobody is in it",
        ("--community", "-1", "--reason", "x"): "Usage",
        ("--community", "a/b", "--reason", "x"): "Usage",
        ("--ids", tmp_path / "bad.txt", "--reason", "x"): "not a sample id",
        ("--ids", tmp_path / "none.txt", "--reason", "x"): "no ids",
        ("--ids", tmp_path / "absent.txt", "--reason", "x"): "absent.txt",
        ("--undo", "2026"): "no such entry",
        ("--undo", ""): "no such entry",
    }
    for arguments, message in cases.items():
        code, _, err = zcurate("prune", dataset, *arguments)
        assert code == 2, (arguments, err)
        assert message in err, arguments
    assert entries(str(dataset)) == []
    assert "nothing was pruned" in zcurate("prune", dataset, "--list")[1]


def test_a_dataset_without_communities_and_a_damaged_entry(dataset, zcurate, tmp_path):
    raw = json.loads((tmp_path / "recipe.yaml").read_text())
    del raw["stages"]["zcprune.communities"]
    (tmp_path / "recipe.yaml").write_text(json.dumps(raw))
    zcurate("build", tmp_path / "recipe.yaml", "--engine", "inline")
    code, _, err = zcurate("prune", dataset, "--community", "11", "--reason", "x")
    assert code == 1
    assert "no communities" in err
    (dataset / "overlay/prune").mkdir(parents=True)
    (dataset / "overlay/prune/2026.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"2026\.json: not a decision file"):
        entries(str(dataset))
    code, text, _ = zcurate("prune", dataset, "--help")
    assert "xample" in text


def test_what_is_pruned_is_gone_from_a_dataset_without_a_stage_that_decides(dataset, zcurate, tmp_path):
    raw = json.loads((tmp_path / "recipe.yaml").read_text())
    raw |= {"dataset": str(tmp_path / "plain"), "stages": {"profile": {}, "embed": {}}, "export": []}
    (tmp_path / "plain.yaml").write_text(json.dumps(raw))
    plain = tmp_path / "plain"
    assert zcurate("build", tmp_path / "plain.yaml", "--engine", "inline")[0] == 0
    assert zcurate("prune", plain, "--where", 'key == "p03"', "--reason", "x")[0] == 0
    assert kept(plain) == keys(*range(3), *range(4, 12))
    out = tmp_path / "out"
    assert zcurate("export", plain, "--format", "parquet", "--out", out)[0] == 0
    facts = json.loads((out / "export.json").read_text())
    assert dict(map(tuple, facts["funnel"]))["not pruned"] == 11, facts
    (entry,) = entries(str(plain))
    assert zcurate("prune", plain, "--undo", entry["entry"])[0] == 0
    assert kept(plain) == keys(*range(12))
