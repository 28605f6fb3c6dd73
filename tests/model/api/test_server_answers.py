"""What the server's answers hold for the real client: the picture, its seed, the prompt as drawn, errors; and metrics."""

from __future__ import annotations

import io
from dataclasses import replace

import httpx
import numpy as np
import pytest
from PIL import Image

from zcurate.model.api.engine import Rewritten
from zcurate.model.api.errors import RequestError, ServiceError, UnknownModelError
from zcurate.model.api.request import ImageRequest
from zcurate.model.api.server import PATH

from .asking import body_of, metric, server  # noqa: F401 - a fixture among them
from .procedural import ProceduralEngine
from .running import IMPATIENT, RunningServer

# ruff: noqa: F811


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
