"""`zcurate review` as people use it: a real dataset, the real command, a real browser."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest
from PIL import Image

from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.overlay import read_corrections
from zcurate.curation.store import Dataset
from zcurate.pipelines.edit_tables import pair_sets
from zcurate.pipelines.exporting import export_rows
from zcurate.pipelines.view import open_view

from ..curation.review_cases import XSS
from .review_site import Reviewer, Server, chromium, dataset, decisions, made, serve  # noqa: F401 - fixtures among them

# ruff: noqa: F811


def test_a_session_by_keyboard_alone(serve, dataset, chromium):
    ann = Reviewer(chromium, serve(), "ann")
    first = ann.task
    assert ann.verb() == "Accept"
    ann.send("Enter")  # accept
    second = ann.task
    assert second != first
    ann.press("2", "j", "Space", "i")  # clicks: by number; by moving; a reason
    assert ann.verb().startswith("Reject: 2")
    ann.send("Enter")
    third = ann.task
    ann.press("e", "Control+A")
    ann.page.keyboard.type("A circle, and 一个方块.")
    assert ann.verb() == "Save correction"
    ann.press("Escape", "=", "=", "-")
    ann.send("Enter")
    fourth = ann.task
    ann.send("d")
    ann.send("z")  # undo the discard
    assert ann.task == fourth
    ann.send("s")  # skip
    assert ann.task not in (first, second, third, fourth)
    ann.press("?")
    assert ann.page.is_visible("#keys")
    ann.press("Escape")
    ann.press("f")
    ann.expect("#zoom img").to_have_js_property("naturalWidth", 320)
    ann.press("Escape")
    ann.press("/")
    ann.page.keyboard.type("number 7.")
    ann.send("Enter")
    assert "number 7." in ann.page.input_value("[name='field.en_long']")
    made = decisions(dataset)
    assert [d.action for d in made] == ["pass", "fail", "correct", "discard", "undo", "skip"]
    assert [d.task_id for d in made[:4]] == [first, second, third, fourth]
    assert len(made[1].body["unsatisfied"]) == 2
    assert made[1].body["reasons"] == ["invented"]
    assert made[2].body["fields"] == {"en_long": "A circle, and 一个方块."}
    assert made[2].body["aesthetic"] == 5.0
    assert made[0].body["took_ms"] > 0
    assert ann.troubles == []


def test_hostile_texts_in_a_real_browser(serve, dataset, chromium):
    """Every text of the corpus, in captions, tags, elements and alt texts, on every page that shows it."""
    eve = Reviewer(chromium, serve(), "<script>window.pwned=0</script>"[:40])
    seen = set()
    for _ in XSS:
        seen.add(eve.task)
        assert eve.page.evaluate("window.pwned") is None
        assert eve.page.locator("form").count() == 4  # filter, undo, task, and closing the help
        assert eve.page.locator("iframe, object, embed, base, #task script").count() == 0
        eve.page.hover(".lang textarea")
        eve.page.focus(".lang textarea")
        eve.press("Escape")
        eve.send("Enter")
    assert len(seen) == len(XSS)
    for path in ("/list?stage=done", "/progress", f"/task/{min(seen)}", "/?text=%3Cscript%3E%22%27"):
        eve.page.goto(eve.server.url + path)
        eve.page.wait_for_load_state("networkidle")
        assert eve.page.evaluate("window.pwned") is None
    assert [d.action for d in decisions(dataset)] == ["pass"] * len(XSS)  # nothing was changed on its way
    assert eve.troubles == []


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_nothing_overflows(serve, chromium, tmp_path, width, height):
    ann = Reviewer(chromium, serve(), "a-reviewer-with-a-name-that-is-quite-long", width, height)
    page = ann.page
    addresses = ["/", f"/task/{ann.task}", "/list", "/progress", "/?text=no+such+thing", "/hello"]
    for number, path in enumerate(addresses):
        page.goto(ann.server.url + path)
        page.wait_for_load_state("networkidle")
        shot = tmp_path / f"{number}.png"
        page.screenshot(path=shot, full_page=True)
        assert Image.open(shot).width == width, path
        wide = page.evaluate(
            """() => [...document.querySelectorAll('body *')].filter((e) => {
                 const r = e.getBoundingClientRect();
                 const scrolls = e.closest('.bar nav, .scroll, dialog, .filter form');
                 return r.width && !scrolls && (r.right > innerWidth + 1 || r.left < -1);
               }).map((e) => e.outerHTML.slice(0, 80))"""
        )
        assert wide == [], path
    page.goto(ann.server.url)
    # The picture, the main button and the first click are on the screen without scrolling.
    for part in (".pictures img", ".act .primary", ".elements label"):
        box = page.locator(part).first.bounding_box()
        assert box["width"] > 20, part
        assert box["y"] >= 0, part
        assert box["y"] + box["height"] <= height, part
    # Buttons stand in one row and are not cut off, whatever the first one says.
    page.keyboard.press("1")
    assert len({b.bounding_box()["y"] for b in page.locator(".act button").all()}) == 1
    assert page.evaluate(
        "[...document.querySelectorAll('.act button')].every((b) => b.scrollWidth <= b.clientWidth + 1)"
    )
    assert ann.troubles == []


def test_two_people_side_by_side(serve, dataset, chromium):
    server = serve()
    ann, bob = Reviewer(chromium, server, "ann"), Reviewer(chromium, server, "bob")
    for _ in range(4):
        assert ann.task != bob.task
        ann.send("Enter")
        bob.send("Enter")
    made = decisions(dataset)
    assert len({d.task_id for d in made}) == len(made) == 8
    assert "8 of" in ann.page.inner_text(".meter") or "7 of" in ann.page.inner_text(".meter")
    bob.page.goto(f"{server.url}/task/{ann.task}")
    assert "ann is working on this task" in bob.page.inner_text("#task")
    assert bob.page.is_disabled(".act .primary")


def test_a_killed_server_loses_no_decision(serve, dataset, chromium):
    """Killed after every answer it gave; pages that were open go on working with the next server."""
    server = serve()
    ann = Reviewer(chromium, server, "ann")
    told = []
    for action in ("Enter", "d"):
        told.append(ann.task)
        ann.send(action)
        server.kill()
        assert [d.task_id for d in decisions(dataset)] == told
        server.start(server.port)
    assert [d.action for d in decisions(dataset)] == ["pass", "discard"]
    assert server.stop() in (0, -signal.SIGTERM)


def test_a_server_killed_while_decisions_pour_in(serve, dataset):
    """Every decision that was answered is in the log, whenever the kill comes; none is torn."""
    httpx = pytest.importorskip("httpx")
    server = serve()
    answered = []
    with httpx.Client(base_url=server.url, headers={"origin": server.url}) as http:
        http.post("/hello", data={"reviewer": "ann"})
        killer = subprocess.Popen(
            [sys.executable, "-c", f"import os,time; time.sleep(0.4); os.kill({server.process.pid}, 9)"]
        )
        try:
            while True:
                page = http.get("/").text
                if 'id="task"' not in page:
                    form = dict(re.findall(r'<input type="hidden" name="(form_key)" value="(\w+)"', page))
                    http.post("/undo", data=form)
                    continue
                form = dict(
                    re.findall(
                        r'<input type="hidden" name="(\w+)" value="([^"]*)"', page[page.index('id="task"') :]
                    )
                )
                task_id = re.search(r'action="/task/(\w+)', page)[1]
                if http.post(f"/task/{task_id}", data={**form, "action": "discard"}).status_code == 303:
                    answered.append(form["decision_id"])
        except httpx.TransportError:
            pass
        killer.wait()
    assert answered
    in_log = [d.id for d in decisions(dataset)]
    assert set(answered) <= set(in_log)
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        assert log.rows("PRAGMA integrity_check") == [("ok",)]


def test_from_the_page_into_the_export(serve, dataset, chromium, zcurate, tmp_path):
    ann = Reviewer(chromium, serve(), "ann")
    discarded = ann.task
    ann.send("d")
    changed = ann.task
    ann.press("e", "Control+A")
    ann.page.keyboard.type("Put right by ann.")
    ann.send("Control+Enter")
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        out, mended = bytes.fromhex(log.task(discarded).subject), bytes.fromhex(log.task(changed).subject)
    assert zcurate("review-apply", dataset, "--dry-run")[1].startswith("would be dropped 1")
    code, said, err = zcurate("review-apply", dataset, "--json")
    assert code == 0, err
    assert json.loads(said)["dropped"] == json.loads(said)["corrected"] == 1
    assert json.loads(zcurate("review-apply", dataset, "--json")[1])["files"] == []
    rows = {}
    for table in export_rows(open_view(str(dataset))):
        rows |= {r["sample_id"]: r for r in table.to_pylist()}
    assert len(rows) == len(XSS) - 1
    assert out not in rows
    assert (rows[mended]["en_long"], rows[mended]["engine"]) == ("Put right by ann.", "human")
    assert all(r["engine"] == "openai" for i, r in rows.items() if i != mended)
    # Taken back on the page, taken back in the dataset.
    ann.send("z")
    ann.send("z")
    assert json.loads(zcurate("review-apply", dataset, "--json")[1])["taken_back"] == 1
    assert read_corrections(Dataset.open(dataset)).samples == {}
    assert sum(len(t) for t in export_rows(open_view(str(dataset)))) == len(XSS)


def test_pairs_are_reviewed_too(zcurate, tmp_path, chromium, made):
    """The edits stage's pairs, with both pictures, held up in turn."""
    recipe = {
        "name": "pairs",
        "dataset": str(tmp_path / "pairs"),
        "sources": [{"name": "s", "root": str(made / "pictures"), "kind": "folder"}],
        "stages": {"profile": {"quality": False}, "edits": {"versions": 1}},
        "report": False,
    }
    (tmp_path / "pairs.yaml").write_text(json.dumps(recipe))
    code, _, err = zcurate("build", tmp_path / "pairs.yaml", "--engine", "inline", "--limit", "4")
    assert code == 0, err
    server = Server(made, tmp_path / "pairs", "--what", "pairs")
    try:
        ann = Reviewer(chromium, server, "ann")
        page = ann.page
        assert page.locator(".pictures img").count() >= 2
        for i in range(page.locator(".pictures img").count()):
            ann.expect(f".pictures img >> nth={i}").not_to_have_js_property("naturalWidth", 0)
        ann.press("c")
        assert page.locator("figure.hid").count() == page.locator("figure").count() - 1
        pair = ann.task
        ann.press("1")
        ann.send("Enter")
        [made_now] = decisions(tmp_path / "pairs")
        assert (made_now.task_id, made_now.action) == (pair, "fail")
        page.goto(f"{server.url}/?stage=correct")
        assert ann.task == pair
        ann.send("d")
        assert zcurate("review-apply", tmp_path / "pairs")[0] == 0
        with ReviewLog(tmp_path / "pairs/_review/decisions.sqlite") as log:
            pair_id = log.task(pair).subject
        assert read_corrections(Dataset.open(tmp_path / "pairs")).dropped_pairs == {pair_id}
        left = {
            p["pair_id"] for s in pair_sets(str(tmp_path / "pairs")) for n in s.shards() for p in s.pairs(n)
        }
        assert pair_id not in left
        assert ann.troubles == []
    finally:
        server.kill()
