"""Faults of dumps are named and located, and leave no graph or the old one."""

import pytest

from zcurate.graph.build import Sources, build
from zcurate.graph.errors import DumpError, GraphError
from zcurate.graph.store import Graph
from zcurate.graph.wiki import read_wiki

from .dump_text import LINKTARGET, PAGE, REDIRECT, table_sql
from .small_wiki import PAGES, REDIRECTS, dump


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
