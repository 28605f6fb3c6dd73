"""The server's queue: what is made together, who waits, who leaves it early, and how it ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from zcurate.model.api.errors import BusyError, DeadlineError, ServiceError
from zcurate.model.api.request import ImageRequest
from zcurate.model.api.server import PATH

from .asking import body_of, metric
from .procedural import ProceduralEngine
from .running import IMPATIENT, RunningServer, until


def test_orders_of_one_size_are_made_together_and_the_oldest_first():
    engine = ProceduralEngine()
    engine.gate.clear()
    with (
        RunningServer(engine, max_batch=4) as server,
        ThreadPoolExecutor(16) as pool,
        server.client() as client,
    ):
        first = pool.submit(client.generate, ImageRequest("first", "512*512"))
        assert engine.entered.wait(20)
        sizes = ["512*512", "768*512", "512*512", "512*512", "768*512", "512*512", "512*512"]
        rest = []
        for i, size in enumerate(sizes):
            rest.append(pool.submit(client.generate, ImageRequest(f"p{i}", size)))
            until(lambda wanted=i + 1: server.service._batcher.waiting == wanted)
        engine.gate.set()
        assert all(f.result(30).picture for f in [first, *rest])
    made = [[o.prompt for o in batch] for batch in engine.batches]
    assert made == [["first"], ["p0", "p2", "p3", "p5"], ["p1", "p4"], ["p6"]]


def test_a_batch_stays_within_its_pixels():
    engine = ProceduralEngine()
    engine.gate.clear()
    with (
        RunningServer(engine, max_batch=8, max_batch_pixels=2 * 512 * 512) as server,
        ThreadPoolExecutor(8) as pool,
        server.client() as client,
    ):
        futures = [pool.submit(client.generate, ImageRequest(f"p{i}", "512*512")) for i in range(6)]
        until(lambda: server.service.admitted == 6)
        engine.gate.set()
        for future in futures:
            future.result(30)
    assert max(len(batch) for batch in engine.batches) == 2


def test_a_full_queue_answers_429_with_the_time_to_come_back():
    engine = ProceduralEngine()
    engine.gate.clear()
    once = replace(IMPATIENT, attempts=1)
    with (
        RunningServer(engine, max_admitted=2) as server,
        ThreadPoolExecutor(2) as pool,
        server.client(patience=once) as client,
    ):
        futures = [pool.submit(client.generate, ImageRequest(f"p{i}", "512*512")) for i in range(2)]
        until(lambda: server.service.admitted == 2)
        with pytest.raises(BusyError) as caught:
            client.generate(ImageRequest("one more", "512*512"))
        assert 1 <= caught.value.retry_after_s <= 60
        assert caught.value.code == "Throttling"
        engine.gate.set()
        assert all(f.result(30).picture for f in futures)
        # There is room again.
        assert client.generate(ImageRequest("one more", "512*512")).picture
        assert metric(server, "zcurate_requests_total", code="429") == 1


def test_a_request_past_its_deadline_is_answered_504_and_leaves_the_queue():
    engine = ProceduralEngine()
    engine.gate.clear()
    once = replace(IMPATIENT, attempts=1)
    with (
        RunningServer(engine, deadline_s=0.3, max_batch=1) as server,
        ThreadPoolExecutor(2) as pool,
        server.client(patience=once) as client,
    ):
        running = pool.submit(client.generate, ImageRequest("running", "512*512"))
        assert engine.entered.wait(20)
        waiting = pool.submit(client.generate, ImageRequest("waiting", "512*512"))
        for future in (running, waiting):
            with pytest.raises(DeadlineError, match=r"0\.3 s"):
                future.result(30)
        engine.gate.set()
        assert client.generate(ImageRequest("later", "512*512")).picture
    assert [o.prompt for batch in engine.batches for o in batch] == ["running", "later"]


def test_a_client_that_goes_away_leaves_the_queue():
    engine = ProceduralEngine()
    engine.gate.clear()
    with (
        RunningServer(engine, max_batch=1) as server,
        ThreadPoolExecutor(1) as pool,
        server.client() as client,
    ):
        first = pool.submit(client.generate, ImageRequest("first", "512*512"))
        assert engine.entered.wait(20)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(server.url + PATH, json=body_of(), timeout=0.3)
        until(lambda: server.service.admitted == 1)
        engine.gate.set()
        first.result(30)
        assert metric(server, "zcurate_requests_total", code="499") == 1
    assert [o.prompt for batch in engine.batches for o in batch] == ["first"]


def test_an_order_that_breaks_the_engine_breaks_no_other():
    engine = ProceduralEngine()
    engine.gate.clear()
    once = replace(IMPATIENT, attempts=1)
    prompts = ["fine", "crash", "too much memory", "unencodable", "also fine"]
    with (
        RunningServer(engine) as server,
        ThreadPoolExecutor(6) as pool,
        server.client(patience=once) as client,
    ):
        first = pool.submit(client.generate, ImageRequest("first", "512*512"))
        assert engine.entered.wait(20)
        futures = [pool.submit(client.generate, ImageRequest(p, "512*512")) for p in prompts]
        until(lambda: server.service._batcher.waiting == 5)
        engine.gate.set()
        assert first.result(30).picture
        assert futures[0].result(30).picture
        with pytest.raises(ServiceError) as caught:
            futures[1].result(30)
        assert "secret detail" not in str(caught.value)
        with pytest.raises(ServiceError, match="smaller size"):
            futures[2].result(30)
        with pytest.raises(ServiceError, match="encoded") as caught:
            futures[3].result(30)
        assert "secret detail" not in str(caught.value)
        assert futures[4].result(30).picture


def test_a_closing_server_finishes_and_lets_pictures_be_fetched():
    engine = ProceduralEngine()
    engine.gate.clear()
    once = replace(IMPATIENT, attempts=1)
    with (
        RunningServer(engine, max_batch=1) as server,
        ThreadPoolExecutor(3) as pool,
        server.client(patience=once) as client,
    ):
        futures = [pool.submit(client.generate, ImageRequest(f"p{i}", "512*512")) for i in range(3)]
        until(lambda: server.service.admitted == 3)
        server.server.stop()
        until(lambda: server.service.closing)
        assert httpx.get(server.url + "/ready").status_code == 503
        assert httpx.get(server.url + "/health").status_code == 200
        answer = httpx.post(server.url + PATH, json=body_of())
        assert (answer.status_code, answer.json()["code"]) == (503, "ServiceUnavailable")
        engine.gate.set()
        assert all(f.result(30).picture for f in futures)
