"""Pages of results: pictures in them, no one else's markup, sensitive ones veiled."""

from html.parser import HTMLParser

from zcurate.pipelines.searching import open_search

from .search_dataset import HOSTILE, built  # noqa: F401 - a fixture among them

# ruff: noqa: F811


class Tags(HTMLParser):
    """The tags and scripts of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.scripts, self.inside = [], 0, False

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_pages_hold_pictures_and_no_one_elses_markup(built, zcurate, tmp_path):
    out, images = built
    code, _, err = zcurate("search", out, "script alert boom " + HOSTILE, "--html", tmp_path / "r.html")
    assert code == 0, err
    text = (tmp_path / "r.html").read_text()
    page = Tags()
    page.feed(text)
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text
    assert "49" not in text.split("<main")[1].split("BM25")[0], "templates in texts are not run"
    assert sum(t == "script" for t, _ in page.tags) == 1, "the page's own"
    sources = [a["src"] for t, a in page.tags if t == "img"]
    assert sources
    assert all(s.startswith("data:image/jpeg;base64,") for s in sources)
    assert not [a for t, a in page.tags if t in ("link", "iframe") or "href" in a or "onerror" in a]
    code, printed, _ = zcurate("search", out, "script alert boom")
    assert "[bold]boom[/bold]" in printed, "markup of the terminal is text too"
    assert "\u202e" not in printed


def test_sensitive_pictures_are_veiled(built):
    from dataclasses import replace

    from zcurate.pipelines.search_pages import results_page

    out, images = built
    searcher = open_search(str(out))
    found = searcher.search(image=images / "p05.png", k=3)
    hits = (replace(found.hits[0], nsfw=True), *found.hits[1:])
    page = Tags()
    page.feed(results_page(searcher, "t", replace(found, hits=hits)))
    assert [a.get("class") for t, a in page.tags if t == "button"] == ["veil"]
    assert sum(t == "img" for t, _ in page.tags) == 3
