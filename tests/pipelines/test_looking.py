"""What people ask of a dataset before they change it: columns, names of samples, what a rule would cost, new files."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from zcurate.curation.filters import compile_expression, whatif
from zcurate.curation.store import SourceInfo
from zcurate.pipelines.inspecting import whatif_schema
from zcurate.pipelines.rule_columns import rule_columns
from zcurate.pipelines.sample_names import named_sample
from zcurate.pipelines.source_notes import source_notes
from zcurate.pipelines.view import open_view

RECIPE = """
name: looking
dataset: {ds}
sources:
{sources}
stages:
  profile: {{}}
  filter: {{rules: {{small: {{drop_if: "short_side_px < 200", reason: too small}}}}}}
  embed: {{}}
  scores: {{}}
export:
  - {{format: webdataset, out: {out}}}
"""


def picture(path, seed, size=(320, 240)):
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC).save(path)


def write_recipe(root, *sources):
    lines = "\n".join(f"  - {{root: {root / 'in' / s}}}" for s in sources)
    path = root / "recipe.yaml"
    path.write_text(RECIPE.format(ds=root / "ds", sources=lines, out=root / "out"))
    return path


@pytest.fixture
def built(tmp_path, zcurate):
    """A dataset of two sources, each with a picture of the same name, and what building it printed."""
    for i in range(4):
        picture(tmp_path / "in" / "shop" / f"a{i}.png", i)
        picture(tmp_path / "in" / "web" / "sub" / f"b{i}.png", 10 + i, (150, 120) if i == 0 else (320, 240))
    picture(tmp_path / "in" / "shop" / "same.png", 20)
    picture(tmp_path / "in" / "web" / "same.png", 21)
    code, text, err = zcurate("build", write_recipe(tmp_path, "shop", "web"), "--engine", "inline")
    assert code == 0, err
    return tmp_path / "ds", text


def ids(ds):
    return {
        f"{r['samples.source']}/{r['samples.uri']}": r["sample_id"]
        for _, t in open_view(str(ds)).tables(["samples.source", "samples.uri"])
        for r in t.to_pylist()
    }


def test_samples_go_by_id_first_digits_name_and_path(built, zcurate, tmp_path):
    ds, _ = built
    view, known = open_view(str(ds)), ids(built[0])
    b1 = known["web/sub/b1.png"]
    for name in (b1.hex(), b1.hex()[:9].upper(), "web/sub/b1", "sub/b1", "sub/b1.png", "web/sub/b1.png", str(tmp_path / "in" / "web" / "sub" / "b1.png")):  # fmt: skip
        assert named_sample(view, name) == b1, name
    assert named_sample(view, "shop/same") == known["shop/same.png"]
    assert zcurate("explain", ds, "web/sub/b0")[1].splitlines()[1].startswith("outcome: dropped by")
    code, _, err = zcurate("explain", ds, "same.png")
    assert code == 2
    assert "2 samples are called so" in err
    assert all(known[n].hex() in err for n in ("shop/same.png", "web/same.png"))
    code, _, err = zcurate("explain", ds, "b1")  # a part of a name is no name
    assert (code != 0, "no such sample" in err) == (True, True)
    code, text, _ = zcurate("search", ds, "--id", "shop/a0", "--json")
    found = {json.loads(line)["sample_id"] for line in text.splitlines()}
    assert (code, known["shop/a0.png"].hex() in found, len(found) > 1) == (0, False, True)


def test_names_of_files_do_not_reach_the_terminal_as_they_are(tmp_path, zcurate):
    for folder in ("x", "y"):
        picture(tmp_path / "in" / "shop" / folder / "\x1b[2Jsame.png", 1)
        picture(tmp_path / "in" / "web" / folder / "\x1b[2Jsame.png", 1)
    assert zcurate("build", write_recipe(tmp_path, "shop", "web"), "--engine", "inline")[0] == 0
    code, text, _ = zcurate("whatif", tmp_path / "ds", "--rule", "short_side_px > 1")
    assert (code, "\x1b" in text, "\\x1b[2Jsame" in text) == (0, False, True)
    code, _, err = zcurate("explain", tmp_path / "ds", "x/\x1b[2Jsame")
    assert (code, "\x1b" in err, "2 samples are called so" in err) == (2, False, True)


def test_a_rule_alone_is_no_search(built, zcurate):
    code, _, err = zcurate("search", built[0], "--where", "blur > 0.5")
    assert code == 2
    assert "zcurate whatif" in err


def test_whatif_counts_what_is_kept_today(built, zcurate):
    ds, _ = built
    code, text, _ = zcurate("whatif", ds, "--rule", "short_side_px < 250", "--html", "near.html")
    assert code == 0
    assert "10 of 10 rows (100.0%); 9 of them kept today; 0 without a value" in text
    assert "web: 5 of 5 (100.0%); 4 of them kept today" in text
    marked = [line for line in text.splitlines() if "already out" in line]
    assert [line.split()[-3] for line in marked] == ["web/sub/b0"]
    page = Path("near.html").read_text()
    assert page.count("already out") == 1
    assert ids(ds)["web/sub/b0.png"].hex() in page
    zcurate("prune", ds, "--where", 'key == "same"', "--reason", "test")
    facts = json.loads(zcurate("whatif", ds, "--rule", "short_side_px < 250", "--json")[1])
    assert (facts["matched"], facts["newly"]) == (10, 7)
    assert {e["key"]: e["kept"] for e in facts["examples"]} == {
        **{"a0": True, "a1": True, "a2": True, "a3": True, "same": False},
        **{"sub/b0": False, "sub/b1": True, "sub/b2": True, "sub/b3": True},
    }


def test_columns_are_those_that_rules_may_read(built, zcurate):
    known = {c.column: c for c in rule_columns()}
    assert known["quality.blur"].stages == ("filter", "filter_scores", "filter_tags")
    assert known["scores.aesthetic"].stages == ("filter_scores", "filter_tags")
    assert (known["profile.width_px"].unit, known["metadata.keywords"].kind) == ("px", "list")
    assert all(c.meaning for c in known.values())
    more = {c.column: c for c in rule_columns(str(built[0]))}
    assert set(known) < set(more)
    assert more["embedding.vector"].stages == ()
    # each of them can be asked about, under the name that is printed
    code, text, _ = zcurate("columns", built[0])
    assert code == 0
    names = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
    assert len(names) == len(more)
    view = open_view(str(built[0]))
    there = {*view.plan.paths, "samples", ""}
    for name, column in zip(names, more.values(), strict=True):
        if column.column.rpartition(".")[0] in there:
            rule = f"{name} is null"
            assert compile_expression(rule, whatif_schema(view, rule)).columns


def test_plan_counts_what_a_build_would_ingest(built, zcurate, tmp_path):
    ds, _ = built
    recipe = tmp_path / "recipe.yaml"
    assert "since the last ingest" not in zcurate("plan", recipe)[1]
    before = sorted(p.name for p in (ds / "samples").iterdir())
    for i in range(3):
        picture(tmp_path / "in" / "shop" / f"new{i}.png", 30 + i)
    picture(tmp_path / "in" / "shop" / "a0.png", 40, (400, 300))
    (tmp_path / "in" / "web" / "same.png").unlink()
    code, text, _ = zcurate("plan", recipe)
    assert code == 0
    assert "since the last ingest: 3 new files, 1 changed, 1 gone" in text
    facts = json.loads(zcurate("plan", recipe, "--json")[1])
    assert (facts["new"], facts["changed"], facts["gone"]) == (3, 1, 1)
    assert {s["stage"]: s["rows"] for s in facts["stages"]}["profile"] == 4
    assert sorted(p.name for p in (ds / "samples").iterdir()) == before
    code, text, _ = zcurate("ingest", tmp_path / "in" / "shop", "--out", ds)
    assert "3 new, 1 changed" in text


def test_a_source_that_left_the_recipe_is_named(built, zcurate, tmp_path):
    ds, text = built
    assert "note:" not in text
    recipe = write_recipe(tmp_path, "shop")
    hint = f"zcurate prune {ds} --where 'source == \"web\"'"
    assert hint in zcurate("plan", recipe)[1]
    code, text, _ = zcurate("build", recipe, "--engine", "inline")
    assert (code, hint in text) == (0, True)
    assert hint in json.loads(zcurate("build", recipe, "--engine", "inline", "--json")[1].splitlines()[-1])["notes"][0]  # fmt: skip
    # the command that it gives does what it says
    assert zcurate("prune", ds, "--where", 'source == "web"', "--reason", "left")[0] == 0
    sources = {s for _, t in open_view(str(ds)).selected(["samples.source"]) for s in t["samples.source"].to_pylist()}  # fmt: skip
    assert sources == {"shop"}


def test_sources_within_each_other_are_named():
    def sources(**roots):
        return {n: SourceInfo(n, r, "folder") for n, r in roots.items()}

    notes = source_notes("ds", sources(all="/data", shop="/data/shop/", old="/data2"), {})
    assert notes == ["sources all and shop overlap (/data/shop/ is in /data): the files of both are listed twice"]  # fmt: skip
    assert source_notes("ds", {}, sources(a="/a")) == []


def test_a_stage_alone_says_what_it_leaves_behind(built, zcurate):
    ds, _ = built
    code, text, _ = zcurate("run", "embed", ds, "--engine", "inline")
    assert code == 0
    assert f"stages behind embed were not run (scores): 'zcurate retry {ds}'" in text
    assert "note:" not in zcurate("run", "scores", ds, "--engine", "inline")[1]


def test_an_export_without_text_says_so(built):
    _, text = built
    assert "9 without any text" in text
    assert "zcurate build caption" in text


def test_newly_is_unknown_where_nothing_was_decided():
    table = pa.table({"x": [1, 2, 3, None]})
    assert whatif([table], "x < 3").counts.newly is None
    kept = np.array([True, False, True, True])
    assert whatif([table], "x < 3", kept=lambda t: kept).counts.newly == 1
