"""Added concepts, weights, prompts, undo, changelog, new versions: append-only and attributable."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.graph import journal
from zcurate.graph.build import Sources, build
from zcurate.graph.categories import is_acyclic
from zcurate.graph.errors import GraphError
from zcurate.graph.journal import Author
from zcurate.graph.prompts import add_prompts, count_prompts, read_prompts
from zcurate.graph.prune import Settings, prune
from zcurate.graph.show import show
from zcurate.graph.store import Graph
from zcurate.graph.upkeep import NewConcept, add_concepts, log, rename, set_weight, undo

from .dump_text import write_dump

ME = Author("lin", "trending", "2026-05-01")


def dump(folder, date="20240501", extra=()):
    pages = [
        (1, 0, "Cat", 0),
        (2, 0, "Dog", 0),
        (3, 0, "Golden_Gate_Bridge", 0),
        (4, 0, "Bridge", 0),
        (5, 0, "Kitty", 1),
        (6, 14, "Animals", 0),
        (7, 0, "熊貓", 0),
        (8, 0, "The", 0),
        *extra,
    ]
    return write_dump(
        folder,
        pages,
        links=[(1, 0, "Dog"), (2, 0, "Cat"), (4, 0, "Golden_Gate_Bridge")],
        redirects=[(5, 0, "Cat", "", "")],
        props=[(1, "wikibase_item", "Q146"), (2, "wikibase_item", "Q144")],
        members=[(1, "Animals")],
        date=date,
    )


@pytest.fixture
def path(tmp_path):
    build(Sources(dumps=((dump(tmp_path / "dump"), "en"),)), tmp_path / "kg")
    return tmp_path / "kg"


def only(graph, name):
    (node,) = graph.find(name)
    return node


def test_added_concepts(path):
    graph = Graph.open(path)
    animals = only(graph, "animals")
    new = [
        NewConcept("Labubu", "en", "https://example.org/1", (("拉布布", "zh", "user"),), (animals,)),
        NewConcept("Labubu 2", "en", "https://example.org/1", (), (graph.n,)),
    ]
    first, second = add_concepts(graph, new, ME)
    after = Graph.open(path)
    assert (first, second, after.n) == (graph.n, graph.n + 1, graph.n + 2)
    assert after.find("拉布布") == after.find("LABUBU") == [first]
    assert after.parents(second) == [first]
    assert first in after.children(animals)
    assert after.labels([first, second]) == ["Labubu", "Labubu 2"]
    assert after.hierarchy().parent[second] == first
    assert is_acyclic(*after.csr("is_a"))
    assert after.csr("hyperlink")[0][-1] == graph.csr("hyperlink")[0][-1]
    assert [e["author"] for e in log(after)] == ["lin", "lin"]
    assert [e["date"] for e in log(after)] == ["2026-05-01"] * 2
    undo(after, 1, ME)
    gone = Graph.open(path)
    assert gone.find("labubu") == []
    assert not gone.kept[first]
    assert gone.kept[second]
    assert gone.n == after.n  # numbers are never used again
    assert gone.version == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": " "},
        {"origin": ""},
        {"kind": "thing"},
        {"parents": (99,)},
        {"parents": (-1,)},
    ],
)
def test_wrong_concepts_leave_nothing_behind(path, wrong):
    good = {"name": "X", "lang": "en", "origin": "me"}
    with pytest.raises(GraphError):
        add_concepts(Graph.open(path), [NewConcept(**good), NewConcept(**(good | wrong))], ME)
    assert Graph.open(path).version == 1
    for nobody in (("", "why"), ("me", " ")):
        with pytest.raises(GraphError, match="author and a reason"):
            Author(*nobody)
    with pytest.raises(GraphError, match="ISO 8601"):
        Author("me", "why", "May")


def test_weights_and_undo(path):
    cat = only(Graph.open(path), "cat")
    first = set_weight(Graph.open(path), cat, 3.0, ME)
    second = set_weight(Graph.open(path), cat, 0.0, ME)
    assert Graph.open(path).weight[cat] == 0
    third = undo(Graph.open(path), second, ME)
    assert Graph.open(path).weight[cat] == 3
    undo(Graph.open(path), first, ME)
    assert (Graph.open(path).weight == 1).all()
    undo(Graph.open(path), third, ME)  # an undo is taken back as any change
    assert Graph.open(path).weight[cat] == 0
    with pytest.raises(GraphError, match="undone already"):
        undo(Graph.open(path), first, ME)
    with pytest.raises(GraphError, match="no change number 99"):
        undo(Graph.open(path), 99, ME)
    for wrong in (-1, math.nan, math.inf):
        with pytest.raises(GraphError):
            set_weight(Graph.open(path), cat, wrong, ME)
    assert [e["undone"] for e in log(Graph.open(path))] == [True, False, True, False, False]
    assert Graph.open(path).version == 6


def test_a_new_name_keeps_the_old_one_as_an_alias(path):
    node = only(Graph.open(path), "animals")
    rename(Graph.open(path), node, "Living beings", "en", "model x", ME)
    graph = Graph.open(path)
    assert graph.labels([node]) == ["Living beings"]
    assert graph.find("animals") == graph.find("living beings") == [node]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20)), max_size=20))
def test_standing_is_a_fold_over_the_journal(steps):
    """Against the plain meaning: an event stands unless a standing undo names it."""
    events = []
    for i, (is_undo, target) in enumerate(steps, 1):
        if is_undo and target < i:
            events.append({"id": i, "event": "undo", "of": target})
        else:
            events.append({"id": i, "event": "weight"})
    undoers = {
        e["id"]: [u["id"] for u in events if u["event"] == "undo" and u["of"] == e["id"]] for e in events
    }

    def stands(i):
        return not any(stands(u) for u in undoers[i])

    assert [e["id"] for e in journal.standing(events)] == [
        e["id"] for e in events if e["event"] != "undo" and stands(e["id"])
    ]


def test_a_torn_line_is_passed_over_and_replaced(path):
    set_weight(Graph.open(path), 0, 2.0, ME)
    file = path / "changes.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"id": 2, "event": "wei')
    assert Graph.open(path).weight[0] == 2
    set_weight(Graph.open(path), 1, 5.0, ME)
    assert file.read_bytes().startswith(whole)
    assert [json.loads(line)["id"] for line in file.read_bytes().splitlines()] == [1, 2]
    file.write_bytes(b"garbage\n" + file.read_bytes())
    with pytest.raises(GraphError, match=r"changes\.jsonl, line 1"):
        _ = Graph.open(path).version


PROMPTS = [
    "a Cat and a dog on the Golden Gate Bridge",
    "two KITTIES",
    "cat",
    "一只可爱的熊猫",
    "the 1987",
    "",
]


def test_prompts_name_concepts_by_the_longest_alias(path):
    graph = Graph.open(path)
    counts = count_prompts(graph, PROMPTS)
    found = dict(zip(graph.labels(counts.nodes.tolist()), counts.counts.tolist(), strict=True))
    # "Bridge" is inside a longer name; "The" is a page, but no concept anybody asks for.
    assert found == {"Cat": 3, "Dog": 1, "Golden Gate Bridge": 1, "熊貓": 1}
    assert (counts.prompts, counts.matched) == (6, 4)


def test_prompt_weights_follow_the_formula(path, tmp_path):
    for i, lines in enumerate((PROMPTS[:-1], ["dog"] * 5)):
        file = tmp_path / f"p{i}.txt"
        file.write_text("\n".join(lines), encoding="utf-8")
        add_prompts(Graph.open(path), file, ME, strength=0.5)
    graph = Graph.open(path)
    for name, count in (("Cat", 3), ("Dog", 6), ("Bridge", 0), ("熊猫", 1)):
        expected = 1 + 0.5 * math.log(1 + 1000 * count / 10)
        assert graph.weight[only(graph, name)] == pytest.approx(expected)
    with pytest.raises(GraphError, match="counted already"):
        add_prompts(graph, tmp_path / "p0.txt", ME)
    prune(graph, Settings(quantile=0.9), ME)
    graph = Graph.open(path)
    assert graph.kept[[only(graph, n) for n in ("Cat", "Dog", "熊猫")]].all()
    undo(graph, 1, ME)
    graph = Graph.open(path)
    assert graph.weight[only(graph, "Dog")] == pytest.approx(1 + 0.5 * math.log(1001))
    assert graph.weight[only(graph, "Cat")] == 1


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("p.txt", "one\n\ntwo\n", ["one", "two"]),
        ("p.jsonl", '{"prompt": "one"}\n"two"\n{"id": 1, "text": "three"}\n', ["one", "two", "three"]),
        ("p.tsv", "Prompt\tCategory\none, two\tx\n", ["one, two"]),
        ("p.csv", 'id,Text\n1,"one, ""two"""\n', ['one, "two"']),
    ],
)
def test_prompt_files(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert list(read_prompts(tmp_path / name)) == expected


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("p.jsonl", b'{"prompt": "one"}\n{"prompt": 3}\n', "line 2"),
        ("p.tsv", b"a\tb\n1\t2\n", "no column prompt"),
        ("p.txt", b"\xff\xfe", "not UTF-8"),
    ],
)
def test_bad_prompt_files(tmp_path, name, text, says):
    (tmp_path / name).write_bytes(text)
    with pytest.raises(GraphError, match=says):
        list(read_prompts(tmp_path / name))


def test_people_outlive_a_new_build(path, tmp_path):
    graph = Graph.open(path)
    (labubu,) = add_concepts(graph, [NewConcept("Labubu", "en", "x", parents=(only(graph, "animals"),))], ME)
    set_weight(Graph.open(path), labubu, 4.0, ME)
    set_weight(Graph.open(path), only(graph, "dog"), 2.0, ME)
    file = tmp_path / "p.txt"
    file.write_text("cat\n")
    add_prompts(Graph.open(path), file, ME)
    prune(Graph.open(path), Settings(), ME)
    before = Graph.open(path)
    version, dog, changes = before.version, only(before, "dog"), len(log(before))
    # The same wiki later: another page comes first, so that all numbers move.
    later = dump(tmp_path / "later", "20240601", extra=[(0, 0, "Aardvark", 0)])
    pages = (later / "enwiki-20240601-page.sql").read_bytes()
    row = b"(0,0,'Aardvark',0,0.5,'wikitext')"
    assert row in pages
    moved = pages.replace(b"," + row, b"").replace(b"VALUES ", b"VALUES " + row + b",")
    (later / "enwiki-20240601-page.sql").write_bytes(moved)
    after = build(Sources(dumps=((later, "en"),)), path, update=True)
    assert after.version == version + 1
    assert after.build != before.build
    assert only(after, "dog") != dog
    assert after.weight[only(after, "dog")] == 2
    assert after.weight[only(after, "labubu")] == 4
    assert after.weight[only(after, "cat")] == pytest.approx(1 + math.log(1001))
    assert after.labels(after.parents(only(after, "labubu"))) == ["Animals"]
    assert after.kept.all()  # a prune run is of one build
    assert len(log(after)) == changes


def test_show_has_everything(path):
    graph = Graph.open(path)
    set_weight(graph, only(graph, "cat"), 2.5, ME)
    facts = show(Graph.open(path), "Q146", data_counts={"cat": 3, "kitty": 2, "dog": 7})
    assert (facts["name"], facts["weight"], facts["weight_set"], facts["data_count"]) == ("Cat", 2.5, 2.5, 5)
    assert [a["text"] for a in facts["aliases"]] == ["Cat", "Kitty"]
    assert [f["name"] for f in facts["neighbors"]["first"]] == ["Dog"]
    assert [f["name"] for f in facts["linked_from"]["first"]] == ["Dog"]
    assert facts["path"] == ["Animals"]
    assert facts["pagerank"] == graph.pagerank[only(graph, "cat")]
    assert json.loads(json.dumps(facts)) == facts
    with pytest.raises(GraphError, match="no concept"):
        show(graph, "nobody")


def test_weights_are_finite_and_aligned(path):
    graph = Graph.open(path)
    assert graph.weight.shape == graph.kept.shape == graph.pagerank.shape == (graph.n,)
    assert np.isfinite(graph.weight).all()
