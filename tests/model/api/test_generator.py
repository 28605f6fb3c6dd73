"""`dashscope:z-image-turbo` where a generator is wanted: requests in, pictures out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from zcurate.model.api.credentials import Secret, endpoint_of
from zcurate.model.api.dashscope import ImageClient
from zcurate.model.api.errors import ContentRefusedError, KeyRefusedError, RequestError
from zcurate.model.api.generator import DashScopeGenerator
from zcurate.model.errors import GenerationError
from zcurate.model.request import Request

from .fake_dashscope import FakeDashScope, answer, picture, png, refusal
from .running import IMPATIENT


@pytest.fixture
def fake():
    with FakeDashScope() as running:
        yield running


@pytest.fixture
def generator(fake):
    client = ImageClient(endpoint_of(fake.url, "beijing"), Secret("sk-key"), patience=IMPATIENT)
    made = DashScopeGenerator(client=client)
    yield made
    made.close()


def requests(n, **options):
    return [Request(f"prompt {i}", (1024, 256), seed=i, **options) for i in range(n)]


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_pictures_come_in_the_order_of_the_requests(fake, generator, batch, tmp_path):
    fake.posts = [answer(request_id="r")]
    made = list(generator.generate(requests(5), batch))
    assert [p.request.prompt for p in made] == [f"prompt {i}" for i in range(5)]
    sent = {b["input"]["messages"][0]["content"][0]["text"]: b["parameters"] for m, *_, b in fake.seen if b}
    assert {prompt: p["seed"] for prompt, p in sent.items()} == {f"prompt {i}": i for i in range(5)}
    assert made[0].record["prompt"] == "prompt 0"
    assert made[0].record["model"] == generator.identity == "dashscope:z-image-turbo (unverified)"
    path = made[0].save(tmp_path)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), np.asarray(made[0].image))
        assert json.loads(image.text["zcurate"])["request_id"] == "r"


def test_what_the_service_cannot_do_is_refused_before_anything_is_sent(fake, generator):
    good, paper = requests(1)[0], Image.new("RGB", (64, 64))
    for bad, kind in (
        (Request("x", (64, 64)), RequestError),
        (Request("x", (1024, 256), seed=2**31), RequestError),
        (Request("", (1024, 256)), RequestError),
        (Request("x", (1024, 256), negative="dogs"), GenerationError),
        (Request("x", (1024, 256), references=(paper,)), GenerationError),
    ):
        with pytest.raises(kind):
            list(generator.generate([good, bad]))
    assert fake.seen == []


def test_a_refusal_comes_after_the_pictures_before_it(fake, generator):
    fake.posts = [answer(), refusal(400, "DataInspectionFailed", "no")]
    fake.gets = [picture(png())]
    pictures = generator.generate(requests(3))
    assert next(pictures).image.size == (1024, 256)
    with pytest.raises(ContentRefusedError):
        next(pictures)
    assert fake.count("POST") == 2


def test_it_is_made_from_the_environment(tmp_path):
    environment = {
        "DASHSCOPE_API_KEY": "sk-key",
        "DASHSCOPE_REGION": "singapore",
        "ZCURATE_MAX_SPEND_USD": "0.1",
    }
    generator = DashScopeGenerator(environment=environment)
    assert generator._client.endpoint.host == "dashscope-intl.aliyuncs.com"
    assert generator._client.max_spend_usd == 0.1
    generator.close()
    with pytest.raises(ValueError, match="z-image-turbo"):
        DashScopeGenerator("z-image-max", environment)
    with pytest.raises(ValueError, match="no number"):
        DashScopeGenerator(environment=environment | {"ZCURATE_MAX_SPEND_USD": "much"})
    with pytest.raises(RequestError, match="0 or more"):
        DashScopeGenerator(environment=environment | {"ZCURATE_MAX_SPEND_USD": "nan"})
    with pytest.raises(KeyRefusedError):
        DashScopeGenerator(environment={"HOME": str(tmp_path)})
