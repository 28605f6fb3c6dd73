"""Every schema of dumps gives the same graph, with exact counts: from MediaWiki before 1.17 to target ids alone."""

import pytest

from zcurate.graph.build import Sources, build
from zcurate.graph.wiki import read_wiki

from .dump_text import LINKTARGET, SCHEMAS, table_sql
from .small_wiki import dump, edges_of


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_schema_gives_the_same_graph(tmp_path, schema, packed):
    folder = dump(tmp_path / "dump", schema=schema, packed=packed)
    graph = build(Sources(dumps=((folder, "en"),)), tmp_path / "kg")
    counts = graph.meta["counts"]["by_source"]["enwiki-20240501"]
    expected = {
        "pages": 20,
        "pages_ns0": 15,
        "pages_ns0_redirects": 8,
        "articles": 7,
        "pages_ns14": 4,
        "redirects": 8,
        "redirects_resolved": 3,
        "redirects_chained": 1,
        "redirects_in_loops": 3,
        "redirects_interwiki": 1,
        "redirects_to_sections": 1,
        "redirects_to_nothing": 2,
        "links": 19,
        "links_from_missing_pages": 1,
        "links_from_redirects": 1,
        "links_from_articles": 16,
        "links_between_articles": 13,
        "links_to_other_namespaces": 3,
        "links_direct": 6,
        "links_through_redirects": 3,
        "links_to_broken_redirects": 3,
        "links_red": 1,
        "links_resolved": 9,
        "wikidata_ids": 4,
        "wikidata_ids_ns0": 3,
        "memberships": 8,
        "memberships_in_missing_categories": 1,
        "memberships_resolved": 7,
    }
    assert {k: counts[k] for k in expected} == expected
    assert edges_of(graph, "hyperlink") == {
        ("Cat", "Dog"),
        ("Cat", "O'Hara (),(x"),
        ("Dog", "Cat"),
        ("O'Hara (),(x", "Cat"),
        ("Jaguar (disambiguation)", "Cat"),
        ("Taipei", "Cat"),
    }
    # Animals and Pets are in each other; Things is above Animals, so that Pets stays below it.
    assert edges_of(graph, "is_a") == {
        ("Cat", "Animals"),
        ("Cat", "Pets"),
        ("Dog", "Pets"),
        ("Pets", "Animals"),
        ("Animals", "Things"),
    }
    kinds = dict(zip(graph.nodes["name"].to_pylist(), graph.nodes["kind"].to_pylist(), strict=True))
    assert kinds == {
        "Cat": "article",
        "Dog": "article",
        "O'Hara (),(x": "article",
        "Taipei": "article",
        "Jaguar (disambiguation)": "disambiguation",
        "List of cats": "list",
        "1987": "date",
        "Animals": "category",
        "Pets": "category",
        "Things": "category",
        "Articles with errors": "maintenance",
    }
    (cat,) = graph.find("KITTENS")
    assert graph.labels([cat]) == ["Cat"]
    row = graph.nodes.slice(cat, 1).to_pylist()[0]
    assert (row["wikidata"], row["has_image"], row["page_id"], row["lang"]) == ("Q146", True, 1, "en")
    sources = {a["text"]: a["source"] for a in graph.aliases.to_pylist() if a["node"] == cat}
    assert sources == {"Cat": "title", "Kitty": "redirect", "Kittens": "redirect", "Fur": "section"}


def test_ids_that_linktarget_lacks_fall_back_to_titles(tmp_path):
    folder = dump(tmp_path / "dump", schema="both")
    target = folder / "enwiki-20240501-linktarget.sql"
    target.write_bytes(table_sql("linktarget", LINKTARGET, [(1, 0, "Something")]))
    found = read_wiki(folder, "en").counts
    assert (found["links_resolved"], found["links_red"]) == (9, 1)
    assert found["links_with_unknown_target_id"] == 0


def test_wrong_ids_are_counted_not_guessed(tmp_path):
    folder = dump(tmp_path / "dump", schema="ids")
    target = folder / "enwiki-20240501-linktarget.sql"
    target.write_bytes(table_sql("linktarget", LINKTARGET, [(1, 0, "Something")]))
    wiki = read_wiki(folder, "en")
    assert wiki.counts["links_resolved"] == 0
    assert wiki.counts["links_with_unknown_target_id"] == 16
    assert any("linktarget lacks" in n for n in wiki.notes)


def test_a_dump_of_an_old_wiki(tmp_path):
    """MediaWiki before 1.17: no linktarget, no page_props, redirects without interwiki and fragment, cl_timestamp."""
    folder = tmp_path / "old"
    folder.mkdir()
    page = (
        "page_id int(8) unsigned NOT NULL auto_increment", "page_namespace int(11) NOT NULL default '0'",
        "page_title varchar(255) binary NOT NULL default ''", "page_restrictions tinyblob NOT NULL",
        "page_counter bigint(20) unsigned NOT NULL default '0'", "page_is_redirect tinyint(1) unsigned NOT NULL default '0'",
        "page_is_new tinyint(1) unsigned NOT NULL default '0'", "page_random double unsigned NOT NULL default '0'",
        "page_touched varchar(14) binary NOT NULL default ''", "page_latest int(8) unsigned NOT NULL default '0'",
        "page_len int(8) unsigned NOT NULL default '0'",
    )  # fmt: skip
    rest = (0, 0.5, "20080102030405", 7, 99)
    pages = [(1, 0, "Cat", "", 4, 0, *rest), (2, 0, "Mouse", "move=sysop", 0, 0, *rest), (3, 0, "Mice", "", 0, 1, *rest), (4, 14, "Pets", "", 0, 0, *rest)]  # fmt: skip
    links = (
        "pl_from int(8) unsigned NOT NULL",
        "pl_namespace int(11) NOT NULL",
        "pl_title varchar(255) binary NOT NULL",
    )
    members = (
        "cl_from int(8) unsigned NOT NULL", "cl_to varchar(255) binary NOT NULL",
        "cl_sortkey varchar(70) binary NOT NULL", "cl_timestamp timestamp NOT NULL default CURRENT_TIMESTAMP",
    )  # fmt: skip
    tables = {
        "page": (page, pages),
        "pagelinks": (links, [(1, 0, "Mice"), (2, 0, "Cat"), (1, 0, "Dog")]),
        "redirect": (("rd_from int(8) unsigned NOT NULL", "rd_namespace int(11) NOT NULL", "rd_title varchar(255) binary NOT NULL"), [(3, 0, "Mouse")]),
        "categorylinks": (members, [(1, "Pets", "Cat", "2008-01-02 03:04:05")]),
    }  # fmt: skip
    for name, (columns, rows) in tables.items():
        (folder / f"enwiki-20080103-{name}.sql").write_bytes(table_sql(name, columns, rows))
    graph = build(Sources(dumps=((folder, "en"),)), tmp_path / "kg")
    counts = graph.meta["counts"]["by_source"]["enwiki-20080103"]
    assert (
        counts["articles"],
        counts["links_direct"],
        counts["links_through_redirects"],
        counts["links_red"],
    ) == (2, 1, 1, 1)
    assert graph.resolve("mice") == graph.resolve("Mouse")
    assert graph.labels(graph.parents(graph.resolve("Cat"))) == ["Pets"]
