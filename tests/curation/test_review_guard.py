"""Review: the page over HTTP, as its enemies talk to it."""

import re
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.guard import Guard, check_address, host_of, load_key, reviewer_name
from zcurate.curation.active.review.states import PASS
from zcurate.curation.active.review.tasks import Element, as_typed
from zcurate.curation.errors import ConfigError

from .review_browser import ORIGIN, TOKEN, Browser, browser, log  # noqa: F401 - fixtures among them
from .review_cases import XSS, ai, task, texts

# ruff: noqa: F811


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
    from zcurate.curation.active.review.server import listen

    with listen("127.0.0.1", 0) as listening:
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.proto == socket.IPPROTO_TCP
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            listen(*listening.getsockname())
