"""A client of the review page that behaves as a browser does, and a log for it to work on."""

import html
import re

import pytest

from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.routing import Routing, apply_routing

from .review_cases import task

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

from zcurate.curation.active.review.guard import Guard
from zcurate.curation.active.review.pages import Pages
from zcurate.curation.active.review.server import create_app

ORIGIN = "http://localhost:8100"
TOKEN = "a-token-of-22-characters"
JPEG = b"\xff\xd8\xff\xe0 only its type matters here"


class Browser:
    """A client that behaves as a browser does on one page after another."""

    def __init__(self, log, token=None, host="127.0.0.1", picture=None, **guard):
        self.guard = Guard(b"k" * 32, token, host, **guard)
        picture = picture or (lambda task, number, full: (JPEG, "image/jpeg"))
        app = create_app(log, picture, self.guard, Pages("ds & <co>", "ann"))
        self.http = TestClient(app, base_url=ORIGIN, follow_redirects=False)

    def get(self, path, **headers):
        return self.http.get(path, headers=headers)

    def post(self, path, form, **headers):
        headers = {"origin": ORIGIN, "sec-fetch-site": "same-origin", **headers}
        return self.http.post(path, data=form, headers={k: v for k, v in headers.items() if v is not None})

    def sign_in(self, name="ann", **form):
        answer = self.post("/hello", {"reviewer": name, **form})
        assert answer.status_code == 303, answer.text
        return self

    def form(self, page):
        """Names -> values of the task's form, as it would be sent untouched; and its address."""
        page = page[page.index('id="task"') :]
        found = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
        for name, text in re.findall(r'<textarea name="([\w.]+)"[^>]*>\n(.*?)</textarea>', page, re.S):
            found[name] = html.unescape(text)
        score = re.search(r'name="aesthetic" value="(\d+)" checked', page)
        if score:
            found["aesthetic"] = score.group(1)
        return html.unescape(re.search(r'action="([^"]+)"', page).group(1)), found

    def decide(self, action, **changes):
        path, form = self.form(self.get("/").text)
        return self.post(path, {**form, **changes, "action": action})


@pytest.fixture
def log(tmp_path):
    with ReviewLog(tmp_path / "r.sqlite") as found:
        found.sync_tasks([task(n) for n in range(3)])
        apply_routing(found, Routing())
        yield found


@pytest.fixture
def browser(log):
    return Browser(log).sign_in()
