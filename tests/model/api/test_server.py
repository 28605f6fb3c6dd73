"""The server over real HTTP: the real client against it, each refusal, the queue, the end."""

from __future__ import annotations

import io
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from zcurate.model.api.engine import Rewritten
from zcurate.model.api.errors import (
    BusyError,
    DeadlineError,
    KeyRefusedError,
    RequestError,
    ServiceError,
    UnknownModelError,
)
from zcurate.model.api.request import ImageRequest
from zcurate.model.api.server import PATH
from zcurate.model.api.settings import Settings

from .procedural import ProceduralEngine
from .running import IMPATIENT, RunningServer, until

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def server():
    with RunningServer(ProceduralEngine()) as running:
        yield running


def body_of(**parameters: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": [{"text": "a lake at dawn"}]}]
    return {
        "model": "procedural",
        "input": {"messages": messages},
        "parameters": {"size": "512*512", **parameters},
    }


def metric(server: RunningServer, name: str, **labels: str) -> float:
    text = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def test_the_client_gets_the_picture_that_the_server_made(server):
    with server.client() as client:
        request = ImageRequest("ein See im Morgengrauen, 黎明的湖", "768*512", seed=7)
        done, again = client.generate(request), client.generate(request)
        other = client.generate(ImageRequest(request.prompt, "768*512", seed=8))
    assert (done.result.width, done.result.height) == (768, 512)
    assert done.result.prompt == request.prompt
    assert len(done.result.request_id) == 36
    assert done.result.image_url.startswith(server.url + "/images/")
    pixels = [np.asarray(Image.open(io.BytesIO(d.picture.data))) for d in (done, again, other)]
    assert pixels[0].shape == (512, 768, 3)
    assert np.array_equal(pixels[0], pixels[1])
    assert not np.array_equal(pixels[0], pixels[2])


def test_a_request_without_a_seed_gets_one_that_is_told(server):
    body = body_of()
    answers = [httpx.post(server.url + PATH, json=body).json() for _ in range(2)]
    seeds = [a["usage"]["seed"] for a in answers]
    assert seeds[0] != seeds[1]
    assert all(0 <= s < 2**31 for s in seeds)
    assert answers[0]["output"]["choices"][0]["message"]["content"][0]["image"].startswith(server.url)


BAD = {
    "size of letters": (body_of(size="big"), 400, "InvalidParameter", "1024*1024"),
    "size with x": (body_of(size="1024x1024"), 400, "InvalidParameter", "W*H"),
    "size as number": (body_of(size=1024), 400, "InvalidParameter", "size"),
    "negative size": (body_of(size="-512*512"), 400, "InvalidParameter", "size"),
    "too few pixels": (body_of(size="512*496"), 400, "InvalidParameter", "262,144"),
    "too many pixels": (body_of(size="2048*2064"), 400, "InvalidParameter", "4,194,304"),
    "not a multiple": (body_of(size="1000*1000"), 400, "InvalidParameter", "nearest: 992*992"),
    "a thin strip": (body_of(size="8192*32"), 400, "InvalidParameter", "from 256 to 4096"),
    "negative seed": (body_of(seed=-1), 400, "InvalidParameter", "seed"),
    "huge seed": (body_of(seed=2**31), 400, "InvalidParameter", "2147483647"),
    "seed of text": (body_of(seed="7"), 400, "InvalidParameter", "seed"),
    "seed of truth": (body_of(seed=True), 400, "InvalidParameter", "seed"),
    "fractional seed": (body_of(seed=1.5), 400, "InvalidParameter", "seed"),
    "extend as text": (body_of(prompt_extend="yes"), 400, "InvalidParameter", "prompt_extend"),
    "extend without enhancer": (body_of(prompt_extend=True), 400, "InvalidParameter", "--enhancer"),
    "n of 2": (body_of(n=2), 400, "InvalidParameter", "one request per picture"),
    "unknown parameter": (body_of(steps=50), 400, "InvalidParameter", "steps"),
    "base_url in parameters": (body_of(base_url="http://x"), 400, "InvalidParameter", "base_url"),
    "base_url at the top": ({**body_of(), "base_url": None}, 400, "InvalidParameter", "base_url"),
    "base_url in input": (
        {**body_of(), "input": {"messages": [], "base_url": ""}},
        400,
        "InvalidParameter",
        "base_url",
    ),
    "unknown model": ({**body_of(), "model": "z-image-max"}, 404, "ModelNotFound", "procedural"),
    "no model": ({"input": body_of()["input"]}, 404, "ModelNotFound", "procedural"),
    "no input": ({"model": "procedural"}, 400, "InvalidParameter", "input"),
    "input as list": ({**body_of(), "input": []}, 400, "InvalidParameter", "input"),
    "unknown field": ({**body_of(), "stream": True}, 400, "InvalidParameter", "stream"),
}


def with_messages(messages: Any) -> dict[str, Any]:
    return {**body_of(), "input": {"messages": messages}}


def with_prompt(prompt: Any) -> dict[str, Any]:
    return with_messages([{"role": "user", "content": [{"text": prompt}]}])


BAD |= {
    "empty prompt": (with_prompt(" \n"), 400, "InvalidParameter", "empty"),
    "prompt as number": (with_prompt(3), 400, "InvalidParameter", "text"),
    "prompt of 2001": (with_prompt("x" * 2001), 400, "InvalidParameter", "2,000"),
    "control character": (with_prompt("a\x00b"), 400, "InvalidParameter", "U+0000"),
    "half a surrogate": (with_prompt("a\ud800"), 400, "InvalidParameter", "surrogate"),
    "two messages": (with_messages([{}, {}]), 400, "InvalidParameter", "messages"),
    "system role": (
        with_messages([{"role": "system", "content": [{"text": "x"}]}]),
        400,
        "InvalidParameter",
        "role",
    ),
    "image as input": (
        with_messages([{"role": "user", "content": [{"image": "http://x/y.png"}]}]),
        400,
        "InvalidParameter",
        "text only",
    ),
    "content as text": (
        with_messages([{"role": "user", "content": "x"}]),
        400,
        "InvalidParameter",
        "content",
    ),
    "huge body": (with_prompt("x" * 100_000), 413, "RequestTooLarge", "65,536"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused_with_its_status_code_and_fix(server, case):
    body, status, code, hint = BAD[case]
    made = len(server.engine.batches)
    # Escaped, since httpx itself sends no lone surrogates.
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = httpx.post(server.url + PATH, content=json.dumps(body), headers=headers)
    found = answer.json()
    assert (answer.status_code, found["code"]) == (status, code)
    assert hint in found["message"]
    assert len(found["request_id"]) == 36
    assert len(server.engine.batches) == made


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1]", "object"),
        (b'"text"', "object"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 60_000, "nested"),
        (b'{"model": ' + b"9" * 50_000 + b"}", "not JSON"),
    ],
    ids=["empty", "cut", "list", "string", "binary", "deep", "long number"],
)
def test_a_body_that_is_no_json_object_is_refused(server, content, hint):
    answer = httpx.post(server.url + PATH, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert hint in answer.json()["message"]


def test_other_types_paths_and_methods_are_refused_in_the_same_form(server):
    body = json.dumps(body_of())
    # A form of another site can send text/plain without asking; it must not work.
    for media in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = httpx.post(server.url + PATH, content=body, headers={"Content-Type": media})
        assert (answer.status_code, answer.json()["code"]) == (415, "UnsupportedMediaType")
    found = httpx.get(server.url + PATH)
    assert (found.status_code, found.json()["code"]) == (405, "MethodNotAllowed")
    found = httpx.get(server.url + "/docs")
    assert (found.status_code, found.json()["code"]) == (404, "NotFound")
    assert PATH in found.json()["message"]


def test_a_chunked_body_is_cut_off_at_the_limit(server):
    def pieces():
        for _ in range(1000):
            yield b" " * 1024

    answer = httpx.post(server.url + PATH, content=pieces(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_a_body_that_never_arrives_is_given_up():
    with RunningServer(ProceduralEngine(), body_s=0.2) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as raw:
            head = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            raw.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
            assert raw.recv(4096).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("images.test", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.0.0.1", 421),
        ("localhost:8000@evil.example", 421),
        ("a b", 421),
        ("", 421),
    ],
)
def test_a_local_server_answers_to_its_own_names_alone(host, status):
    with RunningServer(ProceduralEngine(), allowed_hosts=("images.test",)) as server:
        answer = httpx.get(server.url + "/health", headers={"Host": host})
    assert answer.status_code == status


def test_a_token_is_demanded_everywhere_but_for_probes_and_pictures():
    with RunningServer(ProceduralEngine(), token=TOKEN) as server:
        paths = [("POST", PATH), ("GET", "/metrics"), ("GET", "/nothing")]
        wrong = ["", "Bearer", "Bearer x", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN]
        for method, path in paths:
            for value in wrong:
                answer = httpx.request(method, server.url + path, headers={"Authorization": value}, json={})
                assert (answer.status_code, answer.json()["code"]) == (401, "InvalidApiKey"), value
                assert answer.headers["www-authenticate"] == "Bearer"
                assert TOKEN not in answer.text
        assert httpx.get(server.url + "/health").status_code == 200
        assert httpx.get(server.url + "/ready").status_code == 200
        for token in (None, "another-token-of-length"):
            with server.client(token) as client, pytest.raises(KeyRefusedError):
                client.generate(ImageRequest("x", "512*512"))
        with server.client(TOKEN) as client:
            done = client.generate(ImageRequest("x", "512*512"))
        assert httpx.get(done.result.image_url).content == done.picture.data
        assert metric(server, "zcurate_requests_total", code="200") == 1


def test_a_server_that_others_can_reach_must_have_a_token():
    with pytest.raises(RequestError, match="ZCURATE_SERVE_TOKEN"):
        Settings(host="0.0.0.0")
    with pytest.raises(RequestError, match="16"):
        Settings(host="0.0.0.0", token="short")
    assert Settings(host="0.0.0.0", token=TOKEN).local is False


def test_pictures_have_names_that_cannot_be_guessed_and_expire():
    with RunningServer(ProceduralEngine(), store_ttl_s=3600) as server:
        with server.client() as client:
            urls = [client.generate(ImageRequest("x", "512*512")).result.image_url for _ in range(2)]
        assert urls[0] != urls[1]
        answer = httpx.get(urls[0])
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["x-content-type-options"] == "nosniff"
        name = urls[0].rsplit("/", 1)[1]
        assert len(name) == 36
        for other in ("x.png", name[:-5] + ".png", "..%2f..%2fetc%2fpasswd", name + "/.."):
            assert httpx.get(f"{server.url}/images/{other}").status_code == 404
        server.service.store._clock = lambda: float("inf")
        answer = httpx.get(urls[0])
        assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")


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


def test_prompt_extend_draws_the_rewritten_prompt_and_tells_it():
    def enhancer(prompt: str) -> Rewritten:
        if prompt == "fail":
            raise RuntimeError("secret detail of the enhancer")
        return Rewritten(f"{prompt}, soft morning light", "It lacks light.")

    engine = ProceduralEngine()
    once = replace(IMPATIENT, attempts=1)
    with RunningServer(engine, enhancer) as server, server.client(patience=once) as client:
        done = client.generate(ImageRequest("a lake", "512*512", prompt_extend=True))
        plain = client.generate(ImageRequest("a lake", "512*512"))
        with pytest.raises(ServiceError, match="without prompt_extend") as caught:
            client.generate(ImageRequest("fail", "512*512", prompt_extend=True))
    assert done.result.prompt == "a lake"
    assert done.result.rewritten_prompt == "a lake, soft morning light"
    assert done.result.reasoning == "It lacks light."
    assert (plain.result.rewritten_prompt, plain.result.reasoning) == (None, None)
    assert engine.batches[0][0].prompt == "a lake, soft morning light"
    assert "secret detail" not in str(caught.value)


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


def test_the_client_knows_the_servers_errors(server):
    with server.client() as client:
        with pytest.raises(RequestError, match="nearest: 1008"):
            client.generate(ImageRequest("x", "1010*1010"))
        client.model = "z-image-turbo"
        with pytest.raises(UnknownModelError, match="procedural"):
            client.generate(ImageRequest("x"))


def test_metrics_add_up():
    with RunningServer(ProceduralEngine()) as server, server.client() as client:
        for i in range(3):
            client.generate(ImageRequest(f"p{i}", "512*512"))
        httpx.post(server.url + PATH, json={})
        assert metric(server, "zcurate_requests_total", code="200") == 3
        assert metric(server, "zcurate_requests_total") == 4
        assert metric(server, "zcurate_batch_pictures_sum") == 3
        assert metric(server, "zcurate_request_seconds_count") == 4
        assert metric(server, "zcurate_requests_in_flight") == 0
        assert metric(server, "zcurate_queue_length") == 0
        assert metric(server, "zcurate_store_bytes") == server.service.store.size_bytes > 0
