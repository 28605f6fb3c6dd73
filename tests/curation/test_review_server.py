"""Review: the page over HTTP, as its friends and its enemies talk to it."""

import contextlib
import html
import re
import socket
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.forms import FormError, decision_of, filters_of, parse, query_of
from zcurate.curation.active.review.queue import STAGES, Filters
from zcurate.curation.active.review.routing import Routing, apply_routing
from zcurate.curation.active.review.states import CORRECT, DISCARD, FAIL, PASS, SKIP, TO_CORRECT, VERIFY
from zcurate.curation.active.review.tasks import FIELDS
from zcurate.curation.errors import ConfigError, DatasetError

from .review_cases import XSS, ai, pair_task, said, task, texts

fastapi = pytest.importorskip("fastapi")
from fastapi.testclient import TestClient  # noqa: E402

from zcurate.curation.active.review.guard import (  # noqa: E402
    Guard,
    check_address,
    host_of,
    load_key,
    reviewer_name,
)
from zcurate.curation.active.review.pages import Pages  # noqa: E402
from zcurate.curation.active.review.server import create_app, listen  # noqa: E402

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


# -- working


def test_an_untouched_form_accepts(log, browser):
    assert browser.decide("submit").status_code == 303
    [last] = [d for d in log.decisions() if d.actor_kind == "human"]
    assert (last.action, last.actor) == (PASS, "ann")
    assert last.body["shown"] == ["e1", "e2", "e3"]
    assert (last.body["aesthetic"], last.body["unsatisfied"]) == (6.0, [])


def test_clicks_reject_and_changes_correct(log, browser):
    browser.decide("submit", unsatisfied=["e3", "e2"], reason="invented")
    browser.decide("submit", **{"field.en_long": "A blue bicycle.\r\n", "unsatisfied": "e2", "note": " hue "})
    browser.decide("discard")
    last = [d for d in log.decisions() if d.actor_kind == "human"]
    assert [d.action for d in last] == [FAIL, CORRECT, DISCARD]
    assert (last[0].body["unsatisfied"], last[0].body["reasons"]) == (["e2", "e3"], ["invented"])
    assert last[1].body["fields"] == {"en_long": "A blue bicycle."}
    assert last[1].body["note"] == "hue"
    assert "Queue empty" in browser.get("/").text
    # What was rejected waits for a correction; left as it is, it counts as put right.
    page = browser.get("/?stage=correct").text
    path, form = browser.form(page)
    assert 'value="e2" checked' in page
    browser.post(path, {**form, "action": "submit"})
    assert log.state(task(0).id).outcome == "corrected"
    assert log.state(task(0).id).fields == {}


def test_undo_brings_the_task_and_ones_marks_back(log, browser):
    browser.decide("submit")
    page = browser.get("/").text
    key = re.search(r'name="form_key" value="(\w+)"', page).group(1)
    answer = browser.post("/undo", {"form_key": key})
    assert answer.headers["location"] == f"/task/{task(0).id}"
    assert log.state(task(0).id).outcome == "proposed"
    assert task(0).id in browser.get("/").text


def test_two_reviewers_do_not_get_one_task(log):
    one, other = Browser(log).sign_in("ann"), Browser(log).sign_in("bob")
    path, form = one.form(one.get("/").text)
    assert other.form(other.get("/").text)[0] != path
    look = other.get(path).text
    assert "ann is working on this task" in look
    assert other.post(path, {**other.form(look)[1], "action": "discard"}).status_code == 409
    assert one.post(path, {**form, "action": "submit"}).status_code == 303
    again = one.post(path, {**form, "action": "submit"})  # a retry of the browser
    assert again.status_code == 303
    stale = one.post(
        path, {**form, "action": "submit", "decision_id": "f" * 32, "field.en_long": "typed <b>"}
    )
    assert stale.status_code == 409
    assert "typed &lt;b&gt;" in stale.text
    assert sum(d.actor_kind == "human" for d in log.decisions()) == 1


def test_others_verdicts_are_hidden_until_ones_own(tmp_path):
    with ReviewLog(tmp_path / "r.sqlite") as log:
        log.sync_tasks([task()])
        log.append([ai(task().id, FAIL)])
        apply_routing(log, Routing(second_share=1.0))
        log.append([said(task().id, CORRECT, "bob", fields={"en_long": "Bob's words"}, unsatisfied=["e1"])])
        browser = Browser(log).sign_in("ann")
        page = browser.get("/").text
        assert "Bob" not in page
        assert "AI verifier:" not in page
        assert 'value="e1" checked' not in page
        browser.decide("submit")
        page = browser.get(f"/task/{task().id}").text
        assert "Bob&#39;s words" in page
        assert "AI verifier: fail" in page


def test_pages_for_looking(log, browser):
    browser.decide("submit", unsatisfied="e1")
    assert browser.get("/list?stage=correct").text.count("<li>") == 1
    assert browser.get("/list?page=99999999999999999999").status_code == 200
    progress = browser.get("/progress").text
    assert re.search(r"<th>ann<td[^>]*>1<", progress)
    assert browser.get("/task/" + "0" * 32).status_code == 404
    assert browser.get("/health").json() == {"status": "ok"}


def test_pictures_are_served_as_pictures_or_not_at_all(log):
    def picture(task, number, full):
        if full:
            raise DatasetError("gone")
        return (JPEG, "image/jpeg") if task.subject.endswith("0") else (b"<svg/>", "image/svg+xml")

    browser = Browser(log, picture=picture).sign_in()
    found = browser.get(f"/media/{task(0).id}/0")
    assert (found.content, found.headers["content-type"]) == (JPEG, "image/jpeg")
    for path in (f"{task(0).id}/0?full=1", f"{task(1).id}/0", f"{task(0).id}/1", f"{task(0).id}/-1", "x/0"):
        assert browser.get(f"/media/{path}").status_code == 404, path
    assert Browser(log, picture=picture).get(f"/media/{task(0).id}/0").status_code == 401


# -- forms


@given(st.dictionaries(texts, texts, max_size=6))
def test_forms_as_browsers_send_them(values):
    assert {k: v[0] for k, v in parse(urlencode(values).encode()).items()} == values


@settings(max_examples=200)
@given(
    st.binary(max_size=80),
    st.dictionaries(
        st.sampled_from(["action", "field.en_long", "aesthetic", "unsatisfied", "note"]),
        st.lists(texts, max_size=2),
    ),
)
def test_no_form_breaks_anything(raw, form):
    with contextlib.suppress(FormError):
        assert all(isinstance(v, str) for values in parse(raw).values() for v in values)
    try:
        action, body = decision_of(task(), VERIFY, form)
    except FormError:
        return
    assert action in (PASS, FAIL, CORRECT, DISCARD, SKIP)
    assert set(body.get("fields", {})) <= set(FIELDS["caption"])


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "accept"},
        {"action": ""},
        {"unsatisfied": "e9"},
        {"reason": "mood"},
        {"aesthetic": "11"},
        {"aesthetic": "٣"},
        {"field.en_long": "  "},
        {"version": "-1"},
        {"version": "²"},
        {"decision_id": "short"},
        {"action": ["submit", "discard"]},
    ],
)
def test_forms_no_page_sends_are_refused(log, browser, changes):
    answer = browser.decide(**{"action": "submit", **changes})
    assert answer.status_code == 400
    assert not [d for d in log.decisions() if d.actor_kind == "human"]


def test_what_waits_for_correction_is_settled():
    assert decision_of(task(), TO_CORRECT, {"action": ["submit"], "unsatisfied": ["e1"]})[0] == CORRECT
    assert decision_of(task(), VERIFY, {"action": ["submit"], "unsatisfied": ["e1"]})[0] == FAIL
    assert decision_of(pair_task(), VERIFY, {"action": ["submit"], "field.zh_short": ["移走灯"]})[1][
        "fields"
    ] == {"zh_short": "移走灯"}


@given(
    st.builds(
        Filters,
        stage=st.sampled_from(STAGES),
        kind=st.sampled_from(["", "pair"]),
        source=texts,
        why=st.sampled_from(["", "random"]),
        text=texts,
        aesthetic_from=st.none() | st.sampled_from([0.0, 2.5, 10.0]),
    )
)
def test_filters_survive_an_address(filters):
    assert filters_of(dict(parse_qsl(query_of(filters), keep_blank_values=True))) == filters


# -- enemies


def test_every_answer_has_the_headers(log, browser):
    for answer in (
        *(
            browser.get(p)
            for p in ("/", "/static/review.js", "/health", "/nowhere", f"/media/{task(0).id}/0")
        ),
        *(browser.post("/undo", {}), browser.get("/", host="evil.example")),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


def test_nothing_inline_in_any_page(log, browser):
    log.append([ai(task(0).id, PASS)])
    pages = [browser.get(p).text for p in ("/", "/list", "/progress", "/hello", "/?text=nothing")]
    for page in pages:
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|javascript:", page)


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "", "localhost:8100:1", "192.168.0.7"]
)
def test_other_names_are_not_this_server(log, browser, host):
    assert browser.get("/", host=host).status_code == 421
    assert browser.get("/health", host=host).status_code == 421


def test_names_of_this_server(log):
    assert Browser(log).get("/health", host="[::1]:8100").status_code == 200
    assert (
        Browser(log, allowed=["review.example"]).get("/health", host="Review.example:80").status_code == 200
    )
    far = Browser(log, TOKEN, "0.0.0.0")
    assert far.get("/health", host="192.168.0.7:8100").status_code == 200
    assert far.get("/health", host="evil.example").status_code == 421
    assert host_of("a b") is None
    assert host_of("[::1]") == "::1"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example", "sec-fetch-site": "cross-site"},
        {"origin": "http://evil.example", "sec-fetch-site": None},
        {"origin": "null", "sec-fetch-site": None},
        {"origin": ORIGIN, "sec-fetch-site": "same-site"},
        {"origin": None, "sec-fetch-site": None},
    ],
)
def test_forged_requests_write_nothing(log, browser, headers):
    path, form = browser.form(browser.get("/").text)
    assert browser.post(path, {**form, "action": "discard"}, **headers).status_code == 403
    assert browser.post("/hello", {"reviewer": "eve"}, **headers).status_code == 403
    assert not [d for d in log.decisions() if d.actor_kind == "human"]


def test_a_form_belongs_to_its_session(log, browser):
    path, form = browser.form(browser.get("/").text)
    assert browser.post(path, {**form, "action": "submit", "form_key": "0" * 64}).status_code == 403
    assert browser.post(path, {k: v for k, v in form.items() if k != "form_key"}).status_code == 403
    other = Browser(log).sign_in("bob")
    assert other.post(path, {**form, "action": "submit"}).status_code == 403
    assert browser.http.delete(path).status_code == 405
    assert (
        browser.http.post(
            path, content=b"{}", headers={"origin": ORIGIN, "content-type": "text/plain"}
        ).status_code
        == 400
    )
    large = b"form_key=" + b"x" * (600 << 10)
    kind = "application/x-www-form-urlencoded"
    answer = browser.http.post(path, content=large, headers={"origin": ORIGIN, "content-type": kind})
    assert (answer.status_code, "512 KiB" in answer.text) == (400, True)


def test_strangers_see_nothing_without_the_token(log):
    browser = Browser(log, TOKEN, "0.0.0.0")
    for path in ("/", "/list", "/progress", f"/task/{task(0).id}"):
        page = browser.get(path).text
        assert "Who is reviewing" in page
        assert "bicycle" not in page
    assert browser.get(f"/media/{task(0).id}/0").status_code == 401
    assert browser.post("/undo", {}).status_code == 401
    wrong = browser.post("/hello", {"reviewer": "eve", "token": "a-token-of-22-characterz"})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (403, False)
    browser.sign_in(token=TOKEN)
    assert "bicycle" in browser.get("/").text
    cookie = browser.http.cookies[browser.guard.cookie]
    assert TOKEN not in cookie
    for guard in (
        Guard(b"k" * 32, TOKEN + "2", "0.0.0.0"),
        Guard(b"q" * 32, TOKEN, "0.0.0.0"),
        Guard(b"k" * 32, None, "localhost"),
    ):
        assert guard.session(cookie) is None


def test_cookies_are_only_for_the_server(log):
    answer = Browser(log).post("/hello", {"reviewer": "ann"})
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite=strict" in answer.headers["set-cookie"].lower()


@given(st.text(max_size=60))
def test_made_up_cookies_sign_nobody_in(text):
    guard = Guard(b"k" * 32, None, "localhost")
    assert guard.session(text) is None
    real = guard.sign_in("ann")
    assert guard.session(real).reviewer == "ann"
    assert guard.session(real[:-1] + ("0" if real[-1] != "0" else "1")) is None


def test_addresses_that_need_a_token():
    check_address("127.0.0.1", None)
    check_address("localhost", None)
    check_address("0.0.0.0", TOKEN)
    for host in ("0.0.0.0", "::", "review.example", "192.168.0.7"):
        with pytest.raises(ConfigError, match="ZCURATE_REVIEW_TOKEN"):
            check_address(host, None)
    for token in ("short", "x" * 20 + " y", "é" * 20):
        with pytest.raises(ConfigError, match="at least 16"):
            check_address("localhost", token)
    with pytest.raises(ConfigError, match="plain host name"):
        check_address("localhost", None, ["a:80"])


def test_names_of_reviewers():
    assert reviewer_name("  Ann   Lee ") == "Ann Lee"
    assert reviewer_name("李") == "李"
    for bad in ("", " ", "x" * 41, "a\u202eb", "a\x00b"):
        assert reviewer_name(bad) is None


def test_the_key_is_for_its_owner_alone(tmp_path):
    key = load_key(tmp_path / "key")
    assert load_key(tmp_path / "key") == key
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(ConfigError, match="delete it"):
        load_key(tmp_path / "key")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(XSS) | texts, st.sampled_from(XSS) | texts)
def test_hostile_texts_come_back_as_text(tmp_path_factory, one, other):
    """Whatever stands in captions, tags, elements, keys, alt texts: no markup of it, and the form gives it back."""
    from zcurate.curation.active.review.tasks import Element, as_typed

    hostile = task(
        fields={"en_long": one, "zh_long": other, "en_tags": (one, other)},
        elements=(Element("e", one, other), Element("f", other, "subject", ("e",))),
        context={
            "source": one,
            "key": other,
            "alt": one,
            "concepts": [one],
            "lettering": [other],
            "warnings": [one],
        },
        proposer=other,
    )
    with ReviewLog(tmp_path_factory.mktemp("x") / "r.sqlite") as log:
        log.sync_tasks([hostile])
        browser = Browser(log).sign_in()
        for path in ("/", "/list", f"/?text={'x'}"):
            page = browser.get(path).text
            assert not re.search(r"<(script(?! src=\"/static/)|iframe|base|meta http|svg/|math|style)", page)
        _, form = browser.form(browser.get("/").text)
        assert form["field.en_long"] == as_typed(one) or "\r" in one or "\0" in one
        browser.decide("submit")
        assert [d.action for d in log.decisions() if d.actor_kind == "human"] == [PASS]


def test_small_answers_do_not_wait_for_acknowledgements():
    """asyncio turns Nagle's algorithm off for connections of sockets whose protocol it knows to be TCP."""
    with listen("127.0.0.1", 0) as listening:
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.proto == socket.IPPROTO_TCP
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            listen(*listening.getsockname())
