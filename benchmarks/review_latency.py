"""How long a reviewer waits: pages of a review of 10,000 tasks, over real HTTP, while several reviewers work at once.

A round is what one decision costs a person: send the form, be led to the next task, get its page. Measured as well, in the same
run: the picture, a filtered queue, the list, and a server of the same kind that answers with a ready-made page of the same size
and does nothing else (`bare`), which is what HTTP itself costs here. Decisions are on disk (fsync) before they are answered.

    python benchmarks/review_latency.py            # 10,000 tasks, 3 reviewers
    python benchmarks/review_latency.py --quick    # 2,000 tasks, less than a minute
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

import httpx
import numpy as np
import simplejpeg
import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.guard import Guard
from zcurate.curation.active.review.pages import Pages
from zcurate.curation.active.review.routing import Routing, apply_routing, queue_rank
from zcurate.curation.active.review.server import create_app, listen
from zcurate.curation.active.review.tasks import CAPTION, Element, Picture, Task

_WORDS = "a red bicycle leans on the old stone bridge while two people in coats cross over calm water".split()
_HAN = "一辆红色自行车靠在古老的石桥上两个穿大衣的人正从平静的水面上走过"


def task_of(number: int, draw: np.random.Generator) -> Task:
    """A task as large as those of a captioning model: 120 words, 200 characters, 14 elements, 24 tags."""
    subject = f"{number:032x}"
    english = " ".join(draw.choice(_WORDS, 120))
    elements = [
        Element(
            f"e{i}",
            " ".join(draw.choice(_WORDS, 2)),
            ("subject", "attribute")[i % 2],
            (f"e{i - 1}",) if i % 2 else (),
        )
        for i in range(14)
    ]
    return Task(
        CAPTION,
        subject,
        (Picture("image", subject, subject, 1024, 768),),
        {
            "en_long": english,
            "en_medium": english[:300],
            "en_short": english[:80],
            "en_tags": tuple(f"{w} {i}" for i, w in enumerate(draw.choice(_WORDS, 12))),
            "zh_long": "".join(draw.choice(list(_HAN), 200)),
            "zh_medium": "".join(draw.choice(list(_HAN), 80)),
            "zh_short": "".join(draw.choice(list(_HAN), 20)),
            "zh_tags": tuple(f"{c}{i}" for i, c in enumerate(draw.choice(list(_HAN), 12))),
        },
        tuple(elements),
        "captioner@1",
        {
            "source": f"source-{number % 7}",
            "key": f"k{number}",
            "scores": {"aesthetic": float(draw.uniform(1, 10))},
        },
        queue_rank(subject),
    )


class Running:
    """A server in a thread of this process."""

    def __init__(self, app: FastAPI):
        self.socket = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", ws="none")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()


def work(url: str, name: str, rounds: int, times: dict[str, list[float]]) -> None:
    """One reviewer, who decides as fast as pages come."""
    with httpx.Client(base_url=url, headers={"origin": url}, timeout=60) as http:

        def timed(what: str, path: str, form: dict[str, str] | None = None) -> httpx.Response:
            started = time.perf_counter()
            answer = http.get(path) if form is None else http.post(path, data=form)
            times[what].append(1000 * (time.perf_counter() - started))
            return answer

        http.post("/hello", data={"reviewer": name})
        for number in range(rounds):
            started = time.perf_counter()
            page = timed("page", "/").text
            inside = page[page.index('id="task"') :]
            form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', inside))
            task_id = re.search(r'action="/task/(\w+)', inside)[1]
            timed("picture", f"/media/{task_id}/0")
            action = ("submit", "submit", "fail", "discard")[number % 4]
            sent = timed("decision", f"/task/{task_id}", {**form, "action": action})
            assert sent.status_code == 303, sent.text
            times["round"].append(1000 * (time.perf_counter() - started))
            if number % 10 == 0:
                timed("filtered", "/?text=bridge+while&aesthetic_from=4")
                timed("list", f"/list?page={number % 20}")
                timed("undo", "/undo", {"form_key": form["form_key"]})
            if number % 50 == 0:
                timed("progress", "/progress")


def bare(page: str, requests: int) -> list[float]:
    """Milliseconds of a server that answers with a page it has ready."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    async def ready() -> HTMLResponse:
        return HTMLResponse(page)

    running, times = Running(app), []
    with httpx.Client(base_url=running.url) as http:
        for _ in range(requests):
            started = time.perf_counter()
            http.get("/")
            times.append(1000 * (time.perf_counter() - started))
    running.stop()
    return times


def p95(values: list[float]) -> float:
    return float(np.percentile(values, 95))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--reviewers", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=200, help="decisions of each reviewer")
    parser.add_argument("--quick", action="store_true", help="2,000 tasks, 50 rounds")
    options = parser.parse_args()
    count, rounds = (2000, 50) if options.quick else (options.tasks, options.rounds)
    draw = np.random.default_rng(0)
    pixels = np.kron(draw.integers(0, 255, (24, 32, 3), np.uint8), np.ones((32, 32, 1), np.uint8))
    jpeg = simplejpeg.encode_jpeg(pixels, quality=88)
    times: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, ReviewLog(Path(folder) / "review.sqlite") as log:
        started = time.perf_counter()
        log.sync_tasks(task_of(n, draw) for n in range(count))
        apply_routing(log, Routing())
        print(f"{count:,} tasks put in and routed in {time.perf_counter() - started:.1f} s")
        guard, pages = Guard(b"k" * 32, None, "127.0.0.1"), Pages("benchmark")
        running = Running(create_app(log, lambda task, number, full: (jpeg, "image/jpeg"), guard, pages))
        workers = [
            threading.Thread(target=work, args=(running.url, f"reviewer {i}", rounds, times))
            for i in range(options.reviewers)
        ]
        started = time.perf_counter()
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        seconds = time.perf_counter() - started
        with httpx.Client(base_url=running.url, headers={"origin": running.url}) as http:
            http.post("/hello", data={"reviewer": "last"})
            page = http.get("/").text
        running.stop()
        judged = [d.task_id for d in log.decisions() if d.actor_kind == "human" and d.action != "undo"]
        undone = sum(d.action == "undo" for d in log.decisions())
        # Every decision that was answered is there, once; only what was undone could be judged again.
        assert len(judged) == options.reviewers * rounds, (len(judged), options.reviewers, rounds)
        assert len(set(judged)) >= len(judged) - undone
    alone = bare(page, 200)
    print(f"{'':<10} {'median':>9} {'p95':>9} {'most':>9}   ms, {options.reviewers} reviewers at once")
    for what, values in {**times, "bare": alone}.items():
        print(
            f"{what:<10} {statistics.median(values):>9.1f} {p95(values):>9.1f} {max(values):>9.1f}   {len(values):,} times"
        )
    result = {
        "p95_ms": round(max(p95(times["page"]), p95(times["decision"])), 1),
        "tasks": count,
        "p95_page_ms": round(p95(times["page"]), 1),
        "p95_decision_ms": round(p95(times["decision"]), 1),
        "p95_round_ms": round(p95(times["round"]), 1),
        "p95_filtered_ms": round(p95(times["filtered"]), 1),
        "p95_list_ms": round(p95(times["list"]), 1),
        "median_page_ms": round(statistics.median(times["page"]), 1),
        "bare_median_ms": round(statistics.median(alone), 1),
        "page_over_bare": round(statistics.median(times["page"]) / statistics.median(alone), 2),
        "reviewers": options.reviewers,
        "decisions_per_s": round(options.reviewers * rounds / seconds, 1),
        "page_kb": round(len(page.encode()) / 1000, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
