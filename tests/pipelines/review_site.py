"""A dataset with hostile captions, the review server as a process, and a browser: what tests of the page share."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from zcurate.curation.active.review.decisions import ReviewLog

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

    def expect(self, selector: str):
        """Playwright's assertions, which wait. `wait_for_function` polls by eval, which the page's own policy forbids."""
        from playwright.sync_api import expect

        return expect(self.page.locator(selector))

    def verb(self) -> str:
        return self.page.inner_text(".act .verb")


def decisions(dataset: Path) -> list:
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        return [d for d in log.decisions() if d.actor_kind == "human"]
