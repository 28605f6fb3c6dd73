"""A model of this machine behind the server: what it draws, and that one run of it draws several requests."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image

from zcurate.curation.profile.metadata.read import read_metadata
from zcurate.model.api.engine import Order
from zcurate.model.api.local import LocalEngine
from zcurate.model.api.request import ImageRequest
from zcurate.model.generate import Generator
from zcurate.model.pipeline_folder import tiny_pipeline
from zcurate.model.request import Settings

from .asking import metric
from .running import RunningServer, until


@pytest.fixture(scope="module")
def generator():
    return Generator(tiny_pipeline())


def test_several_requests_are_drawn_in_one_run_of_the_model(generator):
    forwards = []
    handle = generator.pipeline.transformer.register_forward_pre_hook(lambda *_: forwards.append(1))
    engine = LocalEngine(generator, "tiny", Settings(steps=2))

    with (
        RunningServer(engine, max_batch=4, max_batch_pixels=4 * 512 * 512) as server,
        ThreadPoolExecutor(5) as pool,
        server.client() as client,
    ):
        # The first holds the engine, so that the others wait together.
        futures = [pool.submit(client.generate, ImageRequest("first", "512*512", seed=0))]
        until(lambda: server.service._batcher._running == 1)
        futures += [pool.submit(client.generate, ImageRequest(f"p{i}", "512*512", seed=i)) for i in range(4)]
        done = [f.result(60) for f in futures]
        assert metric(server, "zcurate_batch_pictures_count") == 2
        assert metric(server, "zcurate_batch_pictures_sum") == 5
    handle.remove()
    assert len(forwards) == 2 * 2
    # And each picture is the one that its request gets alone.
    alone = engine.generate([Order("p2", 512, 512, 2)])[0].encode()
    assert np.abs(pixels(alone) - pixels(done[3].picture.data)).max() <= 1
    assert np.abs(pixels(alone) - pixels(done[2].picture.data)).max() > 8


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_served_picture_tells_how_it_was_made(generator):
    with RunningServer(LocalEngine(generator, "z-image-turbo")) as server, server.client() as client:
        done = client.generate(ImageRequest("a lake", "768*512", seed=11))
        assert httpx.get(f"{server.url}/health").json() == {"status": "ok", "model": "z-image-turbo"}
    with Image.open(io.BytesIO(done.picture.data)) as image:
        assert image.size == (768, 512)
        record = json.loads(image.text["zcurate"])
    assert (record["prompt"], record["seed"]) == ("a lake", 11)
    assert (record["width"], record["height"], record["enlarged_from"]) == (768, 512, "64*44")
    assert record["model_trained"] is False
    assert read_metadata(done.picture.data, "PNG")["ai_declared"]
