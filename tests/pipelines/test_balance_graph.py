"""The stages concepts and balance with a graph, and communities as the second hierarchy."""

import json
from dataclasses import replace
from html import escape

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from zcurate.curation.errors import ConfigError
from zcurate.graph.budgets import Tree
from zcurate.graph.build import Sources
from zcurate.graph.build import build as build_graph
from zcurate.graph.coverage import coverage
from zcurate.graph.store import Graph
from zcurate.pipelines.balancing import tagging_of
from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.recipe import build_recipe
from zcurate.pipelines.report import render_report
from zcurate.pipelines.report.concepts import concept_part
from zcurate.pipelines.report.data import Balance, ConceptShare, ReportData
from zcurate.pipelines.reporting import report_data
from zcurate.pipelines.view import open_view

TAXONOMY = {"cat": "animal", "dog": "animal", "bridge": "building", "tower": "building", "unicorn": "animal"}
TEXTS = ["a cat on a bridge", "a dog", "two dogs and a cat", "a cat", "a tower", "a zeppelin"]


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    lines = [
        f"{a}\t{b}" for a, b in (("cat", "dog"), ("dog", "cat"), ("bridge", "tower"), ("unicorn", "cat"))
    ]
    (folder / "links.tsv").write_text("\n".join(lines) + "\n")
    (folder / "taxonomy.tsv").write_text("\n".join(f"{c}\t{p}" for c, p in TAXONOMY.items()) + "\n")
    build_graph(Sources(lists=(folder / "links.tsv",), taxonomies=(folder / "taxonomy.tsv",)), folder / "g")
    return folder / "g"


def test_concepts_are_nodes_budgets_follow_the_tree_and_the_rest_is_added(graph, tmp_path, zcurate):
    source = tmp_path / "in"
    source.mkdir()
    rng = np.random.default_rng(0)
    for i in range(24):
        blobs = Image.fromarray(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8))  # nothing like writing
        blobs.resize((224, 224)).save(source / f"{i:02}.png")
        (source / f"{i:02}.txt").write_text(TEXTS[i % len(TEXTS)])
    raw = {
        "name": "g",
        "dataset": str(tmp_path / "ds"),
        "sources": [{"name": "s", "root": str(source), "kind": "folder"}],
        "stages": {
            "profile": {},
            "embed": {"model": "embedded"},
            "communities": {"k": 3},
            "ocr": {},
            "caption": {"engine": "template"},
            "concepts": {"graph": str(graph)},
            "balance": {
                "graph": str(graph),
                "stages": [{"name": "a", "size": 12}, {"name": "c", "size": 6, "by": "communities"}],
            },
        },
        "report": False,
    }
    build(build_recipe(raw, "test"), BuildOptions(engine="inline"))
    view = open_view(str(tmp_path / "ds"))
    columns = ["samples.text", "concepts.concepts", "concepts.nodes", "plans.stages"]
    rows = pa.concat_tables([t for _, t in view.tables(columns)]).to_pylist()
    for row in rows:
        wanted = {w for w in TAXONOMY if w in row["samples.text"]}
        assert wanted <= {c.casefold() for c in row["concepts.concepts"]}
        assert len(row["concepts.nodes"]) == len(row["concepts.concepts"])
    stage = next(s for s in view.plan.stages if s.name == "balance")

    def side(name):
        return view.dataset.read(stage.bound.table_path(name), "all").to_pylist()

    budgets = {r["concept"].casefold(): r for r in side("plan_budgets") if r["stage"] == "a"}
    assert {"cat", "dog", "bridge", "tower"} <= set(budgets)
    assert all(r["budget"] <= r["supply"] + 1e-6 for r in budgets.values())
    assert "unicorn" in {r["concept"].casefold() for r in side("voids")}
    assert "unicorn" not in budgets
    page = render_report(report_data(view))
    assert "What the sampling plan covers: stage a" in page
    assert ">unicorn</td>" in page.casefold()
    by_community = [r for r in side("plan_budgets") if r["stage"] == "c"]
    assert all(r["concept"].startswith("community:") for r in by_community)
    assert sum(r["expected"] for r in by_community) == pytest.approx(6, rel=1e-3)

    unmapped = {r["tag"]: r["samples"] for r in side("unmapped")}
    assert unmapped
    assert list(unmapped.values()) == sorted(unmapped.values(), reverse=True)
    add = ("graph-augment", tmp_path / "ds", "--graph", graph, "--author", "tester", "--min-samples", "1")
    code, out, err = zcurate(*add, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["leaves"] == len(unmapped)
    assert facts["attached"] == facts["leaves"] + facts["parents"]
    grown = Graph.open(graph)
    assert all(grown.find(tag) for tag in unmapped)
    # a second time there is nothing left to add, though the graph is another one than the list is of
    code, out, err = zcurate(*add, "--json")
    assert code == 0, err
    again = json.loads(out)
    assert (again["attached"], again["leaves"], again["known"]) == (0, 0, len(unmapped))
    assert Graph.open(graph).n == grown.n
    # the list of another graph says nothing of this one
    other = build_graph(Sources(lists=(graph.parent / "links.tsv",)), tmp_path / "other")
    code, _, err = zcurate(*add[:3], other.path, *add[4:])
    assert code == 1
    assert "run balance" in err

    raw["stages"]["concepts"]["graph"] = str(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"graph\.json is missing"):
        build(build_recipe(raw, "test"), BuildOptions(engine="inline"))


def test_communities_become_a_tree():
    table = pa.table(
        {
            "concepts.concepts": pa.array([["b", "a"], [], None], pa.list_(pa.string())),
            "communities.path": pa.array([[0, 2], [1, 3], None], pa.list_(pa.int32())),
        }
    )
    found = tagging_of([table])
    assert found.names == ("a", "b")
    assert found.concepts.indptr.tolist() == [0, 2, 2, 2]
    assert found.concepts.communities.tolist() == [-1, -1, 0, 1]
    assert found.concepts.community.tolist() == [2, 3, -1]


def test_the_report_shows_what_the_plan_covers(graph, tmp_path):
    """Treemap and tables of the first stage from the side tables alone, escaped, with the graph's tree and without it."""
    nasty = '<script>"&'
    numbers = {
        **coverage(["top", nasty, "b"], Tree.of(np.array([-1, 0, 0])), np.array([0, 30, 10]), voids=[(nasty, 0.2)]),
        "stage": "pretrain",
    }  # fmt: skip
    part = concept_part(numbers)
    assert nasty not in part
    assert part.count(escape(nasty)) >= 3
    assert part.count("<svg") == 2
    balance = Balance((ConceptShare("b", 0.2, 0.3),), 40, 30.0, 2, numbers)
    page = render_report(ReportData(name="n", recipe="r", created="", balance=balance))
    assert "What the sampling plan covers: stage pretrain" in page
    assert nasty not in page
    assert "What the sampling plan covers" not in render_report(
        ReportData(name="n", recipe="r", created="", balance=replace(balance, coverage=None))
    )
