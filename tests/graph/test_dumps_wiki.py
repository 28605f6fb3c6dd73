"""From dumps to a graph: every schema gives the same one, counts are exact, faults are named."""

import gzip
import re
import sqlite3
from collections import Counter
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from zcurate.graph.build import Sources, build
from zcurate.graph.dump_files import find_dumps
from zcurate.graph.errors import DumpError, GraphError
from zcurate.graph.store import Graph
from zcurate.graph.wiki import read_wiki

from .dump_text import LINKTARGET, PAGE, REDIRECT, SCHEMAS, table_sql, write_dump

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CHWIKI, AAWIKI = DATA / "chwiki-dump", DATA / "aawiki-dump"

PAGES = [
    (1, 0, "Cat", 0),
    (2, 0, "Dog", 0),
    (3, 0, "O'Hara_(),(x", 0),
    (4, 0, "Kitty", 1),
    (5, 0, "Kittens", 1),
    (6, 0, "Loop_A", 1),
    (7, 0, "Loop_B", 1),
    (8, 0, "Elsewhere", 1),
    (9, 0, "Fur", 1),
    (10, 0, "Jaguar_(disambiguation)", 0),
    (11, 0, "List_of_cats", 0),
    (12, 0, "1987", 0),
    (13, 1, "Cat", 0),
    (14, 14, "Animals", 0),
    (15, 14, "Pets", 0),
    (16, 14, "Articles_with_errors", 0),
    (17, 0, "Selfish", 1),
    (18, 0, "Lost", 1),
    (19, 0, "Taipei", 0),
    (20, 14, "Things", 0),
]
REDIRECTS = [
    (4, 0, "Cat", "", ""),
    (5, 0, "Kitty", None, None),
    (6, 0, "Loop_B", "", ""),
    (7, 0, "Loop_A", "", ""),
    (8, 0, "Katze", "de", ""),
    (9, 0, "Cat", "", "Fur"),
    (17, 0, "Selfish", "", ""),
    (18, 0, "Nowhere", "", ""),
]
LINKS = [
    (1, 0, "Dog"),
    (1, 0, "Unicorn"),
    (1, 0, "O'Hara_(),(x"),
    (1, 4, "About"),
    (1, 14, "Animals"),
    (1, 14, "Ghosts"),
    (2, 0, "Kitty"),
    (2, 0, "Kittens"),
    (2, 0, "Fur"),
    (2, 0, "Loop_A"),
    (2, 0, "Elsewhere"),
    (2, 0, "Lost"),
    (2, 0, "Cat"),
    (3, 0, "Cat"),
    (4, 0, "Cat"),
    (13, 0, "Dog"),
    (10, 0, "Cat"),
    (99, 0, "Cat"),
    (19, 0, "Cat"),
]
PROPS = [
    (1, "wikibase_item", "Q146"),
    (1, "page_image_free", "Cat.jpg"),
    (2, "wikibase_item", "Q144"),
    (10, "disambiguation", ""),
    (16, "hiddencat", ""),
    (13, "wikibase_item", "Q5"),
    (19, "wikibase_item", "Q1867"),
    (2, "defaultsort", "Dog"),
]
MEMBERS = [
    (1, "Animals"),
    (1, "Pets"),
    (2, "Pets"),
    (2, "Articles_with_errors"),
    (15, "Animals"),
    (14, "Things"),
    (14, "Pets"),
    (2, "Missing_category"),
]


def dump(folder, **more):
    given = {
        "pages": PAGES,
        "links": LINKS,
        "redirects": REDIRECTS,
        "props": PROPS,
        "members": MEMBERS,
    } | more
    return write_dump(folder, **given)


def edges_of(graph, kind):
    indptr, indices = graph.csr(kind)
    names = graph.nodes["name"].to_pylist()
    return {(names[v], names[u]) for v in range(graph.n) for u in indices[indptr[v] : indptr[v + 1]]}


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


def replace_table(folder, name, text):
    (folder / f"enwiki-20240501-{name}.sql").write_bytes(text)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "enwiki-20240501-linktarget.sql").unlink(), "download the linktarget dump"),
        (lambda f: (f / "enwiki-20240501-page.sql").unlink(), "table page is missing"),
        (
            lambda f: (f / "enwiki-20240501-redirect.sql").rename(f / "enwiki-20240601-redirect.sql"),
            "more than one date",
        ),
        (
            lambda f: (f / "enwiki-20240501-redirect.sql").rename(f / "dewiki-20240501-redirect.sql"),
            "more than one wiki",
        ),
        (lambda f: (f / "enwiki-20240501-page.sql.gz").write_bytes(b""), "second file"),
        (
            lambda f: replace_table(f, "page", table_sql("page", PAGE, [(*p, 0.5, None) for p in (*PAGES, (2, 0, "Two", 0))])),
            "page_id 2 occurs twice",
        ),
        (
            lambda f: replace_table(f, "page", table_sql("page", PAGE, [(*p, 0.5, None) for p in (*PAGES, (77, 0, "Cat", 0))])),
            "'Cat' occurs twice",
        ),
        (
            lambda f: replace_table(f, "linktarget", table_sql("linktarget", LINKTARGET, [(5, 0, "Cat"), (5, 0, "Dog")])),
            "lt_id 5 occurs twice",
        ),
        (
            lambda f: replace_table(f, "redirect", table_sql("redirect", REDIRECT, [REDIRECTS[0], REDIRECTS[0]])),
            "rd_from 4 occurs twice",
        ),
        (
            lambda f: replace_table(f, "redirect", table_sql("page", PAGE, [])),
            "is of table page",
        ),
        (
            lambda f: replace_table(f, "pagelinks", (f / "enwiki-20240501-pagelinks.sql").read_bytes().split(b",(3,")[0]),
            "cut off",
        ),
    ],
)  # fmt: skip
def test_bad_dumps_are_refused_and_nothing_is_written(tmp_path, damage, says):
    folder = dump(tmp_path / "dump")
    damage(folder)
    with pytest.raises(DumpError, match=says) as caught:
        build(Sources(dumps=((folder, "en"),)), tmp_path / "kg")
    assert str(tmp_path / "dump") in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dump"]


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


def test_repeated_ids_are_located(tmp_path):
    folder = dump(tmp_path / "dump")
    text = table_sql("linktarget", LINKTARGET, [(5, 0, "Cat"), (6, 0, "Rat"), (5, 0, "Dog")])
    replace_table(folder, "linktarget", text)
    with pytest.raises(DumpError) as caught:
        read_wiki(folder, "en")
    assert text[caught.value.offset :].startswith(b"(5,0,'Dog')")


def test_a_failed_update_leaves_the_graph_alone(tmp_path):
    folder = dump(tmp_path / "dump")
    sources = Sources(dumps=((folder, "en"),))
    before = build(sources, tmp_path / "kg").build
    with pytest.raises(GraphError, match="--update"):
        build(sources, tmp_path / "kg")
    (folder / "enwiki-20240501-page.sql").unlink()
    with pytest.raises(DumpError):
        build(sources, tmp_path / "kg", update=True)
    assert Graph.open(tmp_path / "kg").build == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dump", "kg"]


# Real dumps


def slow_rows(path, pattern):
    """Tuples by a regular expression over the decoded file: another way to read the same rows."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("latin-1")
    body = "".join(re.findall(r"^INSERT INTO `\w+` VALUES (.*);$", text, re.M))
    return re.findall(pattern, body)


INT, TEXT, OTHER = r"(-?\d+)", r"'((?:[^'\\]|\\.)*)'", r"(?:NULL|-?[\d.e-]+|'(?:[^'\\]|\\.)*')"


@pytest.mark.skipif(not CHWIKI.is_dir(), reason=f"no real dump at {CHWIKI}")
def test_chamorro_wikipedia_exactly(tmp_path):
    graph = build(Sources(dumps=((CHWIKI, "ch"),)), tmp_path / "kg")
    counts = graph.meta["counts"]["by_source"]["chwiki-20240501"]
    print(counts)
    # The same figures from SQL: another program, another way of joining.
    db = sqlite3.connect(":memory:")

    def load(name, columns, pattern):
        db.execute(f"create table {name} ({', '.join(columns)})")
        rows = slow_rows(CHWIKI / f"chwiki-20240501-{name}.sql", pattern)
        db.executemany(f"insert into {name} values ({','.join('?' * len(columns))})", rows)  # noqa: S608
        return len(rows)

    def one(query):
        return db.execute(query).fetchone()[0]

    rest = ",".join([OTHER] * 8)
    load(
        "page",
        ["id integer", "ns integer", "title", "redirect integer"],
        rf"\({INT},{INT},{TEXT},{INT},{rest}\)",
    )
    load("redirect", ["id integer", "ns integer", "title", "wiki"], rf"\({INT},{INT},{TEXT},{TEXT},{OTHER}\)")
    load("page_props", ["id integer", "name", "value"], rf"\({INT},{TEXT},{TEXT},{OTHER}\)")
    load("pagelinks", ["id integer", "ns integer", "title", "origin integer", "target integer"], rf"\({INT},{INT},{TEXT},{INT},{INT}\)")  # fmt: skip
    load("linktarget", ["id integer", "ns integer", "title"], rf"\({INT},{INT},{TEXT}\)")
    assert counts["pages"] == one("select count(*) from page") == 2525
    assert counts["articles"] == one("select count(*) from page where ns = 0 and redirect = 0") == 582
    assert counts["redirects"] == one("select count(*) from redirect") == 194
    assert counts["redirects_interwiki"] == one("select count(*) from redirect where wiki <> ''") == 26
    assert counts["links"] == one("select count(*) from pagelinks") == 19922
    assert counts["linktargets"] == one("select count(*) from linktarget") == 9379
    assert (
        counts["wikidata_ids"] == one("select count(*) from page_props where name = 'wikibase_item'") == 898
    )
    ns0 = "select count(*) from page_props p join page on page.id = p.id where name = 'wikibase_item' and ns = 0"
    assert counts["wikidata_ids_ns0"] == one(ns0) == 573
    links = (
        "from pagelinks l join page s on s.id = l.id and s.ns = 0 and s.redirect = 0 "
        "join linktarget t on t.id = l.target and t.ns = 0 left join page p on p.ns = 0 and p.title = t.title"
    )
    assert counts["links_between_articles"] == one(f"select count(*) {links}") == 2229
    assert counts["links_red"] == one(f"select count(*) {links} where p.id is null") == 1107
    assert counts["links_direct"] == one(f"select count(*) {links} where p.redirect = 0") == 896
    # No chains there: one hop is all.
    hop = f"{links} join redirect r on r.id = p.id join page e on e.ns = 0 and e.title = r.title and e.redirect = 0"
    through = one(f"select count(*) {hop} where p.redirect = 1 and r.ns = 0 and r.wiki = ''")
    assert counts["links_through_redirects"] == through == 226
    assert counts["links_resolved"] == 1122
    # The links are the same ones, by Wikidata id or title, and PageRank agrees with NetworkX.
    pairs = db.execute(f"select s.id, p.id {links} where p.redirect = 0").fetchall()
    pairs += db.execute(f"select s.id, e.id {hop} where p.redirect = 1").fetchall()
    ids = [row[0] for row in db.execute("select id from page where ns = 0 and redirect = 0")]
    reference = nx.DiGraph()
    reference.add_nodes_from(ids)
    reference.add_edges_from(pairs)
    assert graph.meta["counts"]["edges_hyperlink"] == reference.number_of_edges() == 1120
    scores = nx.pagerank(reference, tol=1e-13, max_iter=1000)
    # Categories have none, housekeeping ones included.
    expected = np.array([scores.get(v, 0.0) for v in graph.nodes["page_id"].to_pylist()])
    assert graph.pagerank.sum() == pytest.approx(1, abs=1e-12)
    assert np.abs(graph.pagerank - expected).max() < 1e-9
    kinds = Counter(graph.nodes["kind"].to_pylist())
    assert kinds == {"article": 560, "category": 105, "maintenance": 93, "date": 19, "list": 2}
    assert graph.labels(graph.find("GUAM")) == ["Guåhan"]


@pytest.mark.skipif(not CHWIKI.is_dir(), reason=f"no real dump at {CHWIKI}")
def test_ids_and_titles_of_one_dump_lead_to_the_same_links(tmp_path):
    """That dump names targets both ways: without linktarget, titles must do."""
    by_id = read_wiki(CHWIKI, "ch")
    for file in CHWIKI.glob("*.sql"):
        if "linktarget" not in file.name:
            (tmp_path / file.name).symlink_to(file)
    by_title = read_wiki(tmp_path, "ch")
    assert np.array_equal(by_id.links.source, by_title.links.source)
    assert np.array_equal(by_id.links.target, by_title.links.target)
    assert by_id.counts - by_title.counts == {"linktargets": 9379}


@pytest.mark.skipif(not AAWIKI.is_dir(), reason=f"no real dump at {AAWIKI}")
def test_newest_schema_row_by_row():
    tables = find_dumps(AAWIKI, required=()).tables
    links = [r for b in tables["pagelinks"].batches(["pl_from", "pl_from_namespace", "pl_target_id"]) for r in b.to_pylist()]  # fmt: skip
    slow = slow_rows(tables["pagelinks"].path, rf"\({INT},{INT},{INT}\)")
    assert [tuple(map(int, row)) for row in slow] == [tuple(r.values()) for r in links]
    assert len(links) == 637
    members = [r for b in tables["categorylinks"].batches(["cl_from", "cl_target_id"], ["cl_type"]) for r in b.to_pylist()]  # fmt: skip
    slow = slow_rows(tables["categorylinks"].path, rf"\({INT},{TEXT},{TEXT},{TEXT},{TEXT},{INT},{INT}\)")
    assert [(int(r[0]), int(r[6]), r[4].encode("latin-1")) for r in slow] == [
        tuple(r.values()) for r in members
    ]
    assert len(members) == 156
