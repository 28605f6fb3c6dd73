"""Dumps joined with others and with taxonomies in one graph, and a dump of nothing."""

from zcurate.graph.build import Sources, build

from .dump_text import write_dump
from .small_wiki import dump, edges_of


def test_languages_merge_by_wikidata_id(tmp_path):
    english = dump(tmp_path / "en")
    chinese = write_dump(
        tmp_path / "zh",
        wiki="zhwiki",
        pages=[
            (1, 0, "臺北市", 0),
            (2, 0, "台北", 1),
            (3, 0, "貓", 0),
            (4, 0, "熊貓", 0),
            (5, 14, "動物", 0),
        ],
        redirects=[(2, 0, "臺北市", "", "")],
        links=[(3, 0, "熊貓"), (4, 0, "台北")],
        props=[(1, "wikibase_item", "Q1867"), (3, "wikibase_item", "Q146"), (4, "wikibase_item", "Q33602")],
        members=[(4, "動物")],
        schema="both",
    )
    graph = build(Sources(dumps=((english, "en"), (chinese, "zh"))), tmp_path / "kg")
    assert graph.meta["counts"]["shared_by_languages"] == 2
    assert graph.labels(graph.find("台北")) == ["Taipei"]
    assert graph.find("臺北") == graph.find("Taipei") == graph.find("台北市")
    assert graph.find("猫") == graph.find("cat")
    assert ("Cat", "熊貓") in edges_of(graph, "hyperlink")
    assert ("熊貓", "Taipei") in edges_of(graph, "hyperlink")
    assert ("Dog", "Cat") in edges_of(graph, "hyperlink")
    (panda,) = graph.find("熊猫")
    assert graph.nodes["lang"][panda].as_py() == "zh"
    assert {a["lang"] for a in graph.aliases.to_pylist() if a["node"] == graph.find("taipei")[0]} == {
        "en",
        "zh",
    }


def test_taxonomies_join_the_dumps_by_name(tmp_path):
    folder = dump(tmp_path / "dump")
    (tmp_path / "more.tsv").write_text(
        "o'hara_(),(x\tPets\nkitty\tFelines\nFelines\tAnimals\nUnicorn\tFelines\n"
    )
    sources = Sources(dumps=((folder, "en"),), taxonomies=(tmp_path / "more.tsv",))
    graph = build(sources, tmp_path / "kg")
    edges = edges_of(graph, "is_a")
    assert {
        ("O'Hara (),(x", "Pets"),
        ("Cat", "Felines"),
        ("Felines", "Animals"),
        ("Unicorn", "Felines"),
    } <= edges
    assert graph.n == 11 + 2
    assert graph.labels(graph.find("kitty")) == ["Cat"]


def test_empty_tables_are_an_empty_graph(tmp_path):
    graph = build(Sources(dumps=((write_dump(tmp_path / "dump", []), "en"),)), tmp_path / "kg")
    assert graph.n == 0
    assert graph.find("anything") == []
    assert len(graph.hierarchy().parent) == len(graph.kept) == len(graph.weight) == 0
