"""A chat model judging and naming for the graph, over real HTTP."""

import json

import numpy as np
import pytest

from zcurate.captioner.answers import AnswerError
from zcurate.captioner.naming import _checked
from zcurate.curation.errors import ConfigError
from zcurate.graph.build import Sources
from zcurate.graph.build import build as build_graph
from zcurate.graph.cluster_tree import Settings, attach, build_tree
from zcurate.graph.journal import Author
from zcurate.graph.store import Graph
from zcurate.graph.visual_vlm import TextEngine
from zcurate.pipelines.graph_models import ChatAnswers, ChatNamer

from ..captioner.server import Reply

NAMES = ["cat", "dog", "justice", "bridge"]


@pytest.fixture
def graph(tmp_path):
    lines = "\n".join(f"{a}\t{b}" for a in NAMES for b in NAMES if a != b)
    (tmp_path / "links.tsv").write_text(lines + "\n")
    build_graph(Sources(lists=(tmp_path / "links.tsv",)), tmp_path / "g")
    return tmp_path / "g"


def asked(body):
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(p.get("text", "") for p in content)


def verdict(body):
    visual = "no" if "justice" in asked(body) else "yes"
    return Reply(json.dumps({"visual": visual, "reason": "because"}))


def test_prune_asks_a_chat_model_and_no_question_twice(graph, vlm_server, zcurate):
    vlm_server.script = verdict
    arguments = ("graph", "prune", "--graph", graph, "--vlm", vlm_server.engine, "--json")
    code, out, err = zcurate(*arguments)
    assert code == 0, err
    opened = Graph.open(graph)
    kept = {n for n, k in zip(opened.nodes["name"].to_pylist(), opened.kept, strict=True) if k}
    assert kept == {"cat", "dog", "bridge"}
    assert vlm_server.asked == len(NAMES)
    assert zcurate(*arguments)[0] == 0
    assert vlm_server.asked == len(NAMES)


def test_answers_come_in_order_and_a_bad_one_spoils_no_other(vlm_server):
    vlm_server.script = lambda body: (
        Reply("cut", finish_reason="length") if "2" in asked(body) else Reply(asked(body)[::-1])
    )
    engine = ChatAnswers(vlm_server.engine)
    typed: TextEngine = engine
    prompts = [f"question {i}" for i in range(5)]
    assert typed.answers(prompts) == [p[::-1] if "2" not in p else "" for p in prompts]
    assert "test-model" in engine.model


def test_a_model_that_is_not_there_is_named(graph, zcurate):
    code, _, err = zcurate("graph", "prune", "--graph", graph, "--vlm", "template")
    assert code == 2
    assert "answers no questions" in err


def test_parents_are_named_bottom_up_once_and_may_be_taken_back(graph, vlm_server, zcurate):
    rng = np.random.default_rng(0)
    tags = [f"tag {i}" for i in range(12)]
    centers = rng.normal(size=(4, 8)) * 10
    x = np.repeat(centers, 3, axis=0) + rng.normal(size=(12, 8)) * 0.1
    tree = build_tree(tags, x.astype(np.float32), Settings(levels=(4, 2)))
    attach(Graph.open(graph), tree, Author("test", "tree"))
    parents = len(tree.parent) - tree.n_leaves
    members = []

    def name(body):
        members.append(
            json.loads(asked(body).split('<untrusted name="members">\n')[1].split("\n</untrusted>")[0])
        )
        return Reply(json.dumps({"name": f"kind {len(members)}"}))

    vlm_server.script = name
    code, out, err = zcurate("graph", "name-parents", "--graph", graph, "--vlm", vlm_server.engine, "--json")
    assert code == 0, err
    assert json.loads(out)["named"] == json.loads(out)["parents"] == parents
    assert not any("(group)" in m for group in members for m in group)
    assert any(all(m.startswith("kind") for m in group) for group in members), (
        "upper parents see their children's names"
    )
    opened = Graph.open(graph)
    names = opened.nodes["name"].to_pylist()
    assert sum(n.startswith("kind ") for n in names) == parents
    before = vlm_server.asked
    again = json.loads(
        zcurate("graph", "name-parents", "--graph", graph, "--vlm", vlm_server.engine, "--json")[1]
    )
    assert (again["parents"], vlm_server.asked) == (0, before)


def test_a_namer_gives_one_name_or_none(vlm_server):
    vlm_server.script = [Reply(json.dumps({"name": "cats, dogs"})), Reply(json.dumps({"name": " Pets "}))]
    namer = ChatNamer(vlm_server.engine)
    assert namer.name(["cat", "dog"]) == "Pets"
    for empty in ("", "other", "其他"):
        vlm_server.script = Reply(json.dumps({"name": empty}))
        assert namer.name(["cat", "justice"]) == ""
    vlm_server.script = Reply("I cannot", finish_reason="stop")
    assert namer.name(["cat"]) == ""
    vlm_server.script = Reply("no", status=401)
    with pytest.raises(ConfigError, match="auth"):
        namer.name(["cat"])
    with pytest.raises(AnswerError):
        _checked({"name": "x" * 61})
