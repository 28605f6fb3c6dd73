"""Review: the page over HTTP, as people work with it, and its forms."""

import contextlib
import re
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.forms import FormError, decision_of, filters_of, parse, query_of
from zcurate.curation.active.review.queue import STAGES, Filters
from zcurate.curation.active.review.routing import Routing, apply_routing
from zcurate.curation.active.review.states import CORRECT, DISCARD, FAIL, PASS, SKIP, TO_CORRECT, VERIFY
from zcurate.curation.active.review.tasks import FIELDS
from zcurate.curation.errors import DatasetError

from .review_browser import JPEG, Browser, browser, log  # noqa: F401 - fixtures among them
from .review_cases import ai, pair_task, said, task, texts

# ruff: noqa: F811


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
