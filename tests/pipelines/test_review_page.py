"""`zcurate review` as people use it: a real dataset, the real command, a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.overlay import corrected, read_corrections
from zcurate.curation.active.review.routing import Routing
from zcurate.curation.store import Dataset
from zcurate.pipelines.exporting import export_rows
from zcurate.pipelines.reviewing import ReviewOptions, prepare
from zcurate.pipelines.view import open_view

from ..captioner.server import Reply, texts_of
from ..curation.review_cases import XSS

CHROMIUM = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
ZCURATE = (sys.executable, "-c", "from zcurate.pipelines.cli import main; main()")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic")

CAPTIONS = '''
"""Captions out of the pictures' sidecars, as a model that was fed hostile pages would write them."""
import json
import pyarrow as pa
from pydantic import BaseModel
from zcurate.captioner.schema import ARROW_SCHEMA
from zcurate.curation.stage import StageSpec, map_rows


class Config(BaseModel):
    pass


class Stage:
    spec = StageSpec(
        name="captions", version=1, reads=("samples.metadata", "profile.content_id"), outputs={"captions": ARROW_SCHEMA},
        where=("decisions/filter",),
    )

    def setup_node(self):
        pass

    def setup(self):
        pass

    def __call__(self, table, monitor):
        def one(row):
            given = json.loads(row["samples.metadata"])
            row = {name: None for name in ARROW_SCHEMA.names}
            return row | given | {"engine": "openai", "model": "captioner@1", "placeholder": False, "schema_version": 2}

        return map_rows(table, one, self.spec.schema, monitor)


def build(config, context):
    return Stage()
'''


def captions_of(number: int) -> dict:
    hostile = XSS[number % len(XSS)]
    return {
        "en_long": f"A red circle and a blue square, number {number}. {hostile}",
        "en_short": "A red circle and a blue square.",
        "en_tags": ["red circle", hostile],
        "zh_long": f"一个红色圆圈和一个蓝色方块，第{number}张。{hostile}",
        "zh_tags": ["红色圆圈", "蓝色方块"],
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset of as many pictures as there are hostile texts."""
    root = tmp_path_factory.mktemp("review")
    package = root / "zcreview"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "captions.py").write_text(CAPTIONS)
    folder = root / "pictures"
    folder.mkdir()
    for i in range(len(XSS)):
        image = Image.new("RGB", (320, 240), (230, 225, 215))
        pen = ImageDraw.Draw(image)
        pen.ellipse([30 + 4 * i, 60, 130 + 4 * i, 160], fill="red")
        pen.rectangle([180, 40 + 3 * i, 280, 140 + 3 * i], fill="blue")
        image.save(folder / f"p{i:02d}.png")
        (folder / f"p{i:02d}.json").write_text(json.dumps(captions_of(i) | {"text": XSS[-1 - i]}))
    recipe = {
        "name": "review",
        "dataset": str(root / "ds"),
        "rows_per_shard": 10,
        "sources": [{"name": "s", "root": str(folder), "kind": "folder"}],
        "stages": {
            "profile": {"quality": False},
            "filter": {"rules": {"none": {"drop_if": "short_side_px < 1"}}},
            "zcreview.captions": {},
        },
        "report": False,
    }
    (root / "recipe.yaml").write_text(json.dumps(recipe))
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [*ZCURATE, "build", root / "recipe.yaml", "--engine", "inline"]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def dataset(made, tmp_path, monkeypatch):
    """A copy, so that every test begins without decisions."""
    monkeypatch.syspath_prepend(str(made))
    shutil.copytree(made / "ds", tmp_path / "ds")
    return tmp_path / "ds"


class Server:
    """The command in a process of its own."""

    def __init__(self, root: Path, dataset: Path, *options: str, port: int = 0):
        self.command = [*ZCURATE, "review", str(dataset), *options]
        self.environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
        self.start(port)

    def start(self, port: int = 0) -> None:
        self.process = subprocess.Popen(
            [*self.command, "--port", str(port)],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        said = []
        for line in self.process.stdout:
            said.append(line)
            if found := re.search(r"review at (http://\S+):(\d+)/", line):
                self.url, self.port = f"{found[1]}:{found[2]}", int(found[2])
                return
        raise AssertionError(f"no server: {''.join(said)}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def serve(made, dataset):
    started = []

    def start(*options: str) -> Server:
        started.append(Server(made, dataset, *options))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no browser: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Reviewer:
    """A browser of one person. Notes what a page must never do."""

    def __init__(self, chromium, server: Server, name: str, width: int = 1280, height: int = 800):
        self.server, self.troubles = server, []
        self.context = chromium.new_context(viewport={"width": width, "height": height})
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("dialog", lambda d: (self.troubles.append(f"dialog {d.message}"), d.dismiss()))
        self.page.on("pageerror", lambda e: self.troubles.append(f"error {e}"))
        self.page.on("console", lambda m: self.troubles.append(m.text) if m.type == "error" else None)
        self.page.on("request", self._asked)
        self.page.goto(server.url)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(name)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#task")

    def _asked(self, request) -> None:
        if not request.url.startswith(self.server.url):
            self.troubles.append(f"request to {request.url}")

    @property
    def task(self) -> str:
        return self.page.get_attribute("#task", "data-id")

    def press(self, *keys: str) -> None:
        """Keys that stay on the page."""
        for key in keys:
            self.page.keyboard.press(key)

    def send(self, key: str) -> None:
        """A key that leads to the next page."""
        with self.page.expect_navigation():
            self.page.keyboard.press(key)

    def verb(self) -> str:
        return self.page.inner_text(".act .verb")


def decisions(dataset: Path) -> list:
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        return [d for d in log.decisions() if d.actor_kind == "human"]


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
    ann.page.wait_for_function("document.querySelector('#zoom img').naturalWidth === 320")
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
    # Buttons are not cut off.
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
    corrections = read_corrections(Dataset.open(dataset)).samples
    rows = {}
    for table in export_rows(open_view(str(dataset))):
        rows |= {r["sample_id"]: r for r in corrected(table, corrections).to_pylist()}
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


def test_verdicts_statistics_and_files(dataset, zcurate, tmp_path):
    url = str(dataset)
    assert "no review yet" in zcurate("review-stats", url)[2]
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        assert prepare(url, ReviewOptions(), log) == {"new": len(XSS), "routed": len(XSS), "forgotten": 0}
        assert prepare(url, ReviewOptions(), log) == {"new": 0, "routed": 0, "forgotten": 0}
        subjects = [t.subject for t in log.tasks()]
        assert all(t.elements and t.fields["zh_tags"] for t in log.tasks())
    lines = [{"sample_id": s, "verdict": "pass", "verifier": "judge@1", "score": 0.9} for s in subjects]
    (tmp_path / "v.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert json.loads(zcurate("review-import", url, tmp_path / "v.jsonl", "--json")[1])["decisions"] == len(
        XSS
    )
    assert json.loads(zcurate("review-import", url, tmp_path / "v.jsonl", "--json")[1])["decisions"] == 0
    facts = json.loads(zcurate("review-stats", url, "--json")[1])
    assert facts["verifiers"][0]["passes"] == len(XSS)
    for bad, message in (
        ({"verifier": "captioner@1"}, "another model"),
        ({"verdict": "maybe"}, "maybe"),
        ({"sample_id": "00"}, "no task"),
    ):
        (tmp_path / "bad.jsonl").write_text(json.dumps(lines[0] | bad))
        code, _, err = zcurate("review-import", url, tmp_path / "bad.jsonl")
        assert (code, message in err) == (1, True), err
    assert zcurate("review-export", url, "--format", "label-studio", "--out", tmp_path / "ls")[0] == 0
    assert zcurate("review-import", url, tmp_path / "ls/tasks.json")[0] == 0
    assert zcurate("review-export", url, "--out", tmp_path / "pq")[0] == 0
    assert pq.read_table(tmp_path / "pq/reviewed.parquet").num_rows == len(XSS)
    assert zcurate("review-export", url, "--format", "csv", "--out", tmp_path / "x")[0] == 2
    # A sample that is taken down leaves the log with all that was said of it.
    (tmp_path / "gone.txt").write_text(subjects[0])
    assert zcurate("remove", url, "--ids", tmp_path / "gone.txt", "--reason", "asked")[0] == 0
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        assert prepare(url, ReviewOptions(), log)["forgotten"] == 1
        assert subjects[0] not in {t.subject for t in log.tasks(current=False)}


def test_a_model_verifies_and_people_are_asked_by_its_verdicts(dataset, zcurate, vlm_server):
    """A model that sees no blue square, except in two pictures it cannot tell."""
    url, doubtful = str(dataset), {3, 4}

    def answer(body):
        said = texts_of(body)[-1]
        number = int(re.search(r"number (\d+)", said)[1])
        claims = re.findall(r"^(\d+)\. (.*)$", said, re.M)
        word = "unclear" if number in doubtful else "no" if number % 2 else "yes"
        listed = [
            {"number": int(n), "seen": "it", "verdict": word if "blue" in c else "yes"} for n, c in claims
        ]
        return Reply(json.dumps({"claims": listed}))

    vlm_server.script = answer
    options = ("--vlm", vlm_server.engine, "--revision", "1")
    assert "--revision" in zcurate("review-verify", url, "--vlm", vlm_server.engine)[2]
    code, said, err = zcurate("review-verify", url, *options, "--limit", "5", "--json")
    assert code == 0, err
    assert "5 questions" in err
    assert sum(json.loads(said).values()) == 5
    counts = json.loads(zcurate("review-verify", url, *options, "--json")[1])
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        prepare(url, ReviewOptions(routing=Routing(pass_share=0.0, rare_below=0)), log)
        for one in log.tasks():
            number = int(re.search(r"number (\d+)", one.fields["en_long"])[1])
            state = log.state(one.id)
            if number in doubtful:
                assert (state.ai, state.routed) == (None, ("no_ai",))
            elif number % 2:
                assert (state.ai, state.routed) == ("fail", ("ai_fail",))
                [verdict] = [d for d in log.history(one.id) if d.actor_kind == "ai"]
                shown = {e.id: e.text for e in one.elements}
                assert {shown[i] for i in verdict.body["unsatisfied"]} >= {"blue"}
            else:
                assert (state.outcome, state.human) == ("accepted", "not_sent")
    again = json.loads(zcurate("review-verify", url, *options, "--json")[1])
    assert again == {"pass": 0, "fail": 0, "undecided": len(doubtful), "unanswered": 0}
    assert counts["unanswered"] == 0
    vlm_server.script = Reply("invalid key", status=401)
    code, _, err = zcurate("review-verify", url, "--vlm", vlm_server.engine, "--revision", "2")
    assert (code, "verdicts so far are kept" in err) == (1, True), err
    code, _, err = zcurate("review-verify", url, *options[:2], "--revision", "2", "--max-tokens", "10")
    assert (code, "max_tokens" in err) == (1, True), err


def test_wrong_arguments(dataset, zcurate, tmp_path, monkeypatch):
    monkeypatch.delenv("ZCURATE_REVIEW_TOKEN", raising=False)
    code, _, err = zcurate("review", dataset, "--host", "0.0.0.0")
    assert (code, "ZCURATE_REVIEW_TOKEN" in err) == (2, True)
    for options in (("--pass-share", "200%"), ("--accept", "coin"), ("--what", "poems")):
        code, _, err = zcurate("review", dataset, *options)
        assert code == 2, err
    Dataset.create(tmp_path / "bare")
    assert zcurate("review", tmp_path / "bare")[0] == 1


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
        page.wait_for_function(
            "[...document.querySelectorAll('.pictures img')].length >= 2 && "
            "[...document.querySelectorAll('.pictures img')].every((i) => i.naturalWidth > 0)"
        )
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
        assert ann.troubles == []
    finally:
        server.kill()
