"""Graphs on disk, aliases and folding, lists as sources, NetworkX and the command line."""

import gzip
import json
from pathlib import Path

import networkx as nx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.graph import csr
from zcurate.graph.build import Sources, build
from zcurate.graph.categories import is_acyclic
from zcurate.graph.errors import GraphError
from zcurate.graph.fold import fold, fold_array
from zcurate.graph.list_files import readable
from zcurate.graph.networkx_io import from_networkx, neighborhood, to_networkx
from zcurate.graph.store import EDGE_TYPES, Graph


@given(st.text())
@settings(max_examples=500, deadline=None)
def test_folding_twice_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


@given(st.lists(st.none() | st.text() | st.text("aB_ \t\x1c\x0b", max_size=9)))
@settings(max_examples=300, deadline=None)
def test_fold_of_columns(texts):
    expected = [None if t is None else fold(t) for t in texts]
    assert fold_array(pa.array(texts, pa.string())).to_pylist() == expected


def test_every_character_folds_to_a_fixed_point():
    for code in (c for c in range(0x110000) if not 0xD800 <= c < 0xE000):
        assert fold(fold(chr(code))) == fold(chr(code))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("臺灣", "台湾"),
        ("中華人民共和國", "中华人民共和国"),
        ("龍與鳳", "龙与凤"),
        ("New_York  City", "new york city"),
        ("ＡＢＣ", "abc"),
        ("Straße", "STRASSE"),
        ("E\u0301douard", "édouard"),
        ("co\u00adop\u200b", "coop"),
    ],
)
def test_spellings_of_one_name(one, other):
    assert fold(one) == fold(other)


ARTICLES = """# Article names.
# They are URL-encoded.

%C3%89douard_Manet
AC/DC
100%25_Wolf
%E5%8F%B0%E7%81%A3
Cat
Dog
#1_Record
"""
LINKS = """# FromNode\tToNode
%C3%89douard_Manet\tCat
Cat\tDog
Dog\tCat
Cat\tDog
Dog\tNowhere
AC/DC\t%E5%8F%B0%E7%81%A3
100%25_Wolf\tDog
#1_Record\tAC/DC
Cat\tCat
"""
CATEGORIES = """# article\tcategory

Cat\tsubject.Science.Biology.Mammals
Dog\tsubject.Science.Biology.Mammals
%C3%89douard_Manet\tsubject.Art
Cat\tsubject.Art
Cat\tsubject.Science.Biology.Mammals
%E5%8F%B0%E7%81%A3\tsubject.Geography
"""


@pytest.fixture
def lists(tmp_path):
    for name, text in (("articles", ARTICLES), ("links", LINKS), ("categories", CATEGORIES)):
        (tmp_path / f"{name}.tsv").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def graph(lists):
    sources = Sources(
        lists=(lists / "articles.tsv", lists / "links.tsv"), taxonomies=(lists / "categories.tsv",)
    )
    return build(sources, lists / "kg")


def named(graph, edges):
    names = graph.nodes["name"].to_pylist()
    return {(names[a], names[b]) for a, b in zip(*(x.tolist() for x in csr.pairs(*edges)), strict=True)}


def test_lists_as_snap_has_them(graph):
    counts = graph.meta["counts"]
    figures = next(iter(counts["by_source"].values()))
    assert (figures["titles"], figures["links"], figures["links_red"], figures["links_resolved"]) == (
        7,
        9,
        1,
        8,
    )
    assert named(graph, graph.csr("hyperlink")) == {
        ("Édouard Manet", "Cat"),
        ("Cat", "Dog"),
        ("Dog", "Cat"),
        ("Cat", "Cat"),
        ("AC/DC", "台灣"),
        ("100% Wolf", "Dog"),
        ("#1 Record", "AC/DC"),
    }
    assert named(graph, graph.csr("is_a")) == {
        ("Cat", "Mammals"),
        ("Dog", "Mammals"),
        ("Mammals", "Biology"),
        ("Biology", "Science"),
        ("Science", "subject"),
        ("Édouard Manet", "Art"),
        ("Cat", "Art"),
        ("Art", "subject"),
        ("台灣", "Geography"),
        ("Geography", "subject"),
    }
    assert graph.labels(graph.find("台湾")) == ["台灣"]
    (cat,) = graph.find("cat")
    assert graph.labels(graph.neighbors(cat)) == ["Dog"]
    assert sorted(graph.labels(graph.parents(cat))) == ["Art", "Mammals"]
    reference = nx.DiGraph()
    reference.add_nodes_from(range(7))
    reference.add_edges_from(zip(*(x.tolist() for x in csr.pairs(*graph.csr("hyperlink"))), strict=True))
    theirs = nx.pagerank(reference, tol=1e-14, max_iter=1000)
    assert np.abs(graph.pagerank[:7] - [theirs[i] for i in range(7)]).max() < 1e-9


@pytest.mark.parametrize("packed", [False, True])
def test_a_category_list_among_the_links_is_recognized(graph, lists, packed):
    given = [lists / f"{name}.tsv" for name in ("categories", "links", "articles")]
    if packed:
        given = [p.with_name(p.name + ".gz") for p in given]
        for path in given:
            path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
    same = build(Sources(lists=tuple(given)), lists / "same")
    for kind in EDGE_TYPES:
        assert named(same, same.csr(kind)) == named(graph, graph.csr(kind))


def test_links_alone_make_their_own_nodes(tmp_path):
    (tmp_path / "e.txt").write_text("1 2\n2 3\n3 1\n")
    graph = build(Sources(lists=(tmp_path / "e.txt",)), tmp_path / "kg")
    assert named(graph, graph.csr("hyperlink")) == {("1", "2"), ("2", "3"), ("3", "1")}


def test_plain_taxonomy_with_a_cycle(tmp_path):
    (tmp_path / "t.tsv").write_text("Cat\tMammal\r\nMammal\tAnimal\r\nAnimal\tMammal\r\nDog\tMammal\n")
    graph = build(Sources(taxonomies=(tmp_path / "t.tsv",)), tmp_path / "kg")
    assert is_acyclic(*graph.csr("is_a"))
    assert ("Cat", "Mammal") in named(graph, graph.csr("is_a"))
    assert graph.meta["counts"]["is_a_cycle_edges"] == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"Cat\tDog\nCat\n", "line 2"),
        (b"Cat\tDog\n\nBird\t\n", "line 3"),
        (b"Cat\tDog\n\xff\xfe\tx\n", "line 2: not UTF-8"),
        (b"# nothing\n\n", "no records"),
        (b"\x1f\x8b\x08\x00garbage", "gzip stream is damaged"),
        (b"Cat\tDog\n" + b"x" * 3_000_000 + b"\tDog\n", r"line 2 \(byte 8\): longer than"),
    ],
)
def test_bad_lists(tmp_path, text, says):
    (tmp_path / "links.tsv").write_bytes(text)
    with pytest.raises(GraphError, match=says) as caught:
        build(Sources(lists=(tmp_path / "links.tsv",)), tmp_path / "kg")
    assert "links.tsv" in str(caught.value)
    assert not (tmp_path / "kg").exists()


def test_one_parent_with_a_point_is_no_path(tmp_path):
    (tmp_path / "tree.tsv").write_text("Arch\tSt. Louis\nZoo\tSt. Louis\n", encoding="utf-8")
    graph = build(Sources(taxonomies=(tmp_path / "tree.tsv",)), tmp_path / "kg")
    assert graph.labels(graph.parents(graph.resolve("Zoo"))) == ["St. Louis"]
    assert graph.n == 3


@given(st.text())
def test_readable_never_fails(text):
    assert readable(readable(text).replace("%", "_")) == " ".join(
        readable(text).replace("%", "_").replace("_", " ").split()
    )


def test_files_are_what_they_say(graph):
    folder = graph.path
    edges = pq.read_table(folder / "edges.parquet").to_pydict()
    listed = {kind: set() for kind in EDGE_TYPES}
    for s, t, kind in zip(edges["source"], edges["target"], edges["type"], strict=True):
        listed[kind].add((s, t))
    for kind in EDGE_TYPES:
        indptr, indices = graph.csr(kind)
        assert isinstance(indices, np.memmap)
        assert listed[kind] == set(zip(*(x.tolist() for x in csr.pairs(indptr, indices)), strict=True))
    folded = graph.aliases["folded"].to_pylist()
    assert folded == sorted(folded)
    assert pq.read_table(folder / "nodes.parquet").num_rows == graph.n == graph.meta["counts"]["nodes"]
    # Looked up in files and in memory, the answers are the same.
    names = [*graph.nodes["name"].to_pylist(), "nobody", ""]
    fresh = Graph.open(folder)
    assert [fresh.find(name) for name in names] == [graph.find(name) for name in names]


def test_edge_table_in_many_blocks(tmp_path, monkeypatch):
    from zcurate.graph import writing

    monkeypatch.setattr(writing, "_EDGE_BLOCK_ROWS", 7)
    rng = np.random.default_rng(0)
    edges = csr.from_pairs(rng.integers(0, 20, 90), rng.integers(0, 20, 90), 20)
    writing.write_edge_table(tmp_path / "e.parquet", {"hyperlink": edges})
    table = pq.read_table(tmp_path / "e.parquet").to_pydict()
    assert [table["source"], table["target"]] == [x.tolist() for x in csr.pairs(*edges)]


def test_hierarchy_is_a_forest_of_kept_parents(graph):
    parent = graph.hierarchy().parent
    tree = csr.from_pairs(np.flatnonzero(parent >= 0), parent[parent >= 0], graph.n)
    assert is_acyclic(*tree)
    parents = named(graph, graph.csr("is_a"))
    assert named(graph, tree) <= parents
    assert {child for child, _ in named(graph, tree)} == {child for child, _ in parents}


@pytest.mark.parametrize("damage", ["missing", "json", "format"])
def test_half_a_graph_is_no_graph(graph, damage):
    file = graph.path / "graph.json"
    if damage == "missing":
        file.unlink()
    else:
        file.write_text("{" if damage == "json" else json.dumps({**graph.meta, "format": 99}))
    with pytest.raises(GraphError, match=r"graph\.json"):
        Graph.open(graph.path)


def test_networkx_round_trip(graph, tmp_path):
    made = to_networkx(graph, aliases=True)
    assert {d["relation"] for *_, d in made.edges(data=True)} == {"hyperlink", "is_a", "alias"}
    back = from_networkx(made, tmp_path / "back")
    for kind in EDGE_TYPES:
        assert named(back, back.csr(kind)) == named(graph, graph.csr(kind))
    assert back.find("台湾")
    assert np.abs(back.pagerank[: graph.n] - graph.pagerank).max() < 1e-9
    near = neighborhood(graph, graph.find("Cat"))
    assert set(graph.labels(near)) == {"Cat", "Dog", "Édouard Manet", "Mammals", "Art"}
    cyclic = nx.DiGraph([("a", "b", {"type": "is_a"}), ("b", "a", {"type": "is_a"})])
    with pytest.raises(GraphError, match="cycle"):
        from_networkx(cyclic, tmp_path / "cyclic")
    assert not (tmp_path / "cyclic").exists()


def test_commands(lists, monkeypatch, capsys):
    from zcurate.pipelines.cli import main

    monkeypatch.chdir(lists)

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["zcurate", "graph", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as e:
            code = e.code or 0
        out = capsys.readouterr()
        return code, out.out, out.err

    lists_given = ["--from", "articles.tsv", "--from", "links.tsv", "--taxonomy", "categories.tsv"]
    code, out, _ = call("build", *lists_given, "--out", "graph")
    assert code == 0
    assert "7 hyperlinks, 10 is-a" in out
    assert call("build", "--from", ".", "--out", "folder")[0] == 0
    assert Graph.open("folder").meta["counts"]["edges_is_a"] == 10
    code, _, err = call("build", *lists_given, "--out", "graph")
    assert code == 1
    assert "--update" in err
    assert call("build", "--out", "other")[0] == 1
    assert call("build", "--dumps", "nowhere", "--lang", "en", "--out", "other")[0] == 1
    assert not Path("other").exists()
    code, out, _ = call("show", "台湾", "--json")
    facts = json.loads(out)
    assert (facts["name"], facts["links_in"], facts["path"]) == ("台灣", 1, ["subject", "Geography"])
    assert call("show", "nobody")[0] == 1
    for name in ("g.graphml", "g.json", "g.gexf"):
        assert call("export", "--out", name)[0] == 0
        assert call("import", name, "--out", f"from-{name}")[0] == 0
        assert named(Graph.open(f"from-{name}"), Graph.open(f"from-{name}").csr("is_a")) == named(
            Graph.open("graph"), Graph.open("graph").csr("is_a")
        )
    assert call("export", "--out", "g.txt")[0] == 2
    Path("bad.json").write_text("[]")
    assert call("import", "bad.json", "--out", "x")[0] == 2
