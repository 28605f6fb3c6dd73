"""Sampling plans in a dataset: real stages, inline engine, and the command that compares methods."""

import json

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from zcurate.curation.errors import ConfigError
from zcurate.curation.store import Limit
from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.planned import plan_stages
from zcurate.pipelines.plans import PlanStage, compile_stage, earlier_schemas, with_computed
from zcurate.pipelines.preflight import preflight
from zcurate.pipelines.recipe import build_recipe
from zcurate.pipelines.view import open_view

# Its pictures and models are made once, not once per worker.
pytestmark = pytest.mark.xdist_group("balance_plan")

WORDS = ("cat", "dog", "horse", "bridge", "tower", "apple", "chair", "boat")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """120 pictures with alt texts: animals are common, apples rare."""
    folder = tmp_path_factory.mktemp("plan") / "in"
    folder.mkdir()
    rng = np.random.default_rng(5)
    p = 1 / np.arange(1, len(WORDS) + 1) ** 1.3
    for i in range(120):
        pixels = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)  # nothing that looks like writing
        Image.fromarray(pixels).resize((256 + i % 7, 256)).save(folder / f"{i:03}.png")
        words = rng.choice(WORDS, 2, replace=False, p=p / p.sum())
        (folder / f"{i:03}.txt").write_text(f"a {words[0]} and a {words[1]}")
    return folder


def recipe(source, dataset, balance):
    stages = {
        "profile": {"quality": False},
        "ocr": {},
        "caption": {"engine": "template"},
        "concepts": {},
        "balance": balance,
    }
    return build_recipe(
        {
            "name": "plan",
            "dataset": str(dataset),
            "sources": [{"name": "s", "root": str(source), "kind": "folder"}],
            "stages": stages,
            "report": False,
        },
        "test",
    )


PLAN = {
    "seed": 3,
    "stages": [
        {
            "name": "wide",
            "size": "60%",
            "temperature": 0.3,
            "captions": {"en_long": 2, "en_short": 1},
            "include_placeholders": True,
        },
        {"name": "narrow", "size": 30, "select": "width_px > 257", "order": "complexity"},
        {
            "name": "sft",
            "preset": "sft",
            "size": "20%",
            "captions": {"en_long": 1.0},
            "include_placeholders": True,
        },
    ],
}


@pytest.fixture(scope="module")
def view(source):
    dataset = source.parent / "ds"
    build(recipe(source, dataset, PLAN), BuildOptions(engine="inline"))
    return open_view(str(dataset))


def side_table(view, name):
    stage = next(s for s in view.plan.stages if name in s.bound.spec.side_tables)
    return view.dataset.read(stage.bound.table_path(name), "all")


def test_lists_columns_and_captions_agree(view):
    lists = side_table(view, "plan_samples")
    columns = ["plans.stages", "plans.keep_probability", "profile.width_px", "weights.weight"]
    rows = pa.concat_tables([t for _, t in view.tables(columns)])
    members = dict(zip(rows["sample_id"].to_pylist(), rows["plans.stages"].to_pylist(), strict=True))
    for name in ("wide", "narrow", "sft"):
        part = lists.filter(pa.compute.equal(lists["stage"], name))
        assert part["position"].to_pylist() == list(range(len(part)))
        assert set(part["sample_id"].to_pylist()) == {i for i, s in members.items() if name in s}
    width = dict(zip(rows["sample_id"].to_pylist(), rows["profile.width_px"].to_pylist(), strict=True))
    narrow = lists.filter(pa.compute.equal(lists["stage"], "narrow"))
    assert len(narrow)
    assert all(width[i] > 257 for i in narrow["sample_id"].to_pylist())
    wide = lists.filter(pa.compute.equal(lists["stage"], "wide"))
    assert set(wide["caption"].to_pylist()) == {"en_long", "en_short"}
    assert narrow["caption"].null_count == len(narrow)
    assert np.mean(rows["weights.weight"].to_pylist()) == pytest.approx(1)


def test_rare_concepts_gain(view):
    figures = {(r["stage"], r["when"]): r for r in side_table(view, "plan_figures").to_pylist()}
    for name in ("wide", "narrow", "sft"):
        assert figures[name, "after"]["kl"] < figures[name, "before"]["kl"]
    budgets = [
        r for r in side_table(view, "plan_budgets").to_pylist() if r["stage"] == "wide" and r["feasible"]
    ]
    assert budgets
    for r in budgets:
        assert r["budget"] < 0.5 or r["expected"] == pytest.approx(r["budget"], rel=0.05)


def test_same_plan_same_bytes_and_another_seed_another_sample(view, source, tmp_path):
    build(recipe(source, tmp_path / "ds", PLAN), BuildOptions(engine="inline"))
    again = open_view(str(tmp_path / "ds"))
    assert side_table(again, "plan_samples").equals(side_table(view, "plan_samples"))
    build(recipe(source, tmp_path / "ds", {**PLAN, "seed": 4}), BuildOptions(engine="inline"))
    other = open_view(str(tmp_path / "ds"))
    assert not side_table(other, "plan_samples").equals(side_table(view, "plan_samples"))


def test_compare_command(view, zcurate, tmp_path):
    url = view.dataset.storage.url
    code, out, err = zcurate("balance-compare", url, "--size", "40%", "--json", "--html", tmp_path / "c.html")
    assert code == 0, err
    facts = json.loads(out)
    assert set(facts["methods"]) == {"ours", "uniform", "metaclip", "hierarchical"}
    assert facts["methods"]["ours"]["kl"] <= min(f["kl"] for f in facts["methods"].values()) + 1e-9
    page = (tmp_path / "c.html").read_text()
    assert "<svg" in page
    assert "<script" not in page
    code, out, _ = zcurate("balance-compare", url, "--size", "40%")
    assert code == 0
    assert "feasible" in out
    assert zcurate("balance-compare", url, "--size", "many")[0] == 2


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"name": "a", "select": "widht_px > 3"}, "did you mean"),
        ({"name": "a", "weight": "width_px > 3"}, "number is wanted"),
        ({"name": "a", "size": "lots"}, "size"),
        ({"name": "a", "captions": {"fr_long": 1}}, "fr_long"),
        ({"name": "a", "by": "communities"}, "communities"),
        ({"name": "a", "best_first": ["scores.aesthetic"]}, "scores.aesthetic"),
    ],
)
def test_wrong_plans_are_refused_before_any_data(source, tmp_path, stage, message):
    with pytest.raises(ConfigError, match=message):
        plan_stages(recipe(source, tmp_path / "ds", {"stages": [stage]}), {})


def test_stage_names_are_unique_and_graphs_agree(source, tmp_path):
    with pytest.raises(ConfigError, match="twice"):
        plan_stages(recipe(source, tmp_path / "ds", {"stages": [{"name": "a"}, {"name": "a"}]}), {})
    with pytest.raises(ConfigError, match="same graph"):
        plan_stages(recipe(source, tmp_path / "ds", {"graph": "g", "stages": [{"name": "a"}]}), {})


def test_a_longer_plan_is_estimated_longer(view, source, tmp_path):
    """What a plan takes is not what weighing alone takes, nor what a plan of another length took here."""

    def estimate(dataset, settings):
        found = preflight(recipe(source, dataset, settings), Limit())
        return next(s for s in found.stages if s.stage == "balance")

    plans = [{}, {"stages": PLAN["stages"][1:2]}, {"stages": PLAN["stages"][1:]}]
    seconds = [estimate(tmp_path / "new", p).seconds for p in plans]
    assert seconds == sorted(seconds)
    assert seconds[0] < seconds[1]
    here = source.parent / "ds"
    assert estimate(here, PLAN).measured
    assert not estimate(here, plans[1]).measured


def test_computed_columns():
    table = pa.table(
        {
            "profile.reencode_bpp": pa.array([0.1, 0.5, None], pa.float32()),
            "captions.en_tags": pa.array([["a"], ["a", "b"], None], pa.list_(pa.string())),
            "captions.zh_tags": pa.array([None, ["c"], None], pa.list_(pa.string())),
        }
    )
    made = with_computed(table)
    assert made["plan.elements"].to_pylist() == [1.0, 2.0, None]
    assert made["plan.complexity"].to_pylist()[2] == 0.5
    assert made["plan.complexity"].to_pylist()[0] < made["plan.complexity"].to_pylist()[1]


def test_schema_holds_what_earlier_stages_write(source, tmp_path):
    plan = plan_stages(recipe(source, tmp_path / "ds", {}), {})
    ctx = next(s for s in plan.stages if s.name == "balance").ref.context
    schema = earlier_schemas(ctx)
    assert {"captions.en_long", "profile.width_px", "ocr.text", "plan.complexity"} <= set(schema.names)
    compiled = compile_stage(PlanStage(name="s", preset="sft"), schema)
    assert set(compiled.captions) == {"en_long", "zh_long"}
    assert sum(compiled.captions.values()) == pytest.approx(1)
