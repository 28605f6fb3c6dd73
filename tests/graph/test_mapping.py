"""Tags and texts to nodes of a real (small) graph."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.graph.ahocorasick import Automaton
from zcurate.graph.mapping import ConceptMap, count_unmapped
from zcurate.graph.store import NODES, Graph
from zcurate.graph.writing import write_graph

CONCEPTS = {
    # name: (kind, aliases, links)
    "Mercury (planet)": ("article", ["mercury", "水星"], ["Solar System"]),
    "Mercury (element)": ("article", ["mercury", "quicksilver"], ["Chemistry"]),
    "Solar System": ("article", ["solar system"], []),
    "Chemistry": ("article", ["chemistry"], []),
    "Giant panda": ("article", ["giant panda", "panda", "大熊貓"], []),
    "Hot dog": ("article", ["hot dog"], []),
    "Dog": ("article", ["dog", "小狗"], []),
    "Taiwan": ("article", ["臺灣", "taiwan"], []),
    "Mercury": ("disambiguation", ["mercury"], []),
    "Lists of dogs": ("list", ["lists of dogs"], []),
}


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Graph:
    from zcurate.graph.fold import fold

    names = list(CONCEPTS)
    n = len(names)
    links = [[names.index(t) for t in CONCEPTS[name][2]] for name in names]
    nodes = pa.table(
        {
            "name": names,
            "lang": ["en"] * n,
            "wikidata": [None] * n,
            "page_id": list(range(n)),
            "kind": [CONCEPTS[name][0] for name in names],
            "has_image": [True] * n,
            "pagerank": [1 / n] * n,
            "links_in": [0] * n,
            "links_out": [len(x) for x in links],
            "origin": ["test"] * n,
        },
        schema=NODES,
    )
    rows = [(fold(a), a, i) for i, name in enumerate(names) for a in CONCEPTS[name][1]]
    aliases = pa.table(
        {
            "folded": [r[0] for r in rows],
            "text": [r[1] for r in rows],
            "lang": ["en"] * len(rows),
            "node": [r[2] for r in rows],
            "source": ["label"] * len(rows),
        }
    )
    csr = (
        np.cumsum([0, *map(len, links)]).astype(np.int64),
        np.array([t for x in links for t in x], np.int32),
    )
    path = tmp_path_factory.mktemp("graph") / "g"
    return write_graph(path, nodes, aliases, {"hyperlink": csr}, ["en"], [], {"nodes": n})


def named(graph, mapped):
    return graph.labels(list(mapped.nodes))


def test_tags_by_spelling_plural_script_and_width(graph):
    found = ConceptMap(graph).map(["Dogs", "ＰＡＮＤＡ", "台湾", "大熊猫", "dog"])
    assert named(graph, found) == ["Dog", "Giant panda", "Taiwan"]
    assert set(found.how) <= {"exact", "fold"}
    assert ConceptMap(graph).map(["dog"]).how == ("exact",)


def test_homographs_are_decided_by_neighbors(graph):
    names = ConceptMap(graph)
    assert named(graph, names.map(["mercury", "chemistry"])) == ["Mercury (element)", "Chemistry"]
    assert named(graph, names.map(["solar system", "Mercury"])) == ["Solar System", "Mercury (planet)"]
    assert names.map(["mercury"]).ambiguous == 1
    # alone, the graph's own order decides, and never for a disambiguation page
    assert named(graph, names.map(["mercury"]))[0] in ("Mercury (planet)", "Mercury (element)")


def test_lists_and_lettering_are_no_concepts_and_the_rest_is_counted(graph):
    found = ConceptMap(graph).map(["lists of dogs", '"DOG"', "flux capacitor", "Flux_Capacitor", ""])
    assert found.nodes == ()
    assert found.unmapped == ("lists of dogs", "flux capacitor")
    table = count_unmapped(
        pa.array([found.unmapped, ["flux capacitor", "flux capacitor"], [], None], pa.list_(pa.string()))
    )
    assert table.to_pylist() == [
        {"tag": "flux capacitor", "samples": 2},
        {"tag": "lists of dogs", "samples": 1},
    ]


def test_texts_in_both_languages(graph):
    names = ConceptMap(graph, texts=True)
    found = names.map([], ["Two hot dogs beside a dogma about Pandas", "一只大熊貓和小狗在臺灣"])
    assert named(graph, found) == ["Hot dog", "Giant panda", "Dog", "Taiwan"]
    assert set(found.how) == {"text"}


def test_candidates_agree_with_the_graph(graph):
    names = ConceptMap(graph)
    shown = {i for i, c in enumerate(CONCEPTS.values()) if c[0] == "article"}
    for alias in ("mercury", "水星", "no such thing"):
        assert names.candidates(alias) == [v for v in graph.find(alias) if v in shown]


def test_automaton_longest_match_and_boundaries():
    automaton = Automaton(["hot dog", "dog", "dog house", "熊猫", "大熊猫", "he"])
    text = "hot dog house, dog houses; the dogs 大熊猫"
    found = automaton.find([text, None, ""])
    parts = [text.encode()[s:e].decode() for s, e in zip(found.start, found.end, strict=True)]
    assert parts == ["hot dog", "dog houses", "dogs", "大熊猫"]
    assert set(found.text.tolist()) == {0}


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=8, unique=True),
    st.text("ab ", max_size=30),
)
def test_automaton_equals_a_regular_expression(names, text):
    """Words of a and b have no plurals here, so leftmost-longest between word boundaries is all there is to it."""
    expected = [
        m.group()
        for m in re.finditer(r"\b(?:" + "|".join(sorted(names, key=len, reverse=True)) + r")\b", text)
    ]
    found = Automaton(names).find([text])
    assert [names[p] for p in found.pattern] == expected


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.text("天地玄黄", min_size=1, max_size=3), min_size=1, max_size=8, unique=True),
    st.text("天地玄黄", max_size=20),
)
def test_automaton_without_blanks(names, text):
    pattern = "|".join(sorted(names, key=len, reverse=True))
    assert [names[p] for p in Automaton(names).find([text]).pattern] == re.findall(pattern, text)


def test_names_must_be_unique():
    with pytest.raises(ValueError, match="given twice"):
        Automaton(["a", "b", "a"])
    with pytest.raises(ValueError, match="empty"):
        Automaton(["", "b"])
    assert len(Automaton([]).find(["text"]).text) == 0
