"""`zcurate reweight`: what training drew too seldom weighs more in the graph, once per finding, and can be taken back."""

import json

import pytest

from zcurate.graph.build import Sources
from zcurate.graph.build import build as build_graph
from zcurate.graph.store import Graph
from zcurate.pipelines.cycles import noted

from .test_diagnose import PROBE, SHAPES, diagnosis, save, scene

# Its pictures and models are made once, not once per worker.
pytestmark = pytest.mark.xdist_group("reweight")

NAMES = ("red circle", "blue star", "green ring")


def build(zcurate, tmp_path, graph):
    recipe = tmp_path / "train.yaml"
    recipe.write_text(
        f"name: train\ndataset: {tmp_path / 'ds'}\nsources: [{{root: {tmp_path / 'train'}}}]\nreport: false\n"
        "stages:\n  profile: {quality: false}\n  ocr: {}\n  caption: {}\n"
        f"  concepts: {{graph: {graph}}}\n  balance: {{graph: {graph}, stages: [{{name: a, size: 30}}]}}\n"
    )
    code, _, err = zcurate("build", recipe, "--engine", "inline")
    assert code == 0, err


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A balanced dataset of three shapes of which the graph hardly wants one, and a diagnosis of an untrained model."""
    from .test_augment import command

    def zcurate(*arguments):
        command(*map(str, arguments))
        return 0, "", ""

    tmp_path = tmp_path_factory.mktemp("reweight")
    known = (*NAMES, "purple ring")
    (tmp_path / "links.tsv").write_text("".join(f"{a}\t{b}\n" for a in known for b in known if a != b))
    build_graph(Sources(lists=(tmp_path / "links.tsv",)), tmp_path / "g")
    for i in range(20):
        for name in NAMES:
            save(
                tmp_path / "train",
                f"{name} {i}",
                scene(name, "black bar"),
                caption=f"a {name}, picture {i}",
            )
    zcurate("graph", "weight", "blue star", "--set", "0.1", "--graph", tmp_path / "g", "--reason", "test")
    build(zcurate, tmp_path, tmp_path / "g")
    rows = [{"name": n, "prior": 1 / 5} for n in (*known, "cyan cross")]
    (tmp_path / "concepts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    zcurate("diagnose", "s3dit:tiny", "--concepts", tmp_path / "concepts.jsonl", "--dataset", tmp_path / "ds",
            "--out", tmp_path / "d", *SHAPES, *PROBE)  # fmt: skip
    return tmp_path


def shares(folder):
    findings = json.loads((folder / "diagnosis.json").read_text())["findings"]
    return {f["concept"]["name"]: (f["cause"]["name"], f["evidence"]["drawn_share"]) for f in findings}


@pytest.mark.slow
def test_what_is_drawn_too_seldom_is_drawn_more_and_that_can_be_undone(zcurate, found, tmp_path):
    before = shares(found / "d")
    assert before["blue star"][0] == "underweighted"
    assert before["blue star"][1] < 0.5 < before["red circle"][1]
    options = ("reweight", "--diagnosis", found / "d", "--graph", found / "g", "--author", "ann", "--json")
    code, out, err = zcurate(*options)
    assert code == 0, err
    (preview,) = json.loads(out)["weights"]
    assert (preview["concept"], preview["change"]) == ("blue star", None)
    assert preview["proposed"] == pytest.approx(0.1 * min(4, 1 / before["blue star"][1]))
    version = Graph.open(found / "g").version
    code, out, err = zcurate(*options, "--apply")
    assert code == 0, err
    (done,) = json.loads(out)["weights"]
    graph = Graph.open(found / "g")
    assert graph.version == version + 1
    assert graph.weight[graph.resolve("blue star")] == pytest.approx(preview["proposed"])
    (event,) = [e for e in json.loads(zcurate("graph", "log", "--graph", found / "g", "--json")[1])["changes"]
                if e["id"] == done["change"]]  # fmt: skip
    assert event["author"] == "ann"
    assert "times its part of the data" in event["reason"]
    # A finding counts once, however often the command is repeated.
    again = json.loads(zcurate(*options, "--apply")[1])
    assert again["weights"] == []
    assert "done already" in again["refused"]["blue star"]
    assert Graph.open(found / "g").version == version + 1
    build(zcurate, found, found / "g")
    arguments = ("s3dit:tiny", "--concepts", found / "concepts.jsonl", "--dataset", found / "ds")
    diagnosis(zcurate, *arguments, "--out", tmp_path / "d2", "--against", found / "d", *SHAPES, *PROBE)
    assert "weighed blue star by" in (tmp_path / "d2" / "diagnosis.html").read_text()
    assert shares(tmp_path / "d2")["blue star"][1] > 1.5 * before["blue star"][1]
    undo = ("graph", "undo", str(done["change"]), "--graph", found / "g", "--reason", "test")
    assert zcurate(*undo)[0] == 0
    graph = Graph.open(found / "g")
    assert graph.weight[graph.resolve("blue star")] == pytest.approx(0.1)
    assert json.loads(zcurate(*options)[1])["weights"]
    lines = noted(found / "d")
    assert lines[0]["action"] == "diagnose"
    assert {f["concept"]: f["action"] for f in lines[0]["failing"]}["blue star"] == "reweight"
    assert [(x["action"], x["applied"], len(x["concepts"])) for x in lines[1:]] == [
        ("reweight", False, 1), ("reweight", True, 1), ("reweight", True, 0), ("reweight", False, 1),
    ]  # fmt: skip


def test_what_cannot_be_weighed_is_listed_and_the_rest_is_not_lost(zcurate, found):
    named = [x for n in ("cyan cross", "purple ring", "red circle", "blue star") for x in ("--concept", n)]
    options = ("reweight", "--diagnosis", found / "d", "--graph", found / "g", "--json")
    code, out, err = zcurate(*options, *named, "--most", "1.5")
    assert code == 0, err
    done = json.loads(out)
    assert {w["concept"]: round(w["factor"], 2) for w in done["weights"]} == {"blue star": 1.5}
    assert set(done["refused"]) == {"cyan cross", "purple ring", "red circle"}
    assert "does not have it" in done["refused"]["cyan cross"]
    assert "does not say how often" in done["refused"]["purple ring"]
    assert "would not help" in done["refused"]["red circle"]
    # A graph that had no part in the draw is left as it is.
    (found / "other.tsv").write_text("cat\tdog\ndog\tcat\n")
    build_graph(Sources(lists=(found / "other.tsv",)), found / "other")
    code, out, err = zcurate(*options[:3], "--graph", found / "other", "--apply")
    assert (code, "is balanced by another graph" in err) == (2, True), err
    assert Graph.open(found / "other").version == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--concept", "dragon"], 2, "no such finding"),
        (["--most", "0.5"], 2, "1 or more"),
        (["--diagnosis", "nowhere"], 2, "no diagnosis"),
        (["--graph", "nowhere"], 1, "no graph here"),
    ],
)
def test_wrong_options(zcurate, found, arguments, code, said):
    given = {"--diagnosis": found / "d", "--graph": found / "g"} | dict(
        zip(*[iter(arguments)] * 2, strict=True)
    )
    got, _, err = zcurate("reweight", *(x for pair in given.items() for x in pair))
    assert (got, said in err) == (code, True), err
