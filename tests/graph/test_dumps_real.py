"""Real dumps: the figures, links and PageRank that other programs find in them."""

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
from zcurate.graph.wiki import read_wiki

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

CHWIKI, AAWIKI = DATA / "chwiki-dump", DATA / "aawiki-dump"


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
