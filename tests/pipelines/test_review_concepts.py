"""Corrected tags on their way to concepts, the balance and the graph: of corrected samples alone, and back again."""

import json
from collections import Counter

import pyarrow as pa
import pytest
from PIL import Image

from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.overlay import read_corrections
from zcurate.curation.active.review.states import CORRECT, UNDO
from zcurate.graph.build import Sources
from zcurate.graph.build import build as build_graph
from zcurate.graph.store import Graph
from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.recipe import build_recipe
from zcurate.pipelines.reviewing import ReviewOptions, prepare
from zcurate.pipelines.view import open_view

from ..curation.review_cases import said
from .review_site import CAPTIONS

SHOWN = ["cat", "cat", "cat", "dog", "dog", "bridge", "bridge", "cat"]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """(raw recipe, dataset, graph): eight pictures captioned with one tag each, two shards, a sampling plan by a graph."""
    names = ["cat", "dog", "bridge", "puppy"]
    (tmp_path / "links.tsv").write_text("".join(f"{a}\t{b}\n" for a in names for b in names if a != b))
    build_graph(Sources(lists=(tmp_path / "links.tsv",)), tmp_path / "g")
    (tmp_path / "zcreview").mkdir()
    (tmp_path / "zcreview" / "__init__.py").write_text("")
    (tmp_path / "zcreview" / "captions.py").write_text(CAPTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, name in enumerate(SHOWN):
        Image.new("RGB", (256, 256), (20 * i, 90, 200 - 20 * i)).save(folder / f"p{i}.png")
        given = {"en_long": f"A {name}, number {i}.", "en_tags": [name], "zh_tags": []}
        (folder / f"p{i}.json").write_text(json.dumps(given))
    raw = {
        "name": "r", "dataset": str(tmp_path / "ds"), "rows_per_shard": 4, "report": False,
        "sources": [{"name": "s", "root": str(folder), "kind": "folder"}],
        "stages": {
            "profile": {"quality": False},
            "filter": {"rules": {"none": {"drop_if": "short_side_px < 1"}}},
            "ocr": {},
            "zcreview.captions": {},
            "concepts": {"graph": str(tmp_path / "g"), "texts": False},
            "balance": {"graph": str(tmp_path / "g"), "stages": [{"name": "a", "size": 4, "captions": {"en_short": 1}}]},
        },
    }  # fmt: skip
    return raw, tmp_path / "ds", tmp_path / "g"


def built(raw):
    """Rows computed by stage."""
    outcome = build(build_recipe(raw, "test"), BuildOptions(engine="inline"))
    assert outcome.result.complete
    return {name: t.rows_computed for name, t in outcome.result.tallies.items()}


def concepts(dataset):
    """Key -> (concepts, unmapped, weight)."""
    columns = ["samples.key", "concepts.concepts", "concepts.unmapped", "weights.weight"]
    rows = pa.concat_tables([t for _, t in open_view(str(dataset)).tables(columns)]).to_pylist()
    return {
        r["samples.key"]: (r["concepts.concepts"], r["concepts.unmapped"], r["weights.weight"]) for r in rows
    }


def supply(dataset):
    view = open_view(str(dataset))
    stage = next(s for s in view.plan.stages if s.name == "balance")
    rows = view.dataset.read(stage.bound.table_path("plan_budgets"), "all").to_pylist()
    return Counter({r["concept"].casefold(): r["supply"] for r in rows})


def test_corrected_tags_are_counted_and_taken_back(site, zcurate, tmp_path):
    raw, dataset, graph = site
    built(raw)
    before = concepts(dataset)
    assert [c.casefold() for c in before["p0"][0]] == ["cat"]
    assert supply(dataset)["cat"] == 0  # nobody has the caption that the plan asks for
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        prepare(str(dataset), ReviewOptions(), log)
        tasks = {t.context["key"]: t for t in log.tasks()}
        given = [
            said(tasks["p0"].id, CORRECT, fields={"en_tags": ["puppy", "zeppelin"], "en_short": "A puppy."}),
            said(tasks["p5"].id, CORRECT, fields={"en_long": "A bridge of stone."}),
            said(tasks["p6"].id, CORRECT, fields={"en_tags": ["bridge", "Zeppelin", "gondola"]}),
        ]
        log.append(given)
    code, out, err = zcurate("review-apply", dataset, "--graph", graph, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert (facts["corrected"], facts["retagged"]) == (3, 2)
    assert facts["unknown_tags"] == {"zeppelin": 2, "gondola": 1}
    listed = dataset / "_review/unknown_tags.tsv"
    assert listed.read_text() == "zeppelin\t2\ngondola\t1\n"

    # Only rows with other tags are mapped anew; nothing before them runs.
    ran = built(raw)
    assert {n for n, rows in ran.items() if rows} == {"concepts", "balance"}
    assert ran["concepts"] == 2
    after = concepts(dataset)
    assert {k: v[:2] for k, v in after.items() if k not in ("p0", "p6")} == {
        k: v[:2] for k, v in before.items() if k not in ("p0", "p6")
    }
    assert ([c.casefold() for c in after["p0"][0]], after["p0"][1]) == (["puppy"], ["zeppelin"])
    # The plan sees the caption that a person wrote: the only sample with a short one.
    assert {k for k, v in after.items() if v[2] > 0} == {"p0"}
    assert supply(dataset)["puppy"] == 1
    assert {n for n, rows in built(raw).items() if rows} == set()

    # The proposal itself stays what it was, so a person sees what was proposed.
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        assert prepare(str(dataset), ReviewOptions(), log)["new"] == 0
        assert log.task(tasks["p0"].id).fields["en_tags"] == ("cat",)

    # Tags that the graph lacks become concepts, and are found in the samples.
    grow = ("graph-augment", dataset, "--graph", graph, "--author", "ann", "--min-samples", "2")
    code, out, err = zcurate(*grow, "--tags", listed, "--json")
    assert code == 0, err
    assert json.loads(out)["leaves"] == 1
    assert Graph.open(graph).find("zeppelin")
    built(raw)
    assert {c.casefold() for c in concepts(dataset)["p6"][0]} == {"bridge", "zeppelin"}
    assert concepts(dataset)["p6"][1] == ["gondola"]

    # Taken back on the page, taken back everywhere.
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        log.append([said(d.task_id, UNDO, undoes=d.id) for d in given])
    code, out, err = zcurate("review-apply", dataset, "--graph", graph, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert (facts["retagged"], facts["unknown_tags"]) == (2, {})
    assert not read_corrections(open_view(str(dataset)).dataset)
    assert built(raw)["concepts"] == 2
    assert {k: v[:2] for k, v in concepts(dataset).items()} == {k: v[:2] for k, v in before.items()}


def test_without_a_correction_nothing_runs_again(site, zcurate):
    raw, dataset, _ = site
    built(raw)
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        prepare(str(dataset), ReviewOptions(), log)
        (one, *_) = log.tasks()
        log.append([said(one.id, CORRECT, fields={"zh_short": "一张照片。"})])
    assert zcurate("review-apply", dataset)[0] == 0
    # A text that no concept is taken from makes no row run; what reads other texts of the sample looks again.
    assert built(raw)["concepts"] == 0


@pytest.mark.parametrize(
    ("text", "said_"), [("cat\tmany\n", "line 1"), (None, "cannot be read")], ids=["number", "absent"]
)
def test_lists_of_tags_are_checked(site, zcurate, tmp_path, text, said_):
    raw, dataset, graph = site
    file = tmp_path / "tags.tsv"
    if text is not None:
        file.write_text(text)
    code, _, err = zcurate("graph-augment", dataset, "--graph", graph, "--author", "a", "--tags", file)
    assert (code, said_ in err) == (2, True), err
